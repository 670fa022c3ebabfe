"""Random numbers from seeds that are tensors, as they are inside a traced step."""

import keras
import numpy as np
from keras import ops

_TINY = float(np.finfo("float32").tiny)
# Far apart, as a generator's own seeds follow each other by one.
_STRIDE = 1_000_003


class LocalSeeds(keras.random.SeedGenerator):
    """Seeds derived from one, for `keras.random`: a generator without a variable.

    Args:
        seed: int tensor `(2,)`, as `keras.random.SeedGenerator.next` returns it.

    Example:

    >>> seeds = khp.ops.LocalSeeds(keras.random.SeedGenerator(0).next())
    >>> noise = keras.random.normal((2, 3), seed=seeds)
    >>> more = keras.random.normal((2, 3), seed=seeds)  # Others.
    """

    def __init__(self, seed):
        self.seed = seed
        self.count = 0

    def next(self, ordered=True):
        self.count += 1
        step = ops.cast([self.count * _STRIDE, 0], self.seed.dtype)
        return self.seed + step

    def blocks(self, count):
        """A function of a block's number, below `count`, to its own `LocalSeeds`.

        For loops that are traced, in which nothing can be counted.
        """
        seeds = keras.random.randint((count, 2), 0, 1 << 30, seed=self)
        seeds = ops.cast(seeds, self.seed.dtype)
        return lambda block: LocalSeeds(seeds[block])


def gumbel_noise(shape, seed):
    """Draws from the standard Gumbel distribution, `-log(-log(u))`."""
    uniform = keras.random.uniform(shape, minval=_TINY, maxval=1.0, seed=seed)
    return -ops.log(-ops.log(uniform))


def uniform_below(limits, size, seed):
    """Draws `(size,)` ints uniformly from `0 .. limits - 1`; 0 where there are none.

    Args:
        limits: int tensor `(size,)` or scalar.
        size: int.
        seed: `keras.random.SeedGenerator`.
    """
    uniform = keras.random.uniform((size,), seed=seed)
    drawn = ops.cast(uniform * ops.cast(limits, "float32"), "int32")
    # The product may round up to the limit.
    return ops.maximum(ops.minimum(drawn, limits - 1), 0)
