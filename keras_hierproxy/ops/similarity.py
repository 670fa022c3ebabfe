"""L2 normalisation and cosine similarity with gradients that are always finite."""

from keras import ops

# Below this squared norm a vector counts as zero: its direction, and the
# gradient of its direction, are then 0 rather than NaN.
EPSILON = 1e-12


def inverse_norm(x):
    """`1 / max(|x|, sqrt(EPSILON))` along the last axis, shape `x.shape[:-1] + (1,)`."""
    return ops.rsqrt(ops.maximum(ops.sum(ops.square(x), -1, keepdims=True), EPSILON))


def l2_normalize(x):
    """`x / |x|` along the last axis; a zero vector stays zero.

    `keras.ops.normalize` has a NaN gradient at zero on JAX and PyTorch, which
    poisons a model even through a term of weight 0.

    Args:
        x: float tensor `(..., d)`.

    Returns:
        Tensor of the same shape and dtype; rows have norm 1, or 0.
    """
    return x * inverse_norm(x)


def cosine_similarity(x, proxies):
    """Cosine similarities of embeddings to proxies.

    The proxies' norms are divided out of the product, not out of the proxies:
    for a batch smaller than the dimension that touches less memory than a
    normalised copy of every proxy.

    Args:
        x: float tensor `(b, d)`.
        proxies: float tensor `(c, d)`.

    Returns:
        Tensor `(b, c)`.
    """
    product = ops.matmul(l2_normalize(x), ops.transpose(proxies))
    return product * ops.transpose(inverse_norm(proxies))
