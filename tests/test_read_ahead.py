"""Batches of images are read by threads, in order, and not far ahead."""

import threading
import time

import numpy as np
import pytest

from keras_hierproxy.datasets.images import UnreadableImage
from keras_hierproxy.runs.read_ahead import read_ahead

pytestmark = pytest.mark.host


class Images:
    """Images that are all of their position, and count how often they are read."""

    dtype = np.dtype("uint8")
    shape = (50, 2, 2, 1)

    def __init__(self, bad=()):
        self.bad = bad
        self.read = []

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, position):
        self.read.append(position)
        if position in self.bad:
            raise UnreadableImage(f"{position}.jpg", "it is bad")
        return np.full(self.shape[1:], position, self.dtype)


def test_all_come_in_their_order():
    images = Images()
    batches = list(read_ahead(images, 20))
    assert [list(positions) for positions, _, _ in batches] == [
        list(range(0, 20)),
        list(range(20, 40)),
        list(range(40, 50)),
    ]
    rows = np.concatenate([batch for _, batch, _ in batches])
    assert rows.dtype == "uint8"
    # The last batch is as large as the others.
    expected = [*range(50), *[0] * 10]
    np.testing.assert_array_equal(rows[:, 0, 0, 0], expected)
    assert sorted(images.read) == list(range(50))


def test_reading_begins_where_it_stopped():
    images = Images()
    ((positions, batch, bad),) = read_ahead(images, 20, start=40)
    assert positions == range(40, 50) and not bad
    assert batch[3].max() == batch[3].min() == 43
    assert not list(read_ahead(images, 20, start=60))


def test_bad_images_are_told_and_their_rows_are_zero():
    (_, first, bad), (_, second, none), *_ = read_ahead(Images(bad=(3, 19)), 20)
    assert {i: str(error) for i, error in bad.items()} == {
        3: "3.jpg is not a readable image: it is bad",
        19: "19.jpg is not a readable image: it is bad",
    }
    assert first[:, 0, 0, 0].tolist() == [0, 1, 2, 0, *range(4, 19), 0]
    assert not none and second[0].max() == 20


def test_other_errors_come_out():
    class Broken(Images):
        def __getitem__(self, position):
            raise MemoryError(position)

    with pytest.raises(MemoryError):
        next(read_ahead(Broken(), 20))


def test_batches_are_prepared_on_a_thread_in_their_order():
    threads = []

    def prepare(batch):
        threads.append(threading.current_thread())
        return batch + 100

    batches = [batch for _, batch, _ in read_ahead(Images(), 20, prepare=prepare)]
    assert [batch[0, 0, 0, 0] for batch in batches] == [100, 120, 140]
    assert threading.current_thread() not in threads


def test_few_images_are_read_ahead_and_none_after_the_end():
    """They are read while nobody waits, and memory does not grow with their number."""
    images = Images()
    batches = read_ahead(images, 4)
    next(batches)
    time.sleep(0.2)
    assert max(images.read) < 4 * 3
    next(batches)
    time.sleep(0.2)
    assert 4 * 3 <= max(images.read) < 4 * 4
    batches.close()
    time.sleep(0.2)
    assert max(images.read) < 4 * 4
