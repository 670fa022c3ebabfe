import inspect
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_hierproxy.datasets import Batches, RetrievalDataset
from keras_hierproxy.datasets.samplers.deal import deal

pytestmark = pytest.mark.host


def numbered(labels):
    """A data set whose images are their own positions."""
    return RetrievalDataset(np.arange(len(labels)).reshape(-1, 1, 1, 1), labels)


@pytest.fixture
def data():
    return numbered(np.repeat(np.arange(10), 5))


def positions(batches, epoch):
    batches.epoch = epoch
    return [images.ravel().tolist() for images, _ in batches]


@pytest.mark.parametrize("sampler", ["random", "balanced"])
def test_order_is_a_function_of_seed_and_epoch(data, sampler):
    def order(seed, epoch):
        return positions(data.batches(8, sampler=sampler, seed=seed), epoch)

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)


def test_a_batch_does_not_depend_on_which_were_asked_for_before(data):
    batches = data.batches(8, sampler="balanced")
    whole = positions(batches, 2)
    batches.epoch = 7
    batches[1]
    batches.epoch = 2
    assert batches[4][0].ravel().tolist() == whole[4]


def test_random_sampler_visits_each_image_once(data):
    batches = data.batches(8)
    assert [len(images) for images, _ in batches] == [8] * 6 + [2]
    assert len(batches) == 7
    assert sorted(sum(positions(batches, 0), [])) == list(range(50))


def test_drop_remainder_leaves_out_the_small_batch(data):
    batches = data.batches(8, drop_remainder=True)
    assert [len(images) for images, _ in batches] == [8] * 6


def test_without_shuffling_images_come_in_order(data):
    batches = data.batches(8, shuffle=False)
    assert sum(positions(batches, 1), []) == list(range(50))


def test_labels_are_those_of_the_images_at_the_finest_level():
    labels = np.stack([np.arange(12) // 2, np.arange(12) // 6], axis=1)
    for images, classes in numbered(labels).batches(5):
        assert classes.dtype == np.int32
        np.testing.assert_array_equal(classes, images.ravel() // 2)


@given(
    seed=st.integers(0, 2**32),
    size=st.integers(1, 12),
    hands=st.integers(1, 12),
    hand_size=st.integers(1, 12),
)
def test_dealt_hands_are_distinct_and_even(seed, size, hands, hand_size):
    dealt = deal(np.random.default_rng(seed), size, hands, hand_size)
    assert dealt.shape == (hands, hand_size)
    for hand in dealt:
        assert len(set(hand)) == min(size, hand_size)
    counts = np.bincount(dealt.ravel(), minlength=size)
    if hand_size <= size:
        assert counts.max() - counts.min() <= 1


def test_balanced_batches_hold_p_classes_of_k_images(data):
    batches = data.batches(14, sampler="balanced", images_per_class=4)
    assert len(batches) == 4  # 50 images in batches of 3 * 4
    for images, labels in batches:
        classes, counts = np.unique(labels, return_counts=True)
        assert len(classes) == 3
        assert (counts == 4).all()
        assert len(np.unique(images)) == 12


def test_balanced_classes_come_up_equally_often_whatever_their_size():
    data = numbered(np.repeat(np.arange(6), [40, 2, 2, 2, 2, 12]))
    labels = [y for _, y in data.batches(6, sampler="balanced", images_per_class=2)]
    assert len(labels) == 10
    counts = np.bincount(np.concatenate(labels))
    np.testing.assert_array_equal(counts, [10, 10, 10, 10, 10, 10])


def test_balanced_shows_all_images_of_a_class_before_any_again():
    data = numbered(np.repeat(np.arange(4), 6))
    batches = data.batches(8, sampler="balanced", images_per_class=2)
    assert sorted(sum(positions(batches, 0), [])) == list(range(24))


def test_balanced_repeats_images_of_a_small_class():
    data = numbered([0, 1, 1, 1, 2, 2, 2, 2])
    images, labels = data.batches(12, sampler="balanced", images_per_class=4)[0]
    assert (images.ravel()[labels == 0] == 0).all()
    assert set(images.ravel()[labels == 1]) == {1, 2, 3}
    assert sorted(images.ravel()[labels == 2]) == [4, 5, 6, 7]


def noise(images, rng):
    return rng.random(images.shape)


class NoiseByImage:
    def __call__(self, images, rng):
        return self.apply(images, self.draw(rng, len(images)))

    def draw(self, rng, count):
        return rng.random((count, 1, 1, 1))

    def apply(self, images, draws):
        return images * draws


@pytest.mark.parametrize("augment", [noise, NoiseByImage(), [noise, NoiseByImage()]])
def test_augmentation_is_a_function_of_seed_epoch_and_batch(augment):
    data = RetrievalDataset(np.ones((50, 1, 1, 1)), np.repeat(np.arange(10), 5))

    def drawn(seed, epoch, index):
        batches = data.batches(8, seed=seed, augment=augment)
        batches.epoch = epoch
        return batches[index][0].ravel()[0]

    assert drawn(0, 1, 2) == drawn(0, 1, 2)
    assert len({drawn(0, 1, 2), drawn(1, 1, 2), drawn(0, 2, 2), drawn(0, 1, 3)}) == 4


def test_augmentations_are_applied_one_after_another(data):
    augment = [lambda images, rng: images + 1, lambda images, rng: images * 10]
    plain, _ = data.batches(8)[0]
    images, _ = data.batches(8, augment=augment)[0]
    np.testing.assert_array_equal(images, (plain + 1) * 10)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("epoch", [0, 5])
def test_workers_change_nothing(data, workers, epoch):
    alone = data.batches(8, sampler="balanced")
    helped = data.batches(8, sampler="balanced", workers=workers)
    assert positions(helped, epoch) == positions(alone, epoch)


def test_workers_serve_the_epoch_that_is_set_in_the_middle_of_another(data):
    expected = positions(data.batches(8), 1)
    batches = data.batches(8, workers=2)
    batches[0]  # the next ones of epoch 0 are being made
    assert positions(batches, 1) == expected


def test_workers_serve_any_order(data):
    expected = positions(data.batches(8), 0)
    batches = data.batches(8, workers=2)
    for index in (3, 0, 1, 6, 2, 2, 5, 4):
        assert batches[index][0].ravel().tolist() == expected[index]


def test_workers_make_the_next_batches_while_this_one_is_used(data):
    made = threading.Semaphore(0)

    def signal(images, rng):
        made.release()
        return images

    batches = data.batches(10, augment=signal, workers=1)
    batches[0]
    for _ in range(3):  # this one and two ahead, with nobody asking for them
        assert made.acquire(timeout=10)


def test_an_error_of_a_worker_is_raised_where_the_batch_is_asked_for(data):
    def broken(images, rng):
        raise ValueError("broken on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        data.batches(8, augment=broken, workers=2)[0]


def test_batches_are_pickled_in_use(data):
    batches = data.batches(8, workers=2)
    batches.epoch = 4
    batches[0]
    copy = pickle.loads(pickle.dumps(batches))
    assert positions(copy, 4) == positions(batches, 4)


def test_keras_is_given_no_workers_of_its_own(data):
    # Its queue would serve batches left over from building the model.
    assert data.batches(8, workers=4).workers == 1


@pytest.mark.parametrize("index", [7, -1])
def test_index_out_of_range(data, index):
    with pytest.raises(IndexError, match=f"batch {index} of 7"):
        data.batches(8)[index]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be a positive int. Received: 0"),
        ({"batch_size": 8.0}, "`batch_size` must be a positive int. Received: 8.0"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"workers": True}, "`workers` must be an integer"),
        ({"sampler": "even"}, r"'balanced', 'hierarchical'\). Received: 'even'"),
        ({"batch_size": 51, "drop_remainder": True}, "no batch of 50 images"),
        ({"sampler": "balanced", "shuffle": False}, "no shuffle=False"),
        ({"augment": "crop"}, "a callable .* or a list of such. Received: 'crop'"),
        ({"augment": [noise, 3]}, "Received: 3"),
        ({"sampler": "balanced"}, "= 64 classes in a batch, of 10. .* 2 and 20"),
        (
            {"batch_size": 2, "sampler": "balanced", "images_per_class": 3},
            "2 // 3 = 0 classes in a batch",
        ),
    ],
)
def test_bad_arguments(data, options, message):
    with pytest.raises(ValueError, match=message):
        data.batches(**options)


def test_batches_of_a_data_set_take_what_batches_do():
    of_class = list(inspect.signature(Batches).parameters.values())[2:]
    names = ["level" if each.name == "super_labels" else each.name for each in of_class]
    data = RetrievalDataset(np.zeros((8, 4, 4, 1), "uint8"), [0, 0, 1, 1, 2, 2, 3, 3])
    of_data = inspect.signature(data.batches).parameters
    assert list(of_data) == names
    assert of_data["level"].default == 1
    assert all(
        of_data[p.name].default == p.default for p in of_class if p.name in names
    )
    made = data.batches(4, "balanced", 2, seed=3, drop_remainder=True)
    assert (made.batch_size, made.sampler, made.seed) == (4, "balanced", 3)
    assert made.drop_remainder and made.images_per_class == 2
    with pytest.raises(TypeError, match="unexpected keyword argument 'super_labels'"):
        data.batches(4, super_labels=[0] * 8)
