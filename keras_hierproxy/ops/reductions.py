"""Stable weighted reductions that the losses are made of."""

from keras import ops

# Stands in for log(0): `exp` of it is exactly 0, and unlike -inf it leaves no
# NaN where a whole row is masked.
MASKED = -1e9


def log_weights(weights):
    """`log(w)`, with `MASKED` where `w <= 0`: added to a logit, w copies of it."""
    present = weights > 0
    return ops.where(present, ops.log(ops.where(present, weights, 1.0)), MASKED)


def weighted_mean(values, weights):
    """`sum(w v) / sum(w)` over all entries, and 0 where the weights sum to 0."""
    return ops.divide_no_nan(ops.sum(weights * values), ops.sum(weights))


def log_one_plus_sum_exp(logits, axis):
    """`log(1 + sum exp(logits))` along `axis`; 0 where all logits are `MASKED`."""
    return ops.softplus(ops.logsumexp(logits, axis=axis))


def is_own(labels, num_classes):
    """Bool `(b, c)`: whether a class is the sample's own."""
    return labels[:, None] == ops.arange(num_classes, dtype="int32")


def at_own(values, labels):
    """Each sample's entry of `values` `(b, c)` at its own class, shape `(b,)`.

    The gradient of `take_along_axis` is a scatter, on TensorFlow the slowest of all
    passes over `(b, c)`.
    """
    return ops.sum(ops.where(is_own(labels, ops.shape(values)[1]), values, 0.0), axis=1)


def cross_entropy(logits, labels, target_logits=None):
    """Softmax cross-entropy per sample, with the target's logit given apart.

    `-log(exp(t_i) / (exp(t_i) + sum_{p != y_i} exp(logits_ip)))`

    Args:
        logits: float tensor `(b, c)`.
        labels: int tensor `(b,)` in `[0, c)`.
        target_logits: float tensor `(b,)`, the logits `t` of the true classes
            (with a margin, say). By default those in `logits`.

    Returns:
        Tensor `(b,)`.
    """
    if target_logits is None:
        target_logits = at_own(logits, labels)
    masked = ops.where(is_own(labels, ops.shape(logits)[1]), MASKED, 0.0)
    return ops.softplus(ops.logsumexp(logits + masked, axis=1) - target_logits)
