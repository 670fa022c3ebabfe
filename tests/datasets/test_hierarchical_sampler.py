import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_hierproxy.datasets import Batches, RetrievalDataset
from keras_hierproxy.datasets.samplers import HierarchicalSampler

pytestmark = pytest.mark.host


def make_labels(sizes, images_per_class=4):
    """Labels (N, 2) of super-classes that have so many classes."""
    super_classes = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.repeat(np.arange(len(super_classes)), images_per_class)
    return np.stack([labels, super_classes[labels]], axis=1)


def draw(labels, seed=0, *sizes, **options):
    sampler = HierarchicalSampler(labels[:, 0], labels[:, 1], *sizes, **options)
    return np.array(sampler.draw(np.random.default_rng(seed)))


def test_batches_hold_s_super_classes_of_p_over_s_classes_of_k_images():
    labels = make_labels([6, 6, 9, 4, 5, 6], images_per_class=8)
    drawn = draw(labels, batch_size=24, images_per_class=2, super_classes=3)
    assert drawn.shape == (12, 24)
    for batch in drawn:
        assert len(np.unique(batch)) == 24
        classes, images = np.unique(labels[batch, 0], return_counts=True)
        assert (images == 2).all() and len(classes) == 12
        _, siblings = np.unique(labels[batch, 1], return_counts=True)
        assert (siblings == 8).all() and len(siblings) == 3


def test_a_batch_size_that_does_not_divide_gives_smaller_batches():
    labels = make_labels([6, 6, 6])
    drawn = draw(labels, batch_size=21, images_per_class=2, super_classes=3)
    assert drawn.shape[1] == 18


def test_classes_come_up_equally_often():
    """In super-classes of one size exactly, over an epoch that has room for it."""
    labels = make_labels([4, 4, 4, 4], images_per_class=8)
    drawn = draw(labels, batch_size=16, images_per_class=2, super_classes=2)
    np.testing.assert_array_equal(np.bincount(labels[drawn.ravel(), 0]), 8)


def test_classes_of_super_classes_of_any_size_come_up_equally_often():
    labels = make_labels([2, 3, 5, 8, 13, 13])
    turns = np.zeros(44)
    for seed in range(300):
        drawn = draw(labels, seed, batch_size=12, images_per_class=2, super_classes=3)
        turns += np.bincount(labels[drawn.ravel(), 0], minlength=44) / 2
    np.testing.assert_allclose(turns / turns.mean(), 1, atol=0.05)


def test_images_of_a_class_come_up_before_any_again():
    labels = make_labels([4, 4], images_per_class=6)
    drawn = draw(labels, batch_size=16, images_per_class=2, super_classes=2)
    np.testing.assert_array_equal(np.bincount(drawn.ravel()), 1)


def test_super_classes_come_together_in_changing_company():
    labels = make_labels([2] * 8, images_per_class=32)
    drawn = draw(labels, batch_size=8, images_per_class=2, super_classes=2)
    pairs = {tuple(np.unique(labels[batch, 1])) for batch in drawn}
    assert len(drawn) == 64 and len(pairs) > 20


def test_small_super_classes_share_a_place():
    labels = make_labels([1, 1, 2, 8, 8])
    turns = np.zeros(20)
    for seed in range(300):
        drawn = draw(labels, seed, batch_size=16, images_per_class=2, super_classes=2)
        for batch in drawn:
            super_classes, images = np.unique(labels[batch, 1], return_counts=True)
            large = super_classes >= 3
            assert (images[large] == 8).all()
            assert images[~large].sum() in (0, 8)
            assert len(np.unique(labels[batch, 0])) == 8
        turns += np.bincount(labels[drawn.ravel(), 0], minlength=20)
    np.testing.assert_allclose(turns / turns.mean(), 1, atol=0.06)


def test_a_super_class_of_most_classes_is_in_every_batch():
    """And the others come up as evenly as ever."""
    labels = make_labels([30, 4, 4, 4])
    turns = np.zeros(42)
    for seed in range(300):
        drawn = draw(labels, seed, batch_size=12, images_per_class=2, super_classes=3)
        for batch in drawn:
            _, siblings = np.unique(labels[batch, 1], return_counts=True)
            assert (siblings == 4).all() and len(siblings) == 3
            assert (labels[batch, 1] == 0).any()
        turns += np.bincount(labels[drawn.ravel(), 0], minlength=42)
    for part in (turns[:30], turns[30:]):
        np.testing.assert_allclose(part / part.mean(), 1, atol=0.06)


def test_large_super_classes_do_not_pile_up_at_an_end():
    labels = make_labels([12, 6, 6, 6, 6, 6, 6], images_per_class=8)
    first_half = slice(0, 16)
    share = np.mean(
        [labels[draw(labels, seed, 12, 2, 2)[first_half], 1] == 0 for seed in range(99)]
    )
    assert share == pytest.approx(12 / 48, abs=0.03)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    images_per_class=st.integers(1, 6),
    drawn_per_class=st.integers(1, 3),
    super_classes=st.integers(1, 4),
    classes_of_each=st.integers(1, 4),
)
def test_any_sizes(
    seed, sizes, images_per_class, drawn_per_class, super_classes, classes_of_each
):
    labels = make_labels(sizes, images_per_class)
    try:
        drawn = draw(
            labels,
            seed,
            batch_size=super_classes * classes_of_each * drawn_per_class,
            images_per_class=drawn_per_class,
            super_classes=super_classes,
        )
    except ValueError:
        assume(False)
    for batch in drawn:
        classes, images = np.unique(labels[batch, 0], return_counts=True)
        assert len(classes) == super_classes * classes_of_each
        assert (images == drawn_per_class).all()
    if min(sizes) >= classes_of_each:
        for batch in drawn:
            assert len(np.unique(labels[batch, 1])) == super_classes
        if max(sizes) * super_classes <= sum(sizes):
            turns = np.bincount(labels[drawn.ravel(), 0], minlength=sum(sizes))
            assert np.ptp(turns) <= 3 * drawn_per_class


@pytest.fixture
def data():
    labels = make_labels([6, 6, 6])
    labels = np.stack([*labels.T, labels[:, 1] // 2], axis=1)
    return RetrievalDataset(np.arange(len(labels)).reshape(-1, 1, 1, 1), labels)


def positions(batches, epoch):
    batches.epoch = epoch
    return [images.ravel().tolist() for images, _ in batches]


def test_order_is_a_function_of_seed_and_epoch(data):
    def order(seed, epoch, workers=0):
        options = {"sampler": "hierarchical", "super_classes": 3, "workers": workers}
        return positions(data.batches(12, seed=seed, **options), epoch)

    assert order(0, 3) == order(0, 3) == order(0, 3, workers=2)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)


@pytest.mark.parametrize(("level", "expected"), [(1, 3), (2, 2)])
def test_level_says_which_super_classes(data, level, expected):
    batches = data.batches(
        12, sampler="hierarchical", super_classes=expected, level=level
    )
    for images, labels in batches:
        assert labels.dtype == np.int32
        rows = images.ravel()
        np.testing.assert_array_equal(labels, data.labels[rows, 0])
        assert len(np.unique(data.labels[rows, level])) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"super_classes": 4}, "super_classes=4 in a batch, of 3 at this level"),
        ({"super_classes": 3, "level": 2}, "super_classes=3 in a batch, of 2"),
        ({"level": 3}, "level=3 of 3, class, level1, level2"),
        ({"level": 0}, "a level of super-classes, above the finest. Received: level=0"),
        ({"batch_size": 3}, "batch_size=3 holds no 2 super-classes .* at least 4"),
        ({"batch_size": 64}, "16 classes .* of 2 .* 3 super-classes of 6 to 6 classes"),
        ({"super_classes": 0}, "`super_classes` must be a positive int"),
        ({"shuffle": False}, "sampler='hierarchical' draws its batches"),
    ],
)
def test_bad_arguments(data, options, message):
    options = {"batch_size": 12, "sampler": "hierarchical"} | options
    with pytest.raises(ValueError, match=message):
        data.batches(**options)


def test_one_level_of_labels_is_not_enough():
    data = RetrievalDataset(np.zeros((4, 1, 1, 1)), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="Received: level=1 of 1, class"):
        data.batches(4, sampler="hierarchical")


@pytest.mark.parametrize(
    ("super_labels", "message"),
    [
        (None, "needs super_labels"),
        ([0, 0, 1], r"super_labels must have shape \(4,\), .* Received shape \(3,\)"),
        ([0, 1, 1, 1], "nested: .* Received class 0 in super-classes 0 and 1"),
    ],
)
def test_bad_super_labels(super_labels, message):
    with pytest.raises(ValueError, match=message):
        Batches(
            np.zeros((4, 1, 1, 1)),
            [0, 0, 1, 1],
            batch_size=4,
            sampler="hierarchical",
            super_labels=super_labels,
        )
