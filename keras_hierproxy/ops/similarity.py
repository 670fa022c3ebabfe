"""L2 normalisation and cosine similarity with gradients that are always finite."""

import keras
from keras import ops

from keras_hierproxy import checks

# Up to this squared norm a vector counts as zero: its direction, and the
# gradient of its direction, are then 0 rather than NaN or huge.
EPSILON = 1e-12


def inverse_norm(x):
    """`1 / |x|` over the last axis, kept with size 1; 0 for zero vectors."""
    # Not `ops.square`, whose gradient takes a pass more over all proxies.
    squared = ops.sum(ops.multiply(x, x), -1, keepdims=True)
    # Asked this way round, NaN is not taken for zero.
    zero = squared <= EPSILON
    return ops.where(zero, 0.0, ops.rsqrt(ops.where(zero, 1.0, squared)))


def l2_normalize(x):
    """`x / |x|` along the last axis; a zero vector stays zero.

    `keras.ops.normalize` has a NaN gradient at zero on JAX and PyTorch, which
    poisons a model even through a term of weight 0.

    Args:
        x: float tensor `(..., d)`.

    Returns:
        Tensor of the same shape and dtype; rows have norm 1, or 0.

    Example:

    >>> rows = khp.ops.l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0]], "float32"))
    >>> keras.ops.convert_to_numpy(rows).round(2)
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    return ops.multiply(x, inverse_norm(x))


def cosine_similarity(x, proxies, scale=1.0):
    """Cosine similarities of embeddings to proxies, times `scale`.

    The proxies' norms are divided out of the product, not out of the proxies:
    for a batch smaller than the dimension that touches less memory than a
    normalised copy of every proxy. `scale` goes into the embeddings for the
    same reason.

    Args:
        x: float tensor `(b, d)`.
        proxies: float tensor `(c, d)`, or `(c, k, d)` with k centers a class.
        scale: float, a temperature's inverse, or a tensor of it.

    Returns:
        Tensor `(b, c)`, or `(b, c, k)`.

    Example:

    >>> x, proxies = np.array([[2.0, 0.0]]), np.array([[5.0, 0.0], [0.0, 1.0]])
    >>> similarity = khp.ops.cosine_similarity(x, proxies)
    >>> keras.ops.convert_to_numpy(similarity).round(4).tolist()
    [[1.0, 0.0]]
    """
    if not (ops.is_tensor(scale) or isinstance(scale, keras.Variable)):
        scale = checks.real("scale", scale)
    flat = ops.reshape(proxies, (-1, ops.shape(proxies)[-1]))
    product = ops.matmul(scale * l2_normalize(x), ops.transpose(flat))
    similarity = product * ops.transpose(inverse_norm(flat))
    return ops.reshape(similarity, (-1, *ops.shape(proxies)[:-1]))


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
