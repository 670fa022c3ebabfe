"""Tables of very many rows: made, read and stored without several copies in memory.

Files hold a table of more than 64 MB in parts, `name.part0`, `name.part1`, ..., since
Keras copies an array twice on its way into a file, and once or twice out of it.
"""

import itertools
import math

import keras
import numpy as np
from keras import ops

from keras_hierproxy.ops import read_rows, write_rows

# Numbers of a large table, and of a part: 64 and 4 MB.
_LARGE, _PART = 2**24, 2**20
_OF_PART = ".part"
# So many parts TensorFlow puts together at once: freed, pieces of 64 MB go back to the
# system, where those of 4 MB stay with the process.
_PARTS_AT_ONCE = 16
# Backends take over arrays that begin at a multiple of so many bytes, and copy others.
_ALIGNMENT = 64


def is_large(shape):
    """Whether an array is handled in parts."""
    return math.prod(shape) > _LARGE


def parts_of(shape):
    """Slices of an array's rows, of some 4 MB each."""
    step = max(1, _PART // math.prod(shape[1:]))
    starts = range(0, shape[0], step)
    return [slice(start, min(start + step, shape[0])) for start in starts]


def read_parts(variable, rows, by_rows=False):
    """The first rows of a variable, part by part.

    Args:
        variable: `keras.Variable` `(n, ...)`.
        rows: int, at most n.
        by_rows: bool, whether it is read and written by `ops.read_rows` and
            `write_rows` while it is trained. TensorFlow copies such a variable whole
            for each other way of reading, and others once they are read so.

    Yields:
        slice, and a NumPy array of these rows.
    """
    # Once: one that is not initialized yet is drawn each time.
    value = variable.value
    by_rows = by_rows and hasattr(value, "sparse_read")
    for part in parts_of((rows, *variable.shape[1:])):
        numbers = np.arange(part.start, part.stop)
        found = read_rows(variable, numbers) if by_rows else value[part]
        yield part, ops.convert_to_numpy(found)


def fill(variable, parts):
    """Gives a variable other rows; those behind them, of padding, become zeros.

    A large one of TensorFlow is copied from then on whenever it is read whole, which
    took a step over all of 300,000 classes some 5% longer.

    Args:
        variable: `keras.Variable` `(n, ...)`.
        parts: iterable of arrays, rows from the first on.
    """
    if hasattr(variable.value, "index_copy_"):  # of PyTorch, written in place
        table = ops.stop_gradient(variable.value)
    elif hasattr(variable.value, "sparse_read") and is_large(variable.shape):
        table = None
    else:
        table = _zeros(variable.shape, variable.dtype)
        # JAX takes it over. The old one goes, with the next call that JAX gets, before
        # this one takes memory.
        variable.assign(table)
        ops.convert_to_tensor(0.0)
    start = 0
    for rows in parts:
        part = slice(start, start + len(rows))
        if table is None:
            write_rows(variable, np.arange(part.start, part.stop), rows)
        elif isinstance(table, np.ndarray):
            table[part] = rows
        else:
            table[part] = ops.convert_to_tensor(rows)
        start = part.stop
    if isinstance(table, np.ndarray):
        variable.assign(table)


def store_rows(store, name, variable, rows=None, by_rows=False):
    """Puts a variable into what Keras saves, in parts if it is large.

    Args:
        store: of `save_own_variables`.
        name: str.
        variable: `keras.Variable`.
        rows: int, how many of its first rows; by default all that it is.
        by_rows: as of `read_parts`.
    """
    if not is_large(variable.shape):
        value = ops.convert_to_numpy(variable)
        store[name] = value if rows is None else value[:rows]
        return
    parts = read_parts(variable, rows or variable.shape[0], by_rows)
    for i, (_, part) in enumerate(parts):
        store[f"{name}{_OF_PART}{i}"] = part


def stored_names(store):
    """What `store_rows` has put there, by the names it was given, a set."""
    return {name_of_table(key) for key in store.keys()}


def name_of_table(key):
    """The name of the table that what is stored as `key` is a part of, or all of."""
    name, part, number = key.rpartition(_OF_PART)
    return name if part and number.isdecimal() else key


def stored_shape(store, name):
    """The shape of what is stored, a tuple. Only the first and last parts are read."""
    if name in store:
        return np.shape(store[name])
    count = _num_parts(store, name)
    first, last = (np.shape(store[f"{name}{_OF_PART}{i}"]) for i in (0, count - 1))
    return ((count - 1) * first[0] + last[0], *first[1:])


def stored_parts(store, name):
    """The rows that `store_rows` has stored, an iterator of NumPy arrays."""
    if name in store:
        yield np.asarray(store[name])
        return
    for i in range(_num_parts(store, name)):
        yield np.asarray(store[f"{name}{_OF_PART}{i}"])


def _num_parts(store, name):
    numbers = itertools.count()
    is_missing = (f"{name}{_OF_PART}{i}" not in store for i in numbers)
    count = next(i for i, missing in enumerate(is_missing) if missing)
    return count or store[name]  # raises what a missing key does


def _zeros(shape, dtype):
    """As `np.zeros`: memory is taken where it is written. A backend takes it over."""
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(num_bytes + _ALIGNMENT, "uint8")
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + num_bytes].view(dtype).reshape(tuple(shape))


def in_parts(initializer):
    """The same distribution, drawn part by part.

    A backend may take ten times the memory of what it draws. Those that scale with the
    shape, such as the default, are known here; others are as their author made them.
    """
    if not isinstance(initializer, keras.initializers.VarianceScaling):
        return initializer
    return _VarianceScalingInParts(initializer)


class _VarianceScalingInParts(keras.initializers.Initializer):
    def __init__(self, initializer):
        self.initializer = initializer

    def __call__(self, shape, dtype=None):
        rows, dimension = shape
        mode, seed = self.initializer.mode, self.initializer.seed
        if not isinstance(seed, keras.random.SeedGenerator):
            seed = keras.random.SeedGenerator(seed)
        parts, together, table = [], [], None
        for part in parts_of(shape):
            num = part.stop - part.start
            # The variance is the scale over a mean of the shape.
            of_part, of_table = (
                {"fan_in": n, "fan_out": dimension, "fan_avg": (n + dimension) / 2}
                for n in (num, rows)
            )
            draw = keras.initializers.VarianceScaling(
                self.initializer.scale * of_part[mode] / of_table[mode],
                mode,
                self.initializer.distribution,
                seed,
            )
            drawn = draw((num, dimension), dtype)
            if keras.config.backend() == "tensorflow":
                parts.append(drawn)  # whose arrays cannot be written to
                if len(parts) == _PARTS_AT_ONCE:
                    together.append(ops.concatenate(parts))
                    parts = []
                continue
            in_place = hasattr(drawn, "index_copy_")  # of PyTorch
            if table is None:
                table = (ops.zeros if in_place else _zeros)(shape, dtype)
            table[part] = drawn if in_place else ops.convert_to_numpy(drawn)
        if table is None:
            together += parts
            del parts, drawn
            return ops.concatenate(together)
        return ops.convert_to_tensor(table, dtype)  # the dtype has JAX take it over
