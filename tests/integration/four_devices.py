"""Proxies sharded over four virtual CPU devices of JAX, beside one device.

    python -m tests.integration.four_devices FOLDER

Needs XLA_FLAGS=--xla_force_host_platform_device_count=4. Writes what it finds to
FOLDER/found.npz.
"""

import contextlib
import sys
from pathlib import Path

import keras
import numpy as np

import keras_hierproxy as khp
from tests.integration import runs


def sharded(mesh_shape, pattern):
    """The scope in which rows of what matches `pattern` lie on several devices."""
    mesh = keras.distribution.DeviceMesh(mesh_shape, ("batch", "model"))
    layout_map = keras.distribution.LayoutMap(mesh)
    layout_map[pattern] = ("model", None)
    return keras.distribution.ModelParallel(
        layout_map=layout_map, batch_dim_name="batch"
    ).scope()


SCOPES = {
    "one": contextlib.nullcontext,
    "four": lambda: sharded((1, 4), ".*proxies.*"),
    "two by two": lambda: sharded((2, 2), ".*proxies"),
}
# Name: scope, number of classes, coarse levels.
TRAININGS = {
    "one, 12 classes": ("one", 12, (4,)),
    "four, 12 classes": ("four", 12, (4,)),
    "one": ("one", 13, (5, 2)),
    "four": ("four", 13, (5, 2)),
    "two by two": ("two by two", 13, (5, 2)),
}
# Scopes of saving and of loading.
CONTINUATIONS = [("one", "one"), ("four", "four"), ("four", "one"), ("one", "four")]


def numbers(model, history):
    """What must not depend on the devices, by name; proxies without padding."""
    layer = model.get_layer("proxies")
    tensors = [
        layer.class_proxies(),
        *(layer.level_proxies(1 + level) for level in range(len(layer.level_sizes))),
        layer.taxonomy,
        *model.get_layer("hidden").weights,
        *model.get_layer("embedding").weights,
        model.embed(runs.vectors(layer.num_classes)[0]),
    ]
    return {
        **{f"tensor {i}": keras.ops.convert_to_numpy(t) for i, t in enumerate(tensors)},
        **{f"history {k}": v for k, v in history.history.items()},
    }


def layout(model):
    """Shapes of the parts on the devices, and the largest number in the padding."""
    layer = model.get_layer("proxies")
    moments = [
        v for v in model.optimizer.variables if "_proxies_" in v.path and v.shape
    ]
    found = {}
    for name, variables in (("weight", layer.weights), ("moment", moments)):
        for i, variable in enumerate(variables):
            parts = {part.data.shape for part in variable.value.addressable_shards}
            assert len(parts) == 1
            found[f"{name} {i} part"] = parts.pop()
    variables = layer.proxy_variables()
    rows = (layer.num_classes, *layer.level_sizes)
    padding = [
        keras.ops.convert_to_numpy(variable)[n:].ravel()
        for variable, n in zip(variables, rows, strict=True)
    ]
    found["padding"] = np.concatenate([np.zeros(1), *padding])
    return found


def train(scope, num_classes, level_sizes, path):
    with SCOPES[scope]():
        keras.utils.set_random_seed(1)
        regularizer = khp.regularizers.SoftOrthogonality(0.1)
        model = runs.embedding_model(num_classes, level_sizes, regularizer)
        history = runs.fit_vectors(runs.compiled(model), 3)
        model.save(path)
        return numbers(model, history) | layout(model)


def go_on(path, scope):
    """Loads a model and trains it on."""
    with SCOPES[scope]():
        model = keras.models.load_model(path)
        return numbers(model, runs.fit_vectors(model, 5, initial_epoch=3))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = {
        name: train(*arguments, folder / f"{name}.keras")
        for name, arguments in TRAININGS.items()
    }
    for before, after in CONTINUATIONS:
        path = folder / f"{before}.keras"
        found[f"{before}, then {after}"] = go_on(path, after)
    flat = {f"{a}: {b}": v for a, values in found.items() for b, v in values.items()}
    np.savez(folder / "found.npz", **flat)
