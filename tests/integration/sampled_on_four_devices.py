"""`SampledProxies` over four virtual CPU devices of JAX, beside one device.

    python -m tests.integration.sampled_on_four_devices FOLDER

Needs XLA_FLAGS=--xla_force_host_platform_device_count=4. Writes what it finds to
FOLDER/found.npz.
"""

import sys
from pathlib import Path

import keras
import numpy as np

import keras_hierproxy as khp
from keras_hierproxy.layers import large_tables
from tests.integration.four_devices import SCOPES

CLASSES = 41


def training(weights=None):
    """Losses, proxies, and how many rows of what a device holds.

    Args:
        weights: path of what to begin with, written where it is not there yet.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 12)).astype("float32")
    y = rng.integers(0, CLASSES, 128)
    keras.utils.set_random_seed(1)
    inputs = keras.Input((12,))
    layer = khp.layers.SampledProxies(
        CLASSES, 24, level_sizes=(5,), seed=5, name="proxies"
    )
    model = khp.models.EmbeddingModel(inputs, layer(keras.layers.Dense(8)(inputs)))
    model.compile(khp.optimizers.grouped(model), khp.losses.HierProxyLoss())
    if weights is not None:
        if not weights.exists():
            model.save_weights(weights)
        model.load_weights(weights)
    options = {"batch_size": 16, "epochs": 4, "shuffle": False, "verbose": 0}
    losses = model.fit(x, y, **options).history["loss"]
    parts = [
        variable.value.addressable_shards[0].data.shape[0]
        for variable in (layer.proxies, *layer._moments)
    ]
    return {
        "loss": np.array(losses),
        "proxies": keras.ops.convert_to_numpy(layer.proxies)[:CLASSES],
        "parts": np.array(parts),
    }


if __name__ == "__main__":
    found, folder = {}, Path(sys.argv[1])
    for name, scope in SCOPES.items():
        with scope():
            found |= {f"{name}: {key}": value for key, value in training().items()}
    # Tables of more than 100 numbers are large, and have parts of 40.
    large_tables._LARGE, large_tables._PART = 100, 40
    for name, scope in SCOPES.items():
        with scope():
            of_large = training(folder / "large.weights.h5")
            found |= {f"{name}, large: {key}": each for key, each in of_large.items()}
    np.savez(folder / "found.npz", **found)
