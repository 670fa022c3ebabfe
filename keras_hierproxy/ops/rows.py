"""Reading and writing some rows of a large variable, at the cost of these rows."""

import keras
from keras import ops


def read_rows(variable, ids):
    """Rows of a variable that is not trained.

    Args:
        variable: `keras.Variable` `(n, ...)`, one that no policy casts
            (`autocast=False`).
        ids: int tensor `(m,)`.

    Returns:
        Tensor `(m, ...)`.

    Example:

    >>> variable = keras.Variable(np.eye(3, dtype="float32"), trainable=False)
    >>> keras.ops.convert_to_numpy(khp.ops.read_rows(variable, np.array([2])))
    array([[0., 0., 1.]], dtype=float32)
    """
    value = variable.value
    if hasattr(value, "sparse_read"):
        # A variable of TensorFlow that was once read whole is copied at each write.
        return value.sparse_read(ids)
    return ops.take(value, ids, axis=0)


def write_rows(variable, ids, rows):
    """Overwrites rows of a variable that is not trained.

    Args:
        variable: as of `read_rows`.
        ids: int tensor `(m,)`, no two the same unless their rows are.
        rows: tensor `(m, ...)`.

    Example:

    >>> variable = keras.Variable(np.eye(3, dtype="float32"), trainable=False)
    >>> khp.ops.write_rows(variable, np.array([2]), np.array([[5.0, 5.0, 5.0]]))
    >>> keras.ops.convert_to_numpy(variable)[2]
    array([5., 5., 5.], dtype=float32)
    """
    value = variable.value
    ids = ops.convert_to_tensor(ids)
    rows = ops.cast(rows, variable.dtype)
    if hasattr(value, "sparse_read"):
        value.scatter_nd_update(ids[:, None], rows)
    elif hasattr(value, "index_copy_"):
        # `ops.scatter_update` copies all of a tensor of PyTorch.
        value.index_copy_(0, ops.cast(ids, "int64"), rows)
    else:
        # JAX does not copy what a compiled step has been given to keep.
        variable.assign(ops.scatter_update(value, ids[:, None], rows))


def is_known(tensor):
    """Whether a tensor has a value, rather than standing for one in a traced step."""
    try:
        ops.convert_to_numpy(tensor)
    except Exception:  # each backend's own
        return False
    return not isinstance(tensor, keras.KerasTensor)
