"""The private names of Keras stand in one file, and do what is expected of them."""

import ast
import contextlib
import pathlib

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy import keras_internals
from tests import tiny

once = pytest.mark.host
PROJECT = pathlib.Path(khp.__file__).parents[1]
FILES = [
    path
    for package in ("keras_hierproxy", "hierproxy")
    for path in sorted((PROJECT / package).rglob("*.py"))
    if path.name != "keras_internals.py"
]


def private_names():
    """What Keras's own objects have under a name with one underscore."""
    inputs = keras.Input((2,))
    layer = keras.layers.Dense(2)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    model.fit(np.zeros((2, 2)), np.zeros((2, 2)), verbose=0)
    things = [model, layer, layer.kernel, model.optimizer, inputs, keras.Sequential()]
    things += [keras.losses.MeanSquaredError(), keras.metrics.Mean()]
    things += [keras.callbacks.BackupAndRestore, keras.utils.PyDataset()]
    things += [keras.optimizers.MultiOptimizer, keras.optimizers.LossScaleOptimizer]
    things += [keras.random.SeedGenerator(), keras.layers.RandomFlip()]
    names = {name for thing in things for name in dir(thing)}
    return {name for name in names if name[0] == "_" and name[1] != "_"}


def is_of_self(node):
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def private_uses(path, private):
    """Attributes in a file that are Keras's, and not set or defined in it."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef)]
    nodes = [node for node in nodes if isinstance(node, ast.Attribute)]
    own = {n.attr for n in nodes if isinstance(n.ctx, ast.Store) and is_of_self(n)}
    own |= {*functions} - {"_run_through_graph", "_flatten_layers"}
    return [
        f"{path.relative_to(PROJECT)}:{node.lineno} {node.attr}"
        for node in nodes
        if node.attr in private
        and not (node.attr in own and is_of_self(node))
        # Of recipes; PyTorch's modules have one, too.
        and node.attr != "_parameters"
    ]


@once
def test_they_stand_in_one_file():
    private = private_names()
    assert {"_flatten_layers", "_value", "_compile_config"} <= private
    assert [use for path in FILES for use in private_uses(path, private)] == []
    assert [path for path in FILES if "keras.src" in path.read_text("utf-8")] == []


@once
def test_layers_within_layers_of_ones_own():
    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(2)

    inputs, outer = keras.Input((2,)), Outer()
    outer.call = lambda x: outer.inner(x)
    model = keras.Model(inputs, outer(inputs))
    assert outer.inner in keras_internals.all_layers(model)
    assert outer.inner not in model.layers, "else the public name would do"
    assert keras_internals.all_layers(model)[0] is model


@once
def test_safe_mode_whatever_the_global_setting(tmp_path):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs))
    model.save(tmp_path / "lambda.keras")
    with keras_internals.SafeModeScope(None):
        keras.config.enable_unsafe_deserialization()
        # The public argument alone gives way.
        keras.models.load_model(tmp_path / "lambda.keras", safe_mode=True)
        with keras_internals.safely(), pytest.raises(ValueError, match="Lambda"):
            keras.models.load_model(tmp_path / "lambda.keras")


def test_what_is_written_as_hdf5(tmp_path):
    model = tiny.embedding_model()
    seen = []
    type(model).get_config, original = (
        lambda self: seen.append(keras_internals.is_written_as_hdf5()) or {},
        type(model).get_config,
    )
    try:
        for name in ("model.h5", "model.keras"):
            with contextlib.suppress(Exception):
                keras.saving.save_model(model, tmp_path / name)
    finally:
        type(model).get_config = original
    assert seen == [True, False]


def test_a_value_of_its_own_and_of_the_scope():
    variable = keras.Variable([1.0])
    with keras.StatelessScope([(variable, keras.ops.zeros(1))]):
        assert float(variable.value[0]) == 0
        assert float(keras_internals.held_value(variable)[0]) == 1


def test_where_optimizers_say_that_they_come_from():
    saved = keras.saving.serialize_keras_object(keras.optimizers.AdamW())
    is_torch = keras.config.backend() == "torch"
    assert saved["module"].startswith(keras_internals.TORCH_OPTIMIZERS) is is_torch
