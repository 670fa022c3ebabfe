import numpy as np
import pytest
from PIL import Image

from keras_hierproxy.datasets import (
    ImageFiles,
    RandomAffine,
    RandomResizedCrop,
    RetrievalDataset,
)
from keras_hierproxy.datasets.hosts import share

pytestmark = pytest.mark.host


@pytest.fixture
def data():
    """54 numbered images of 18 classes in 6 super-classes."""
    labels = np.arange(54) // 3
    images = np.random.default_rng(0).integers(0, 256, (54, 8, 8, 1), "uint8")
    images[:, 0, 0, 0] = np.arange(54)
    return RetrievalDataset(images, np.stack([labels, labels // 3], axis=1))


def hosts(data, count, epoch=0, **options):
    """The batches of an epoch, as each host sees them."""
    seen = []
    for index in range(count):
        batches = data.batches(12, host=(index, count), **options)
        batches.epoch = epoch
        assert len(batches) == len(data.batches(12, **options))
        seen.append(list(batches))
    return seen


def numbers(images):
    return images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"drop_remainder": True},
        {"sampler": "balanced"},
        {"sampler": "hierarchical", "super_classes": 3},
        {"sampler": "balanced", "workers": 2},
    ],
)
def test_shares_joined_are_the_batch_of_a_single_host(data, count, options):
    for epoch in (0, 3):
        (alone,) = hosts(data, 1, epoch, **options)
        together = zip(*hosts(data, count, epoch, **options), strict=True)
        for whole, shares in zip(alone, together, strict=True):
            assert {len(images) for images, _ in shares} == {12 // count}
            for part in (0, 1):
                joined = np.concatenate([each[part] for each in shares])
                np.testing.assert_array_equal(joined, whole[part])


@pytest.mark.parametrize("count", [4, 12])
def test_a_last_batch_that_cannot_be_shared_is_filled_up(data, count):
    (alone,) = hosts(data, 1)
    *_, (last_images, last_labels) = alone
    assert len(last_images) == 6
    seen = hosts(data, count)
    rows = -(-6 // count)
    weighted = []
    for batches in seen:
        for images, _, weights in batches[:-1]:
            assert len(images) == 12 // count and (weights == 1).all()
        images, labels, weights = batches[-1]
        assert len(images) == len(labels) == len(weights) == rows
        assert weights.dtype == np.float32
        weighted += zip(numbers(images), labels, weights, strict=True)
    real = [(number, label) for number, label, weight in weighted if weight]
    assert real == list(zip(numbers(last_images), last_labels, strict=True))
    assert {number for number, *_ in weighted} == set(numbers(last_images))


@pytest.mark.parametrize("count", [2, 3])
def test_a_last_batch_that_can_be_shared_is_not(data, count):
    for batches in hosts(data, count):
        assert [len(batch) for batch in batches] == [2] * 5
        assert len(batches[-1][0]) == 6 // count


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("count", range(1, 6))
def test_shares_cover_each_row_once(size, count):
    rows, weights = zip(*(share(size, (i, count)) for i in range(count)), strict=True)
    assert {len(row) for row in rows} == {-(-size // count)}
    kept = np.concatenate(rows)[np.concatenate(weights) > 0]
    np.testing.assert_array_equal(kept, np.arange(size))


@pytest.fixture
def photos(tmp_path, data):
    paths = [tmp_path / f"{i}.png" for i in range(54)]
    for image, path in zip(data.images, paths, strict=True):
        Image.fromarray(image[..., 0]).resize((30, 20)).save(path)
    files = ImageFiles(paths, (8, 8), "grayscale")
    return RetrievalDataset(files, data.labels)


@pytest.mark.parametrize(
    "augment",
    [RandomAffine(), RandomResizedCrop(), [RandomResizedCrop(), RandomAffine()]],
    ids=["affine", "crop", "both"],
)
@pytest.mark.parametrize("source", ["data", "photos"])
def test_what_an_image_becomes_does_not_depend_on_hosts(source, augment, request):
    data = request.getfixturevalue(source)
    options = {"sampler": "balanced", "augment": augment}
    (alone,) = hosts(data, 1, 2, **options)
    for whole, *shares in zip(alone, *hosts(data, 3, 2, **options), strict=True):
        joined = np.concatenate([images for images, _ in shares])
        np.testing.assert_array_equal(joined, whole[0])


def test_other_augmentations_draw_on_each_host_anew(data):
    def noise(images, rng):
        return rng.random(images.shape)

    first, second = hosts(data, 2, sampler="balanced", augment=noise)
    again, _ = hosts(data, 2, sampler="balanced", augment=noise)
    for (a, _), (b, _), (c, _) in zip(first, second, again, strict=True):
        assert (a != b).all() and (a == c).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": (2, 2)}, r"host must be \(index, count\), .* Received: \(2, 2\)"),
        ({"host": (-1, 2)}, r"Received: \(-1, 2\)"),
        ({"host": 2}, "Received: 2"),
        ({"host": (0, 5)}, "5 hosts cannot share batches of 12 images equally"),
        (
            {"host": (0, 4), "sampler": "balanced", "images_per_class": 5},
            "4 hosts cannot share batches of 10 images equally",
        ),
    ],
)
def test_bad_arguments(data, options, message):
    with pytest.raises(ValueError, match=message):
        data.batches(12, **options)
