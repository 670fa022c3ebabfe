"""Similarities to classes of several centers."""

from keras import ops

from keras_hierproxy.ops.similarity import cosine_similarity


def center_similarity(x, centers):
    """Cosine similarities of embeddings to the centers of each class.

    Args:
        x: float tensor `(b, d)`.
        centers: float tensor `(c, k, d)`, or `(c, d)` with one center a class.

    Returns:
        Tensor `(b, c, k)`, `(b, c, 1)` with one center a class.

    Example:

    >>> x = np.random.normal(size=(4, 8)).astype("float32")
    >>> centers = np.random.normal(size=(10, 3, 8)).astype("float32")
    >>> tuple(khp.ops.center_similarity(x, centers).shape)
    (4, 10, 3)
    """
    if len(centers.shape) == 2:
        centers = ops.expand_dims(centers, 1)
    return cosine_similarity(x, centers)
