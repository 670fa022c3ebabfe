"""Which samples, and which classes, have a label in common."""

from keras import ops


def same_label(labels):
    """Bool `(b, b)`: whether two samples share a label (each with itself too).

    Args:
        labels: int tensor `(b,)`.

    Example:

    >>> keras.ops.convert_to_numpy(khp.ops.same_label(np.array([4, 7]))).tolist()
    [[True, False], [False, True]]
    """
    return labels[:, None] == labels[None, :]


def is_own(labels, num_classes):
    """Bool `(b, num_classes)`: whether a class is the sample's own.

    Args:
        labels: int tensor `(b,)`.
        num_classes: int.

    Example:

    >>> keras.ops.convert_to_numpy(khp.ops.is_own(np.array([2, 0]), 3)).tolist()
    [[False, False, True], [True, False, False]]
    """
    return labels[:, None] == ops.arange(num_classes, dtype="int32")
