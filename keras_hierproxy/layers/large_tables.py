"""Filling a table of very many proxies without several copies of it in memory."""

import keras
import numpy as np

# Rows that are drawn at once.
_BLOCK = 2**16


def in_blocks(initializer):
    """The same distribution, drawn block by block.

    A backend may take ten times the memory of what it draws. Those that scale with the
    shape, such as the default, are known here; others are as their author made them.
    """
    if not isinstance(initializer, keras.initializers.VarianceScaling):
        return initializer
    return _VarianceScalingInBlocks(initializer)


class _VarianceScalingInBlocks(keras.initializers.Initializer):
    def __init__(self, initializer):
        self.initializer = initializer

    def __call__(self, shape, dtype=None):
        rows, dimension = shape
        mode, seed = self.initializer.mode, self.initializer.seed
        if not isinstance(seed, keras.random.SeedGenerator):
            seed = keras.random.SeedGenerator(seed)
        table = np.empty(shape, dtype)
        for start in range(0, rows, _BLOCK):
            block = table[start : start + _BLOCK]
            # The variance is the scale over a mean of the shape.
            of_block, of_table = (
                {"fan_in": n, "fan_out": dimension, "fan_avg": (n + dimension) / 2}
                for n in (len(block), rows)
            )
            draw = keras.initializers.VarianceScaling(
                self.initializer.scale * of_block[mode] / of_table[mode],
                mode,
                self.initializer.distribution,
                seed,
            )
            block[:] = keras.ops.convert_to_numpy(draw(block.shape, dtype))
        return table
