"""A batch spread over the replicas of a `tf.distribute` strategy, made whole.

A metric-learning loss compares the samples of a batch with each other, so the
mean of the replicas' losses is not the loss of the batch. `keras.ops` has no
collective operation; on the TensorFlow backend the one needed is taken from the
module that Keras itself has loaded. On JAX a batch is one array already.
"""

import sys

import keras
from keras import ops


def _distribute():
    """The module `tf.distribute`, or None on other backends."""
    if keras.backend.backend() != "tensorflow":
        return None
    return sys.modules["tensorflow"].distribute


def _replica_context():
    """TensorFlow's context of one of several replicas, or None."""
    if _distribute() is None:
        return None
    context = _distribute().get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context


def between_replicas():
    """Whether a strategy is in force and this is none of its replicas.

    There Keras calls a loss once, to build it, with a batch that it has averaged
    over the replicas: class ids and all have become floats.

    Returns:
        bool; always False on JAX and PyTorch, and without `tf.distribute`.

    Example:

    >>> khp.ops.between_replicas()
    False
    """
    distribute = _distribute()
    return distribute is not None and (
        distribute.has_strategy() and distribute.in_cross_replica_context()
    )


def num_replicas():
    """How many replicas share the batch, 1 without a strategy.

    Returns:
        int.

    Example:

    >>> khp.ops.num_replicas()
    1
    """
    context = _replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def num_data_shards():
    """Into how many equal parts `keras.distribution` cuts a batch.

    Returns:
        int, 1 without a distribution.

    Example:

    >>> khp.ops.num_data_shards()
    1
    """
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.num_model_replicas


def gather_replicas(*tensors):
    """The tensors of all replicas, joined along the first axis, with gradients.

    Args:
        *tensors: tensors `(b, ...)`, of this replica.

    Returns:
        Tuple of tensors `(replicas * b, ...)`; as they are without a strategy.

    Example:

    >>> (labels,) = khp.ops.gather_replicas(np.array([3, 1, 2]))
    >>> labels
    array([3, 1, 2])
    """
    context = _replica_context()
    if context is None:
        return tensors
    return tuple(ops.cast(context.all_gather(x, axis=0), x.dtype) for x in tensors)
