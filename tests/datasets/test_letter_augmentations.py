"""Augmentations of letters: elastic distortion, stroke width."""

import numpy as np
import pytest
from scipy import ndimage

from keras_hierproxy.datasets import RandomElastic, RandomStrokeWidth

pytestmark = pytest.mark.host

BOTH = [RandomElastic(), RandomStrokeWidth()]


@pytest.fixture
def images():
    """A bar of three pixels in each of 5 images, not square, of three channels."""
    images = np.zeros((5, 24, 32, 3), "uint8")
    images[:, 4:20, 14:17] = (200, 100, 50)
    return images


@pytest.mark.parametrize("augment", BOTH)
def test_same_generator_same_pixels_and_each_image_its_own(augment, images):
    first, again = (augment(images, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not (first[0] == first[1]).all()
    assert first.dtype == np.uint8 and first.shape == images.shape


@pytest.mark.parametrize("augment", BOTH)
def test_an_image_does_not_depend_on_the_others(augment, images):
    draws = augment.draw(np.random.default_rng(1), 5)
    whole = augment.apply(images, draws)
    np.testing.assert_array_equal(augment.apply(images[3:], draws[3:]), whole[3:])


@pytest.mark.parametrize("augment", [RandomElastic(0), RandomStrokeWidth(0)])
def test_no_strength_is_the_identity(augment, images):
    result = augment(images, np.random.default_rng(0))
    np.testing.assert_array_equal(result, images)


@pytest.mark.parametrize("augment", BOTH)
def test_other_images_are_refused(augment):
    with pytest.raises(ValueError, match="Received float32"):
        augment(np.zeros((1, 8, 8, 1), "float32"), np.random.default_rng(0))


def test_an_even_field_shifts(images):
    """Everywhere the same shift: 2 of 24 rows, -4 of 32 columns."""
    elastic = RandomElastic(strength=1.0)
    draws = np.empty((5, 2, 4, 4))
    draws[:, 0], draws[:, 1] = 2 / 24, -4 / 32
    result = elastic.apply(images, draws)
    np.testing.assert_array_equal(result[:, :22, 4:], images[:, 2:, :-4])
    assert not result[:, 22:].any() and not result[:, :, :4].any()


def test_a_field_bends_as_scipy_does(images):
    elastic = RandomElastic(strength=0.05, grid=3)
    draws = elastic.draw(np.random.default_rng(0), 5)
    size = images.shape[1:3]
    # Through three points goes a parabola.
    weights = [
        np.vander(np.linspace(0, 1, n), 3) @ np.linalg.inv(np.vander([0, 0.5, 1], 3))
        for n in size
    ]
    shifts = 0.05 * np.einsum("yi,bcij,xj->bcyx", weights[0], draws, weights[1])
    results = elastic.apply(images, draws)
    for image, result, shift in zip(images, results, shifts, strict=True):
        places = np.indices(size) + shift * np.reshape(size, (2, 1, 1))
        for channel in range(3):
            expected = ndimage.map_coordinates(
                image[..., channel].astype(float), places, order=1, mode="grid-constant"
            )
            np.testing.assert_allclose(result[..., channel], expected, atol=0.51)


def test_thicker_and_thinner(images):
    strokes = RandomStrokeWidth(strength=1.0)
    thick, half, same, thin = strokes.apply(images[:4], np.array([1.0, 0.5, 0, -1.0]))
    lit = [(image[..., 0] > 0).sum() for image in (thick, same, thin)]
    assert lit == [18 * 5, 16 * 3, 15 * 2]
    assert thick[10, 13].tolist() == [200, 100, 50]
    assert half[10, 13].tolist() == [100, 50, 25]
    assert same[10, 13].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: RandomElastic(strength=-0.1), "at least 0. Received: -0.1"),
        (lambda: RandomElastic(grid=1), "integer of at least 2. Received: 1"),
        (lambda: RandomElastic(grid=2.5), "integer of at least 2. Received: 2.5"),
        (lambda: RandomStrokeWidth(strength=1.5), "at most 1. Received: 1.5"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
