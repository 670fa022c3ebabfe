import numpy as np
import pytest
from PIL import Image, ImageOps

from keras_hierproxy.datasets import ImageFiles

pytestmark = pytest.mark.host

SIZES = [(300, 200), (200, 300), (256, 256), (401, 333)]


def smooth(size):
    small = np.random.default_rng(0).integers(0, 256, (9, 9, 3), "uint8")
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def saved(picture, path, **options):
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_the_centre_is_what_pillow_fits(tmp_path, size, interpolation):
    path = saved(smooth(size), tmp_path / "a.png")
    for image_size in ((64, 64), (48, 96)):
        image = ImageFiles([path], image_size, interpolation=interpolation)[0]
        resampling = Image.Resampling[interpolation.upper()]
        expected = ImageOps.fit(smooth(size), image_size[::-1], resampling)
        np.testing.assert_allclose(image.astype(int), np.asarray(expected), atol=1)


@pytest.mark.parametrize("size", SIZES)
def test_evaluation_resizes_the_shorter_side_and_crops_the_centre(tmp_path, size):
    """In two steps in the papers, with sides rounded in between; here in one."""
    path = saved(smooth(size), tmp_path / "a.png")
    image = ImageFiles([path], (112, 112), center_crop=112 / 128)[0]
    scale = 128 / min(size)
    resized = smooth(size).resize(
        [round(side * scale) for side in size], Image.Resampling.BICUBIC
    )
    left, upper = ((side - 112) // 2 for side in resized.size)
    expected = resized.crop((left, upper, left + 112, upper + 112))
    difference = np.abs(image - np.asarray(expected).astype(int))
    assert difference.mean() < 1.5
    whole = ImageFiles([path], (112, 112))[0]
    assert np.abs(whole - np.asarray(expected).astype(int)).mean() > 5


def test_the_centre_of_a_large_jpeg_is_reduced(tmp_path):
    picture = smooth((1600, 1200))
    path = saved(picture, tmp_path / "a.jpg", quality=95)
    for share in (1, 0.875):
        image = ImageFiles([path], (96, 96), center_crop=share)[0]
        half = 600 * share
        box = (800 - half, 600 - half, 800 + half, 600 + half)
        expected = picture.resize((96, 96), Image.Resampling.BICUBIC, box)
        assert np.abs(image - np.asarray(expected).astype(int)).mean() < 1.5


def test_subsets_are_decoded_alike(tmp_path):
    path = saved(smooth((90, 60)), tmp_path / "a.png")
    files = ImageFiles([path] * 2, (16, 16), "grayscale", 0.5, "nearest")
    np.testing.assert_array_equal(files.subset([1])[0], files[1])
    plain = ImageFiles([path], (16, 16), "grayscale")
    assert (files[1] != plain[0]).any()


def test_other_modes_are_converted(tmp_path):
    color = smooth((30, 30))
    for name, picture in (
        ("palette.png", color.quantize(256)),
        ("alpha.png", color.convert("RGBA")),
        ("gray.png", color.convert("L")),
        ("cmyk.jpg", color.convert("CMYK")),
    ):
        path = saved(picture, tmp_path / name)
        for mode, color_mode in (("RGB", "rgb"), ("L", "grayscale")):
            image = ImageFiles([path], (30, 30), color_mode)[0]
            with Image.open(path) as again:
                expected = np.asarray(again.convert(mode)).reshape(image.shape)
            np.testing.assert_allclose(image.astype(int), expected, atol=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"center_crop": 0}, r"a share in \(0, 1\], .* Received: 0"),
        ({"center_crop": 224}, "Received: 224"),
        ({"interpolation": "cubic"}, "one of .*'bicubic'.* Received: 'cubic'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ImageFiles([], (16, 16), **options)
