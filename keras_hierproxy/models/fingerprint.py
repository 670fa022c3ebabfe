"""Whether two models give the same embeddings."""

import hashlib

import numpy as np
from keras import ops

from keras_hierproxy.layers import LatentHierarchy, Proxies


def fingerprint(embedder):
    """SHA-256 of the weights that an embedding depends on, and of its geometry.

    The same for a model that was saved and loaded, with other classes and proxies, and
    on any backend.

    Args:
        embedder: an `ImageEmbedder` or `EmbeddingModel`.

    Returns:
        str of 64 hexadecimal digits.

    Example:

    >>> embedder = khp.models.ImageEmbedder(khp.models.conv4(), num_classes=3)
    >>> len(fingerprint(embedder))
    64
    """
    digest = hashlib.sha256(repr(embedder.geometry).encode())
    for layer in (getattr(embedder, "preprocessor", None), *embedder.layers):
        if isinstance(layer, Proxies | LatentHierarchy):
            continue
        for weight in getattr(layer, "weights", ()):
            values = np.ascontiguousarray(ops.convert_to_numpy(weight))
            digest.update(repr((values.shape, str(values.dtype))).encode())
            digest.update(values.tobytes())
    return digest.hexdigest()
