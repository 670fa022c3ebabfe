import base64
import io

import numpy as np
import pytest
from PIL import Image

from keras_hierproxy.report.thumbnails import SIDE, check_images, thumbnail

pytestmark = pytest.mark.host


def read(uri):
    head, _, content = uri.partition(",")
    return head, Image.open(io.BytesIO(base64.b64decode(content)))


def test_gray_is_a_png_of_the_same_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (28, 30, 1)).astype("uint8")
    head, image = read(thumbnail(pixels))
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(image), pixels[..., 0])


def test_colors_are_a_jpeg():
    pixels = np.full((30, 20, 3), (200, 60, 30), "uint8")
    head, image = read(thumbnail(pixels))
    assert head == "data:image/jpeg;base64"
    np.testing.assert_allclose(np.asarray(image), pixels, atol=4)


def test_what_is_transparent_stands_on_white():
    pixels = np.full((8, 8, 4), (200, 60, 30, 0), "uint8")
    _, image = read(thumbnail(pixels))
    np.testing.assert_allclose(np.asarray(image), 255, atol=2)


@pytest.mark.parametrize("shape", [(400, 600, 3), (600, 400, 1)])
def test_large_images_shrink_and_keep_their_proportions(shape):
    _, image = read(thumbnail(np.zeros(shape, "uint8")))
    assert max(image.size) == SIDE
    assert image.width / image.height == pytest.approx(shape[1] / shape[0], rel=0.02)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((4, 8, 8, 3), "float32"), ((4, 8, 8), "uint8"), ((4, 8, 8, 2), "uint8")],
)
def test_what_is_no_image_is_refused(shape, dtype):
    with pytest.raises(ValueError, match=r"must be uint8 of shape \(N, height"):
        check_images(np.zeros(shape, dtype))
