"""Stable weighted reductions that the losses are made of."""

from keras import ops

# For log(0): `exp` of it is 0, and a row of it leaves no NaN, as -inf would.
MASKED = -1e9


def log_weights(weights):
    """`log(w)`, with `MASKED` where `w <= 0`: added to a logit, w copies of it.

    Args:
        weights: float tensor of any shape, multiplicities >= 0.

    Example:

    >>> keras.ops.convert_to_numpy(khp.ops.log_weights(np.array([1.0, 0.0]))).tolist()
    [0.0, -1000000000.0]
    """
    present = weights > 0
    return ops.where(present, ops.log(ops.where(present, weights, 1.0)), MASKED)


def weighted_mean(values, weights):
    """`sum(w v) / sum(w)` over all entries, and 0 where the weights sum to 0.

    Args:
        values, weights: float tensors of one shape.

    Example:

    >>> float(khp.ops.weighted_mean(np.array([1.0, 5.0]), np.array([3.0, 1.0])))
    2.0
    """
    return ops.divide_no_nan(ops.sum(weights * values), ops.sum(weights))


def log_one_plus_sum_exp(logits, axis):
    """`log(1 + sum exp(logits))` along `axis`; 0 where all logits are `MASKED`.

    Args:
        logits: float tensor, of any size: it neither overflows nor loses what is small.
        axis: int, the one that is summed over.

    Example:

    >>> logits = np.array([[0.0, 0.0], [1000.0, -1000.0]], "float32")
    >>> keras.ops.convert_to_numpy(khp.ops.log_one_plus_sum_exp(logits, 1)).round(4)
    array([   1.0986, 1000.    ], dtype=float32)
    """
    return ops.softplus(ops.logsumexp(logits, axis=axis))
