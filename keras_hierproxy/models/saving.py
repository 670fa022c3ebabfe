"""Saves models whole or not at all, in formats that can be loaded again."""

import contextlib
import math

from keras_hierproxy.files import replacing
from keras_hierproxy.keras_internals import is_written_as_hdf5

# At most, for each variable.
_HDF5_BYTES = 2**13
_ADVICE = (
    'Save the model to a file that ends in ".keras", or, by `save_weights`, its '
    'weights to one that ends in ".weights.h5".'
)


def refuse_hdf5(path):
    """Raises a `ValueError` for what Keras would write a whole model to as HDF5."""
    if str(path).endswith((".h5", ".hdf5")):
        raise ValueError(
            f"A model in HDF5 could not be loaded again: the format has no place for "
            f"what an embedder consists of. {_ADVICE} Received: {path}"
        )


def refuse_hdf5_config():
    """The same in `get_config`: `keras.saving.save_model` asks the model for nothing
    else before it writes."""
    if is_written_as_hdf5():
        refuse_hdf5(".h5")


@contextlib.contextmanager
def saving_whole(model, path, overwrite):
    """Gives the path to save a model, or its weights, to.

    Args:
        model: `keras.Model`.
        path: where to in the end.
        overwrite: bool; where it is False Keras asks, and must see what is there.
    """
    is_file = str(path).endswith((".keras", ".weights.h5")) and "://" not in str(path)
    if not (is_file and overwrite):
        yield path
        return
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    # Of four bytes each, as almost all are, and what HDF5 writes around them.
    num_bytes = 4 * sum(math.prod(variable.shape) for variable in variables)
    num_bytes += _HDF5_BYTES * (8 + len(variables))
    with replacing(path, num_bytes) as unfinished:
        yield unfinished
