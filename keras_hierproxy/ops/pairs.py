"""Which samples of a batch form pairs, and how often."""

from keras import ops


def same_label(labels):
    """Bool `(b, b)`: whether two samples share a label (each with itself too).

    Args:
        labels: int tensor `(b,)`.

    Returns:
        Bool tensor `(b, b)`, True on the diagonal.

    Example:

    >>> keras.ops.convert_to_numpy(khp.ops.same_label(np.array([4, 7, 4])))
    array([[ True, False,  True],
           [False,  True, False],
           [ True, False,  True]])
    """
    return labels[:, None] == labels[None, :]


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
