"""Files of images, read as a model takes them."""

import numpy as np

from keras_hierproxy.datasets import ImageFiles

# Where neither the network nor its preprocessor says a size.
_USUAL_SIZE = (224, 224)


def image_files(paths, embedder, known=None):
    """Files of images, to be decoded in the embedder's size when they are needed."""
    *size, channels = image_shape(embedder, known)
    mode = "grayscale" if channels == 1 else "rgb"
    return ImageFiles(list(paths), tuple(size), mode)


def image_shape(embedder, known=None):
    """`(height, width, channels)` in which files are read for an embedder.

    Args:
        embedder: an `Embedder`.
        known: such a shape, for networks that take any size, or None.
    """
    takes = embedder.input_shape
    if not (isinstance(takes, tuple) and len(takes) == 4):
        raise ValueError(
            f"The embedder takes inputs of shape {takes}, and no images from "
            "files: pass arrays."
        )
    *size, channels = takes[1:]
    if None in size:
        preprocessor = getattr(embedder, "preprocessor", None)
        size = getattr(preprocessor, "image_size", None) or (known or _USUAL_SIZE)[:2]
    return (*np.broadcast_to(size, 2).tolist(), channels)
