"""Images of a batch as Pillow takes them."""

import numpy as np


def check_images(augmentation, images):
    """Raises `ValueError` for images that Pillow does not take.

    Args:
        augmentation: its name, for the error.
        images: should be `uint8` `(B, H, W, C)`, `C` 1 or 3: an array, or `ImageFiles`.
    """
    shape = images.shape
    if images.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3):
        raise ValueError(
            f"{augmentation} takes uint8 images (B, H, W, C) with C = 1 or 3. "
            f"Received {images.dtype} of shape {shape}."
        )


def to_picture(image):
    """A Pillow image of mode `"L"` or `"RGB"` of an array `(H, W, C)`."""
    from PIL import Image

    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
