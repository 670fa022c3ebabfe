"""How often the samples of a batch form pairs."""

from keras import ops


def other_counts(weights):
    """How often each sample stands in the batch beside an anchor.

    Weights are multiplicities: beside one copy of anchor i there are `w_j`
    copies of every other sample j, and `w_i - 1` further copies of i itself.

    Args:
        weights: float tensor `(b,)`.

    Returns:
        Float tensor `(b, b)`, row i for anchor i.

    Example:

    >>> counts = khp.ops.other_counts(keras.ops.convert_to_tensor([1.0, 2.0, 0.0]))
    >>> keras.ops.convert_to_numpy(counts).tolist()
    [[0.0, 2.0, 0.0], [1.0, 1.0, 0.0], [1.0, 2.0, 0.0]]
    """
    itself = ops.eye(ops.shape(weights)[0], dtype=weights.dtype)
    return ops.maximum(weights[None, :] - itself, 0.0)
