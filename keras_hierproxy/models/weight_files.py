"""Files of weights: looked at before they are read, and stored in half of the space."""

import collections
import dataclasses
import os

import h5py
import numpy as np

from keras_hierproxy.files import replacing
from keras_hierproxy.layers.large_tables import name_of_table

_HDF5_BEGINS_WITH = b"\x89HDF\r\n\x1a\n"
# Pickles, and PyTorch's files, zip archives with pickles in them.
_PICKLES_BEGIN_WITH = (b"\x80", b"PK\x03\x04")
# What a file may say it holds, for each byte it has. Keras compresses nothing.
_MOST_EXPANSION = 20
# Numbers, and bfloat16, which HDF5 has no name for.
_KINDS = "biufV"


@dataclasses.dataclass(frozen=True)
class WeightsSize:
    """How large the weights in files are.

    Attributes:
        num_bytes: int, of all arrays.
        largest_dimension: int.
    """

    num_bytes: int
    largest_dimension: int

    def __add__(self, other):
        return WeightsSize(
            self.num_bytes + other.num_bytes,
            max(self.largest_dimension, other.largest_dimension),
        )


def measure(path, damaged, content=None):
    """The size of the weights in a file, which can then be read without harm.

    Args:
        path: of an HDF5 file.
        damaged: function of what is wrong that returns the error to raise.
        content: file object to read instead, opened for bytes.

    Returns:
        `WeightsSize`.

    Raises:
        ValueError: it is a pickle, or no HDF5 file; it refers to other files; its
            arrays would take far more memory than it has bytes.
    """
    if content is None:
        # A named pipe would be waited for.
        if not os.path.isfile(path):
            raise damaged("no file")
        with open(path, "rb") as file:
            return measure(path, damaged, file)
    start = content.read(len(_HDF5_BEGINS_WITH))
    if start.startswith(_PICKLES_BEGIN_WITH):
        raise ValueError(
            f"{path} is a pickle, which can run any code when it is loaded, and is "
            "refused. Weights are HDF5 files, as Keras writes them."
        )
    if start != _HDF5_BEGINS_WITH:
        raise damaged("no HDF5 file")
    num_bytes = content.seek(0, os.SEEK_END)
    try:
        with h5py.File(content, "r") as file:
            size = _size_of(file, damaged)
    except (OSError, RuntimeError, KeyError, TypeError, OverflowError) as error:
        # h5py's reasons have lines of their own.
        raise damaged(str(error).strip("'\"").splitlines()[0]) from error
    if size.num_bytes > _MOST_EXPANSION * num_bytes:
        raise damaged(
            f"its {num_bytes:,} bytes say that they hold arrays of "
            f"{size.num_bytes:,} bytes, which weights of Keras do not"
        )
    return size


def _size_of(file, damaged):
    total, groups, seen = WeightsSize(0, 0), [file], {file}
    while groups:
        group, rows = groups.pop(), collections.Counter()
        for name in group:
            link = type(group.get(name, getlink=True)).__name__
            if link != "HardLink":
                raise damaged(f"{group.name}/{name} is a {link} to another place")
            each = group[name]
            if each in seen:
                continue
            seen.add(each)
            if isinstance(each, h5py.Group):
                groups.append(each)
            elif isinstance(each, h5py.Dataset):
                total += _size_of_array(each, damaged)
                rows[name_of_table(name)] += each.shape[0] if each.shape else 0
            else:
                raise damaged(f"{each.name} is no array")
        total += WeightsSize(0, max(rows.values(), default=0))
    return total


def _size_of_array(array, damaged):
    if array.external or array.is_virtual:
        raise damaged(f"the content of {array.name} is in another place")
    if array.dtype.kind not in _KINDS or array.dtype.names or array.shape is None:
        raise damaged(f"{array.name} is no array of numbers")
    num_bytes = array.dtype.itemsize
    for side in array.shape:  # in Python's integers, which know no overflow
        num_bytes *= side
    return WeightsSize(num_bytes, max(array.shape, default=1))


def names_of_layers(path):
    """What a file that Keras wrote calls the layers that it has weights of."""
    with h5py.File(path) as file:
        layers = file.get("layers", {})
        return [name for name in layers if _size_of(layers[name], ValueError).num_bytes]


def halve(path):
    """Stores the floats of a file of weights as float16; what reads them casts.

    Args:
        path: of an HDF5 file that Keras wrote.

    Raises:
        ValueError: a number is NaN, or too large for float16, whose largest is 65504.
    """
    with replacing(path, os.path.getsize(path)) as unfinished:
        with h5py.File(path) as source, h5py.File(unfinished, "w") as target:

            def copy(name, each):
                if isinstance(each, h5py.Group):
                    there = target.require_group(name)
                else:
                    there = target.create_dataset(name, data=_half(each))
                there.attrs.update(each.attrs)

            target.attrs.update(source.attrs)
            source.visititems(copy)


def _half(array):
    values = array[()]
    if values.dtype.kind != "f":
        return values
    with np.errstate(over="ignore"):
        half = values.astype("float16")
    if not np.isfinite(half).all():
        raise ValueError(
            f"{array.name} holds {np.abs(values).max():.5g}, which float16 does not: "
            "it ends at 65504. Store these weights as float32."
        )
    return half
