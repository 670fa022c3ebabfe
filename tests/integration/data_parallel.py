"""Training with batches spread over virtual CPU devices, beside one device.

    python -m tests.integration.data_parallel FOLDER

On JAX by `keras.distribution.DataParallel` over four devices, made by
XLA_FLAGS=--xla_force_host_platform_device_count=4; on TensorFlow by MirroredStrategy
over two. Writes what it finds to FOLDER/found.npz.
"""

import contextlib
import sys
from pathlib import Path

import keras
import numpy as np

import keras_hierproxy as khp
from tests import tiny
from tests.integration import runs


def replicated():
    """A function that returns the scope of several devices."""
    if keras.config.backend() == "jax":
        return lambda: keras.distribution.DataParallel().scope()
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope


def sum_of_losses():
    return khp.losses.ProxyAnchorLoss() + 0.5 * khp.losses.MultiSimilarityLoss()


# Name: loss, batch size, regularizer of proxies and kernels. 91 rows in batches of 32
# leave 27, which neither two nor four divide; in batches of 90, one.
CASES = {
    "multi similarity": (khp.losses.MultiSimilarityLoss, 32, None),
    "hierarchical": (khp.losses.HierProxyLoss, 32, None),
    "proxy anchor, regularized": (khp.losses.ProxyAnchorLoss, 32, "l2"),
    "sum, last batch of one": (sum_of_losses, 90, None),
}


def train(scope, loss, batch_size, regularizer):
    x, y = runs.vectors()
    weights = np.linspace(0.5, 1.5, len(x)).astype("float32")
    with scope():
        keras.utils.set_random_seed(1)
        inputs = keras.Input((12,))
        hidden = keras.layers.Dense(8, kernel_regularizer=regularizer)(inputs)
        proxies = khp.layers.HierProxies(
            runs.NUM_CLASSES,
            taxonomy=np.arange(runs.NUM_CLASSES)[:, None] // 4,
            regularizer=regularizer and khp.regularizers.SoftOrthogonality(0.1),
        )
        model = khp.models.EmbeddingModel(inputs, proxies(hidden))
        # The one device needs no graph, which takes longer to make than this training.
        eagerly = tiny.EAGERLY and scope is contextlib.nullcontext
        model.compile(keras.optimizers.SGD(0.05), loss=loss(), run_eagerly=eagerly)
        options = {"batch_size": batch_size, "verbose": 0, "sample_weight": weights}
        history = model.fit(x, y, epochs=2, **options).history
        options = {"batch_size": 44, "verbose": 0, "return_dict": True}
        losses = model.evaluate(x[:88], y[:88], **options)
        tensors = [*model.trainable_weights, model.embed(x, batch_size=len(x))]
    return {
        **{f"weight {i}": keras.ops.convert_to_numpy(t) for i, t in enumerate(tensors)},
        **{f"history {name}": values for name, values in history.items()},
        **{f"evaluation {name}": value for name, value in losses.items()},
    }


if __name__ == "__main__":
    scopes = {"single": contextlib.nullcontext, "replicated": replicated()}
    found = {}
    for place, scope in scopes.items():
        for case, arguments in CASES.items():
            for key, value in train(scope, *arguments).items():
                found[f"{place}: {case}: {key}"] = value
    np.savez(Path(sys.argv[1]) / "found.npz", **found)
