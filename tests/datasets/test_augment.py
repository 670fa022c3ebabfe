import numpy as np
import pytest

from keras_hierproxy.datasets import RandomAffine

pytestmark = pytest.mark.host

STILL = {"rotation": 0, "scale": 0, "shear": 0, "translation": 0}
DRAWS = ("rotation", "scale", "shear", "dx", "dy")


class Drawn:
    """A generator that draws what it is told to, in [-1, 1]."""

    def __init__(self, **draws):
        self.draws = [draws.get(name, 0) for name in DRAWS]

    def uniform(self, low, high, shape):
        assert (low, high, shape[0]) == (-1, 1, len(DRAWS))
        return np.tile(np.array(self.draws, float)[:, None], (1, shape[1]))


@pytest.fixture
def images():
    """A block off the centre of each of 5 images, not square."""
    images = np.zeros((5, 24, 32, 1), "uint8")
    images[:, 8:12, 14:20] = 200
    return images


def test_no_distortion_is_the_identity(images):
    result = RandomAffine(**STILL)(images, np.random.default_rng(0))
    np.testing.assert_array_equal(result, images)


def test_same_generator_same_pixels_and_each_image_its_own(images):
    first, again = (RandomAffine()(images, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not (first[0] == first[1]).all()
    assert first.dtype == np.uint8 and first.shape == images.shape


def test_shift_in_pixels(images):
    affine = RandomAffine(**STILL | {"translation": 0.125})
    result = affine(images, Drawn(dx=1, dy=-1))
    np.testing.assert_array_equal(result, np.roll(images, (-3, 4), axis=(1, 2)))


def test_rotation_about_the_centre():
    square = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), "uint8")
    affine = RandomAffine(**STILL | {"rotation": 90})
    turned = affine(square, Drawn(rotation=1))
    back = affine(square, Drawn(rotation=-1))
    for result, quarters in ((turned, 1), (back, -1)):
        expected = np.rot90(square, quarters, axes=(1, 2))
        np.testing.assert_allclose(result.astype(int), expected, atol=1)


@pytest.mark.parametrize(("draw", "factor"), [(1, 2), (-1, 0.5)])
def test_scale_changes_the_area(images, draw, factor):
    result = RandomAffine(**STILL | {"scale": 1})(images, Drawn(scale=draw))
    assert result.sum() == pytest.approx(factor**2 * images.sum(), rel=0.05)


def test_shear_keeps_the_area_and_moves_the_top_against_the_bottom():
    bar = np.zeros((1, 33, 33, 1), "uint8")
    bar[0, 4:29, 15:18] = 255
    result = RandomAffine(**STILL | {"shear": 30})(bar, Drawn(shear=1))[0, ..., 0]
    assert result.sum() == pytest.approx(bar.sum(), rel=0.05)
    columns = result @ np.arange(33) / np.maximum(result.sum(1), 1)
    assert columns[5] - columns[27] == pytest.approx(22 * np.tan(np.pi / 6), abs=0.5)


def test_fill_is_what_comes_in_from_outside():
    white = np.full((1, 8, 8, 3), 255, "uint8")
    affine = RandomAffine(**STILL | {"translation": 0.5}, fill=9)
    result = affine(white, Drawn(dx=1))
    assert (result[0, :, :4] == 9).all() and (result[0, :, 4:] == 255).all()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 8, 8, 1)),
        np.zeros((2, 8, 8), "uint8"),
        np.zeros((2, 8, 8, 4), "uint8"),
    ],
)
def test_other_images_are_refused(images):
    with pytest.raises(ValueError, match=r"uint8 images \(B, H, W, C\)"):
        RandomAffine()(images, np.random.default_rng(0))


def test_negative_ranges_are_refused():
    with pytest.raises(ValueError, match="`shear` must be .* at least 0.*Received: -1"):
        RandomAffine(shear=-1)
