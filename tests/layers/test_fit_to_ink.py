"""Letters brought to one size and place."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_hierproxy.layers import FitToInk


def fit(images, **options):
    return ops.convert_to_numpy(FitToInk(**options)(np.asarray(images)))


@pytest.fixture(scope="module")
def ring():
    """A ring of 20 x 12 pixels, off the centre of 40 x 60."""
    image = np.zeros((1, 40, 60, 1), "uint8")
    image[0, 5:25, 40:52] = 255
    image[0, 9:21, 44:48] = 0
    return image


def test_the_same_wherever_it_stands(ring):
    moved = np.roll(ring, (11, -23), axis=(1, 2))
    wide = np.pad(ring, ((0, 0), (7, 40), (30, 1), (0, 0)))
    expected = fit(ring)
    for other in (moved, wide, np.concatenate([moved, ring])):
        np.testing.assert_allclose(fit(other)[0], expected[0], atol=0.01)


@pytest.mark.parametrize("size", [16, 64])
def test_as_pillow_resizes_the_square_of_the_ink(ring, size):
    """Smaller, over all pixels; larger, between neighbours."""
    square = Image.fromarray(ring[0, 5:25, 36:56, 0])
    expected = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
    result = fit(ring, image_size=size, margin=0)[0, ..., 0]
    # At the border Pillow repeats pixels, where here it is black outside.
    inner = slice(size // 16, -size // 16)
    np.testing.assert_allclose(result[inner, inner], expected[inner, inner], atol=2)


def test_the_margin(ring):
    lit = np.argwhere(fit(ring, image_size=100, margin=0.1)[0, ..., 0] > 127)
    assert lit.min(axis=0).tolist() == [10, 26] and lit.max(axis=0).tolist() == [89, 73]


def test_dark_on_light_and_faint_ink(ring):
    expected = fit(ring)
    np.testing.assert_allclose(fit(255 - ring), expected, atol=0.01)
    np.testing.assert_allclose(fit(ring // 3), expected, atol=0.01)
    # Noise below the threshold does not count.
    noisy = ring.copy()
    noisy[0, 38, 2] = 60
    np.testing.assert_allclose(fit(noisy), expected, atol=0.01)


def test_colours_keep_their_channels(ring):
    colored = ring * np.array([0, 0.5, 1])
    result = fit(colored)
    np.testing.assert_allclose(result, fit(ring) * [0, 0.5, 1], atol=0.01)


def test_without_ink():
    assert not fit(np.zeros((2, 9, 9, 1), "uint8")).any()
    assert not fit(np.full((2, 9, 9, 1), 255, "uint8")).any()


def test_saved_and_in_a_model(ring):
    layer = FitToInk(image_size=20, margin=0.2, threshold=0.4, name="ink")
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert again.get_config() == layer.get_config()
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, again(inputs))
    assert model.output_shape == (None, 20, 20, 1)
    np.testing.assert_allclose(
        model.predict(ring.astype("float32"), verbose=0),
        fit(ring, image_size=20, margin=0.2, threshold=0.4),
        atol=1e-3,
    )


@pytest.mark.parametrize(
    "options", [{"image_size": 0}, {"margin": 0.5}, {"threshold": 1.0}]
)
def test_bad_arguments(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        FitToInk(**options)


@pytest.mark.parametrize("shape", [(2, 8, 8), (8, 8, 1)])
def test_images_of_another_rank(shape):
    with pytest.raises(ValueError, match=r"n, height, width, channels.*\[\.\.\., None"):
        FitToInk()(np.zeros(shape, "float32"))
