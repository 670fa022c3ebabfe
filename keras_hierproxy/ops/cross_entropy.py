"""Softmax cross-entropy, with margins and with sampled classes."""

from keras import ops

from keras_hierproxy.ops.labels import is_own
from keras_hierproxy.ops.reductions import MASKED


def at_own(values, labels):
    """Each sample's entry of `values` at its own class, a tensor `(b,)`.

    Args:
        values: float tensor `(b, c)`.
        labels: int tensor `(b,)` in `[0, c)`.

    Example:

    >>> values = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], "float32")
    >>> keras.ops.convert_to_numpy(khp.ops.at_own(values, np.array([2, 0])))
    array([0.3, 0.4], dtype=float32)
    """
    # Not `take_along_axis`, whose gradient is a scatter, slow on TensorFlow.
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
