"""L2 normalisation and cosine similarity with gradients that are always finite.

Those of `keras.ops.normalize` are NaN at zero on JAX and PyTorch.
"""

import keras
from keras import ops

from keras_hierproxy import checks

# Up to this squared norm a vector is 0, and so is the gradient of its direction.
EPSILON = 1e-12


def inverse_norm(x):
    """`1 / |x|` over the last axis, kept with size 1; 0 for zero vectors."""
    # Not `ops.square`, whose gradient takes a pass more over all proxies.
    squared = ops.sum(ops.multiply(x, x), -1, keepdims=True)
    # Asked this way round, NaN is not taken for zero.
    zero = squared <= EPSILON
    return ops.where(zero, 0.0, ops.rsqrt(ops.where(zero, 1.0, squared)))


def l2_normalize(x):
    """`x / |x|` along the last axis; a zero vector stays zero, its gradient finite.

    Args:
        x: float tensor `(..., d)`.

    Example:

    >>> rows = khp.ops.l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0]], "float32"))
    >>> keras.ops.convert_to_numpy(rows[0]).round(2)
    array([0.6, 0.8], dtype=float32)
    """
    return ops.multiply(x, inverse_norm(x))


def cosine_similarity(x, proxies, scale=1.0):
    """Cosine similarities `(b, c)`, or `(b, c, k)`, to proxies, times `scale`.

    Args:
        x: float tensor `(b, d)`.
        proxies: float tensor `(c, d)`, or `(c, k, d)` with k centers a class.
        scale: float, a temperature's inverse, or a tensor of it.

    Example:

    >>> x, proxies = np.array([[2.0, 0.0]]), np.array([[5.0, 0.0], [0.0, 1.0]])
    >>> similarity = khp.ops.cosine_similarity(x, proxies)
    >>> keras.ops.convert_to_numpy(similarity).round(4).tolist()
    [[1.0, 0.0]]
    """
    if not (ops.is_tensor(scale) or isinstance(scale, keras.Variable)):
        scale = checks.real("scale", scale)
    flat = ops.reshape(proxies, (-1, ops.shape(proxies)[-1]))
    # Norms leave the product, and the scale enters the embeddings: no copy of proxies.
    product = ops.matmul(scale * l2_normalize(x), ops.transpose(flat))
    similarity = product * ops.transpose(inverse_norm(flat))
    return ops.reshape(similarity, (-1, *ops.shape(proxies)[:-1]))
