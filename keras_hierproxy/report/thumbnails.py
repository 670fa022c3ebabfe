"""Images small enough to stand in a page."""

import base64
import io

import numpy as np

from keras_hierproxy import datasets

# Pixels of the longer side; a phone with a sharp screen shows 85 points.
SIDE = 112
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def check_images(images):
    """Raises `ValueError` unless `images` can be shown."""
    shape, dtype = tuple(images.shape), images.dtype
    if len(shape) != 4 or shape[3] not in _MODES or dtype != np.uint8:
        raise ValueError(
            "A report shows images: `data.images` must be uint8 of shape (N, height, "
            f"width, channels) with 1, 3 or 4 channels. Received: {dtype} of shape "
            f"{shape}."
        )


def thumbnail(pixels):
    """An image as a data URI, of at most 112 pixels a side.

    Args:
        pixels: uint8 array `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)`.

    Returns:
        A string: JPEG for colours, PNG for gray, which are often drawings. What is
        transparent stands on white.
    """
    from PIL import Image

    mode = _MODES[pixels.shape[2]]
    image = Image.fromarray(pixels.squeeze(2) if mode == "L" else pixels)
    if mode == "RGBA":
        white = Image.new(mode, image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    kind = "png" if mode == "L" else "jpeg"
    image.save(file, kind, quality=80, optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def thumbnail_of_file(path):
    """The middle of an image file as of `thumbnail`, or None where it can't be read."""
    try:
        return thumbnail(datasets.ImageFiles([path], SIDE)[0])
    except ValueError:  # `UnreadableImage`: missing, moved, damaged
        return None
