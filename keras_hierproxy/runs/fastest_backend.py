"""The installed backend that trains a network fastest where there is no GPU."""

import importlib.util

import keras

from keras_hierproxy.ops.device import computes_on_cpu

# Images a second in training; they compare within a network. EfficientNet-Lite0 at 64
# pixels in batches of 64, by the CPU time of one thread, after the first step; Conv-4
# as measured by `benchmarks/training.py` on 2 cores that did nothing else.
TRAINING_SPEED = {
    "efficientnet_lite": {"torch": 96, "tensorflow": 96, "jax": 54},
    "conv4": {"tensorflow": 1246, "jax": 486, "torch": 457},
}
# Below it differs from machine to machine which one is faster.
_WORTH_IT = 1.2


def faster_backend(recipe):
    """Another installed backend that trains a recipe's network faster on a CPU.

    Args:
        recipe: `khp.recipes.Recipe`.

    Returns:
        `(name, times)`, the backend and how many times as fast it was measured; None
        where none is, where nothing was measured, and where a GPU or TPU computes.
    """
    speed = TRAINING_SPEED.get(recipe.model.backbone.architecture, {})
    here = speed.get(keras.backend.backend())
    if here is None or not computes_on_cpu():
        return None
    installed = [name for name in speed if importlib.util.find_spec(name)]
    fastest = max(installed, key=speed.get)
    times = speed[fastest] / here
    return (fastest, times) if times >= _WORTH_IT else None
