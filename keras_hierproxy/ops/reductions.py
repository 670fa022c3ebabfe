"""Stable weighted reductions that the losses are made of."""

from keras import ops

# Stands in for log(0): `exp` of it is exactly 0, and unlike -inf it leaves no
# NaN where a whole row is masked.
MASKED = -1e9


def log_weights(weights):
    """`log(w)`, with `MASKED` where `w <= 0`: added to a logit, w copies of it.

    Args:
        weights: float tensor of any shape, multiplicities >= 0.

    Returns:
        Tensor of the same shape.

    Example:

    >>> keras.ops.convert_to_numpy(khp.ops.log_weights(np.array([1.0, 0.0]))).tolist()
    [0.0, -1000000000.0]
    """
    present = weights > 0
    return ops.where(present, ops.log(ops.where(present, weights, 1.0)), MASKED)


def weighted_mean(values, weights):
    """`sum(w v) / sum(w)` over all entries, and 0 where the weights sum to 0.

    Args:
        values: float tensor.
        weights: float tensor of the same shape.

    Returns:
        Scalar tensor.

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

    Returns:
        Tensor without that axis.

    Example:

    >>> logits = np.array([[0.0, 0.0], [1000.0, -1000.0]], "float32")
    >>> keras.ops.convert_to_numpy(khp.ops.log_one_plus_sum_exp(logits, 1)).round(4)
    array([   1.0986, 1000.    ], dtype=float32)
    """
    return ops.softplus(ops.logsumexp(logits, axis=axis))


def is_own(labels, num_classes):
    """Bool `(b, c)`: whether a class is the sample's own.

    Args:
        labels: int tensor `(b,)`.
        num_classes: int, c.

    Returns:
        Bool tensor `(b, c)`.

    Example:

    >>> keras.ops.convert_to_numpy(khp.ops.is_own(np.array([2, 0]), 3)).tolist()
    [[False, False, True], [True, False, False]]
    """
    return labels[:, None] == ops.arange(num_classes, dtype="int32")


def at_own(values, labels):
    """Each sample's entry of `values` `(b, c)` at its own class, shape `(b,)`.

    The gradient of `take_along_axis` is a scatter, on TensorFlow the slowest of all
    passes over `(b, c)`.

    Args:
        values: float tensor `(b, c)`.
        labels: int tensor `(b,)` in `[0, c)`.

    Returns:
        Tensor `(b,)`.

    Example:

    >>> values = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], "float32")
    >>> keras.ops.convert_to_numpy(khp.ops.at_own(values, np.array([2, 0])))
    array([0.3, 0.4], dtype=float32)
    """
    return ops.sum(ops.where(is_own(labels, ops.shape(values)[1]), values, 0.0), axis=1)


def cross_entropy(logits, labels, target_logits=None, counts=None):
    """Softmax cross-entropy per sample, with the target's logit given apart.

    `-log(exp(t_i) / (exp(t_i) + sum_{p != y_i} exp(logits_ip)))`

    Args:
        logits: float tensor `(b, c)`.
        labels: int tensor `(b,)` in `[0, c)`.
        target_logits: float tensor `(b,)`, the logits `t` of the true classes
            (with a margin, say). By default those in `logits`.
        counts: float tensor `(c,)`, for how many classes each stands, above 0; by
            default 1.

    Returns:
        Tensor `(b,)`.

    Example:

    >>> logits = keras.ops.zeros((2, 4))
    >>> loss = khp.ops.cross_entropy(logits, np.array([1, 3]))
    >>> keras.ops.convert_to_numpy(loss).round(4)  # log 4
    array([1.3863, 1.3863], dtype=float32)
    """
    if target_logits is None:
        target_logits = at_own(logits, labels)
    others = 0.0 if counts is None else ops.log(counts)
    masked = ops.where(is_own(labels, ops.shape(logits)[1]), MASKED, others)
    return ops.softplus(ops.logsumexp(logits + masked, axis=1) - target_logits)
