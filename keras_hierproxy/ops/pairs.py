"""Which samples of a batch form pairs, and how often."""

from keras import ops


def same_label(labels):
    """Bool `(b, b)`: whether two samples share a label (each with itself too)."""
    return labels[:, None] == labels[None, :]


def other_counts(weights):
    """How often each sample stands in the batch beside an anchor.

    Weights are multiplicities: beside one copy of anchor i there are `w_j`
    copies of every other sample j, and `w_i - 1` further copies of i itself.

    Args:
        weights: float tensor `(b,)`.

    Returns:
        Float tensor `(b, b)`, row i for anchor i.
    """
    itself = ops.eye(ops.shape(weights)[0], dtype=weights.dtype)
    return ops.maximum(weights[None, :] - itself, 0.0)
