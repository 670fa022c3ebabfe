import numpy as np
import pytest
from PIL import Image

from keras_hierproxy.datasets import ImageFiles, RandomResizedCrop, RetrievalDataset

pytestmark = pytest.mark.host

SIZE = (640, 480)  # width, height


@pytest.fixture
def noise():
    """Smooth, so that a shift by a fraction of a pixel does not change everything."""
    small = np.random.default_rng(0).integers(0, 256, (12, 16, 3), "uint8")
    return Image.fromarray(small).resize(SIZE, Image.Resampling.BICUBIC)


def boxes(crop, size, count=20_000):
    draws = crop.draw(np.random.default_rng(0), count)
    return np.array([crop.box(draw, size) for draw in draws])


@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.08, 1.0), (0.3, 0.4)])
def test_parts_have_the_areas_and_proportions_asked_for(scale):
    left, upper, right, lower = boxes(RandomResizedCrop(scale), SIZE).T
    assert left.min() >= 0 and upper.min() >= 0
    assert right.max() <= 640 and lower.max() <= 480
    area = (right - left) * (lower - upper) / (640 * 480)
    ratio = (right - left) / (lower - upper)
    assert area.min() == pytest.approx(scale[0], rel=0.02) and area.min() >= scale[0]
    assert area.max() == pytest.approx(scale[1], rel=0.02) and area.max() <= scale[1]
    assert ratio.min() == pytest.approx(3 / 4, rel=0.01) and ratio.min() >= 3 / 4
    assert ratio.max() == pytest.approx(4 / 3, rel=0.01) and ratio.max() <= 4 / 3


def test_small_parts_are_spread_evenly():
    """None is rejected for lying outside: all distributions are those drawn from."""
    left, upper, right, lower = boxes(RandomResizedCrop((0.1, 0.3)), SIZE).T
    area = (right - left) * (lower - upper) / (640 * 480)
    ratio = np.log((right - left) / (lower - upper)) / np.log(4 / 3)
    for values, low, high in (
        (area, 0.1, 0.3),
        (ratio, -1, 1),
        (left / (left + 640 - right), 0, 1),
        (upper / (upper + 480 - lower), 0, 1),
    ):
        deciles = np.quantile(values, np.arange(1, 10) / 10)
        np.testing.assert_allclose(
            deciles, low + (high - low) * np.arange(1, 10) / 10, atol=0.03 * high
        )


def test_draws_of_one_image_are_independent():
    draws = RandomResizedCrop().draw(np.random.default_rng(0), 20_000)
    correlations = np.corrcoef(draws.T) - np.eye(draws.shape[1])
    assert np.abs(correlations).max() < 0.05


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1000, 10), (493.3, 0, 506.7, 10)), ((10, 1000), (0, 493.3, 10, 506.7))],
)
def test_of_an_image_longer_than_all_parts_the_centre(size, expected):
    cut = boxes(RandomResizedCrop((0.9, 1)), size, 10)
    np.testing.assert_allclose(cut, np.tile(expected, (10, 1)), atol=0.05)


def test_half_of_the_images_are_flipped():
    ramp = np.tile(np.arange(32, dtype="uint8")[:, None], (2000, 4, 1, 1))
    flipped = RandomResizedCrop()(ramp, np.random.default_rng(0))
    flipped = flipped[:, 0, 0, 0] > flipped[:, 0, -1, 0]
    assert 0.46 < flipped.mean() < 0.54
    kept = RandomResizedCrop(flip=False)(ramp, np.random.default_rng(0))
    assert (kept[:, 0, 0, 0] < kept[:, 0, -1, 0]).all()


def reference(picture, box, flip, image_size=(24, 32)):
    """A part of the picture, cut and resized by Pillow."""
    part = picture.resize(image_size[::-1], Image.Resampling.BICUBIC, tuple(box))
    pixels = np.asarray(part).reshape(*image_size, -1)
    return pixels[:, ::-1] if flip else pixels


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_parts_are_cut_out_of_the_original_pixels(tmp_path, noise, mode):
    noise.convert(mode).save(tmp_path / "a.png")
    color_mode = {"RGB": "rgb", "L": "grayscale"}[mode]
    files = ImageFiles([tmp_path / "a.png"] * 6, (24, 32), color_mode)
    crop = RandomResizedCrop()
    crops = crop(files, np.random.default_rng(3))
    draws = crop.draw(np.random.default_rng(3), 6)
    assert len({draw[0] < 0.5 for draw in draws}) == 2
    for pixels, draw in zip(crops, draws, strict=True):
        box = crop.box(draw, SIZE)
        expected = reference(noise.convert(mode), box, draw[0] < 0.5)
        np.testing.assert_array_equal(pixels, expected)


def test_parts_of_arrays_are_those_of_files(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3), "uint8")
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    files = ImageFiles([tmp_path / f"{i}.png" for i in range(5)], (24, 32))
    crop = RandomResizedCrop()
    np.testing.assert_array_equal(
        crop(images, np.random.default_rng(1)), crop(files, np.random.default_rng(1))
    )


@pytest.mark.parametrize(
    ("scale", "pixels"), [((0.9, 1.0), 320 * 240), ((0.02, 0.05), 640 * 480)]
)
def test_large_jpegs_are_reduced_as_far_as_the_part_allows(
    tmp_path, noise, monkeypatch, scale, pixels
):
    noise.save(tmp_path / "a.jpg", quality=95)
    original = np.asarray(Image.open(tmp_path / "a.jpg"))
    files = ImageFiles([tmp_path / "a.jpg"] * 8, (90, 120))
    crop = RandomResizedCrop(scale)

    decoded = []
    resize = Image.Image.resize

    def watched(picture, *args):
        decoded.append(picture.size[0] * picture.size[1])
        return resize(picture, *args)

    monkeypatch.setattr(Image.Image, "resize", watched)
    crops = crop(files, np.random.default_rng(0))
    assert set(decoded) == {pixels}
    draws = crop.draw(np.random.default_rng(0), 8)
    for image, draw in zip(crops, draws, strict=True):
        box = crop.box(draw, SIZE)
        expected = reference(
            Image.fromarray(original), box, draw[0] < 0.5, (90, 120)
        ).astype(int)
        assert np.abs(image - expected).mean() < 1.5


def test_parts_are_drawn_on_photos_turned_upright(tmp_path, noise):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise
    noise.save(tmp_path / "a.png", exif=exif)
    upright = noise.transpose(Image.Transpose.ROTATE_270)
    crop = RandomResizedCrop(flip=False)
    files = ImageFiles([tmp_path / "a.png"], (24, 32))
    (draw,) = crop.draw(np.random.default_rng(0), 1)
    expected = reference(upright, crop.box(draw, (480, 640)), flip=False)
    actual = crop(files, np.random.default_rng(0))[0]
    np.testing.assert_array_equal(actual, expected)


@pytest.fixture
def photos(tmp_path, noise):
    """Ten photos in files, two a class."""
    paths = [tmp_path / f"{i}.jpg" for i in range(10)]
    for i, path in enumerate(paths):
        noise.rotate(36 * i).save(path)
    return RetrievalDataset(ImageFiles(paths, (20, 20)), np.arange(10) // 2)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_do_not_depend_on_workers_nor_on_a_resumption(photos, workers):
    def epoch(number, workers):
        batches = photos.batches(4, augment=RandomResizedCrop(), workers=workers)
        batches.epoch = number
        return [images for images, _ in batches]

    whole = photos.batches(4, augment=RandomResizedCrop(), workers=workers)
    for whole.epoch in range(3):
        for (images, _), expected in zip(whole, epoch(whole.epoch, 0), strict=True):
            np.testing.assert_array_equal(images, expected)
    assert not (epoch(1, 0)[0] == epoch(2, 0)[0]).all()


def test_batches_cut_out_of_the_files(photos):
    """Not out of what has been decoded to 20 x 20."""
    crop = RandomResizedCrop((0.05, 0.06), flip=False)
    batches = photos.batches(10, augment=crop, shuffle=False)
    images, _ = batches[0]
    rng = np.random.default_rng((0, 0, 2, 0))
    np.testing.assert_array_equal(images, crop(photos.images, rng))
    from_small = crop(photos.images[:], np.random.default_rng((0, 0, 2, 0)))
    assert np.abs(images.astype(int) - from_small).mean() > 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (0, 1)}, "scale must be a least and a largest value, .* at most 1"),
        ({"scale": (0.5, 1.1)}, r"Received: \(0.5, 1.1\)"),
        ({"scale": 0.5}, "Received: 0.5"),
        ({"ratio": (2, 1)}, "ratio must be a least and a largest value, above 0. R"),
        ({"interpolation": "cubic"}, "one of .*'bicubic'.* Received: 'cubic'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**options)


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="RandomResizedCrop takes uint8 images"):
        RandomResizedCrop()(np.zeros((2, 8, 8, 3)), np.random.default_rng(0))
