"""What saved models may hold: objects by their names, and no code.

Checked in the configuration, before Keras makes anything out of it. What Keras looks
up by a name is what Keras, keras-hub, keras-cv, this package or the user's program
have registered; nothing is imported on a file's word.
"""

import contextlib
import copy
import math
import random
import re
import threading

import keras
import numpy as np

from keras_hierproxy.keras_internals import safely
from keras_hierproxy.layers.large_tables import is_large, read_parts
from keras_hierproxy.models import hub

# What deserializing these would run: Python code, a pickle, a graph of TensorFlow.
_RUNS_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer")
_RUNS_CODE += ("FlaxLayer", "__typespec__")
# Whose classes are found, or missed, with an error that names the versions.
_PACKAGES = ("keras", "keras_hub", "keras_cv", "keras_nlp", "keras_hierproxy")
# What the graph of a functional model is made of: no objects, plain data.
_OF_A_GRAPH = ("__keras_tensor__", "__tensor__", "__slice__", "__ellipsis__")
_NUMBERS = re.compile(r"(u?int|b?float)\d{1,2}|bool")
# keras-hub registers functions that publish and download among its activations.
_ACTIVATIONS_OF_KERAS_HUB = ("keras_hub>gelu_approximate", "keras_nlp>gelu_approximate")
# Of a model, beyond what its weights show: layers, pixels, never more in practice.
_MOST_INTEGER = 2**14
_NO_SIZE = re.compile("seed|shared_object_id")
# Variables that no file of weights holds, such as states of random numbers.
_SPARE_BYTES = 2**26


def register_classes(config, what):
    """Imports keras-hub or keras-cv, where a configuration names a class of theirs.

    Args:
        config: nested dicts and lists.
        what: str, whose it is, for the error.

    Raises:
        ImportError: it is not installed.
    """
    for each, _ in _objects(config):
        package, name = _package_of(each)
        hub.register(package, f"{what} holds {name}, which")


def refuse_code(config, what, functions=False):
    """Raises a `ValueError` if a configuration holds what would run code.

    Args:
        config: nested dicts and lists.
        what: str, whose it is, for the error.
        functions: bool, whether it may hold functions that are registered; a preset
            may not, a model of one's own may.
    """
    register_classes(config, what)
    for each, in_graph in _objects(config):
        name, module = each["class_name"], each.get("module")
        registered_name = each.get("registered_name")
        if not isinstance(name, str) or not all(
            isinstance(text, str | None) for text in (module, registered_name)
        ):
            raise ValueError(f"{what} names a class by {name!r}, which is no name.")
        if name == "function":
            _check_function(each, what, functions)
        elif name in _RUNS_CODE and not (name == "Lambda" and functions):
            _refuse(what, f"a {name.strip('_')}, which would run code of its own")
        elif name == "__numpy__" or (name == "__tensor__" and in_graph):
            _check_numbers(each, what)
        elif name.startswith("__") and not (in_graph and name in _OF_A_GRAPH):
            _refuse(what, f"a {name.strip('_')} where none belongs")
        elif not name.startswith("__"):
            # What the whole is, those who load it look at.
            _check_class(each, what, is_whole=each is config)


def check_size(config, weights, what):
    """Raises a `ValueError` where a model is far larger than its weights.

    So that no memory is taken on the word of a configuration.

    Args:
        config: of the model, as Keras serializes it.
        weights: `WeightsSize` of its files.
        what: str, whose it is, for the error.
    """
    most = max(_MOST_INTEGER, weights.largest_dimension)
    for key, number in _integers(config):
        if abs(number) > most and not _NO_SIZE.search(key):
            raise ValueError(
                f"{what} holds {key}={number}, and the largest dimension of its "
                f"weights is {weights.largest_dimension:,}: it is not of these weights."
            )
    needed = _bytes_of_model(config)
    if needed > 4 * weights.num_bytes + _SPARE_BYTES:
        raise ValueError(
            f"{what} describes a model of {needed / 1e6:,.0f} MB, and its weights are "
            f"{weights.num_bytes / 1e6:,.1f} MB: it is not of these weights."
        )


def check_finite(model, what):
    """Raises a `ValueError` if a weight is NaN or infinite.

    Args:
        model: `keras.Model`.
        what: str, where they are from, for the error.
    """
    for variable in model.weights:
        if is_large(variable.shape):
            parts = (part for _, part in read_parts(variable, variable.shape[0]))
        else:
            parts = [keras.ops.convert_to_numpy(variable)]
        if not all(map(_is_finite, parts)):
            raise ValueError(
                f"{what} holds weights that are NaN or infinite, in {variable.path}: "
                "its training has diverged, or the file is damaged. It would embed all "
                "as NaN."
            )


def _is_finite(values):
    # Not of numpy's own kinds: bfloat16.
    values = np.asarray(values)
    return values.dtype.kind in "biu" or np.isfinite(values.astype("float32")).all()


def _objects(config, in_graph=False):
    """All that Keras would make an object of, and whether it stands in a graph."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config, in_graph
        for key, value in config.items():
            yield from _objects(value, in_graph or key == "inbound_nodes")
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _objects(value, in_graph)


def _package_of(saved):
    """The package of a saved object's class, and the name that it is registered by.

    >>> _package_of({"class_name": "X", "registered_name": "keras_cv.models>X"})
    ('keras_cv', 'keras_cv.models>X')
    """
    names = [saved.get(key) for key in ("registered_name", "module", "class_name")]
    registered_name, module, name = (str(each or "") for each in names)
    if name == "function":
        registered_name = str(saved.get("config"))
    package = registered_name.rpartition(">")[0] or module
    return package.partition(".")[0], registered_name or name


def _integers(config, key=""):
    if isinstance(config, dict):
        for name, value in config.items():
            yield from _integers(value, str(name))
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _integers(value, key)
    elif isinstance(config, int):
        yield key, config


def _check_class(saved, what, is_whole):
    name, module = saved["class_name"], saved.get("module")
    registered_name = saved.get("registered_name")
    found = keras.saving.get_registered_object(registered_name or name)
    if found is not None:
        # keras-hub registers functions, too; and a name could stand for another.
        agrees = isinstance(found, type) and (is_whole or found.__name__ == name)
        if not agrees or found.__name__ in _RUNS_CODE:
            raise ValueError(
                f"{what} calls {registered_name or name!r} a {name!r}, which it is "
                "not: its names do not agree."
            )
        return
    if _package_of(saved)[0] in _PACKAGES:
        return
    raise ValueError(
        f"{what} holds a {registered_name or name!r}"
        f"{f' of {module!r}' if module else ''}, a class that is not known here. If it "
        "is your own, import the module that registers it, by "
        "`keras.saving.register_keras_serializable`, before."
    )


def _check_function(saved, what, functions):
    name = saved.get("config")
    if name in _ACTIVATIONS_OF_KERAS_HUB:
        return
    if not functions:
        _refuse(what, f"a function, {name!r}")
    if isinstance(name, str) and not name.startswith(("keras_hub>", "keras_nlp>")):
        module = saved.get("module") or ""
        if keras.saving.get_registered_object(name) is not None:
            return
        # Keras's own by their names alone: activations, losses, metrics.
        if module == "builtins" or module.partition(".")[0] == "keras":
            return
    raise ValueError(
        f"{what} holds a function {name!r}, which is not registered. Import the module "
        "that registers it, by `keras.saving.register_keras_serializable`, before."
    )


def _check_numbers(saved, what):
    content = saved.get("config")
    dtype = content.get("dtype") if isinstance(content, dict) else None
    plain = isinstance(dtype, str) and _NUMBERS.fullmatch(dtype)
    if not plain or not _are_numbers(content.get("value")):
        _refuse(what, "an array that is not of numbers")


def _are_numbers(value):
    if isinstance(value, list | tuple):
        return all(map(_are_numbers, value))
    return isinstance(value, int | float)


def _refuse(what, holds):
    raise ValueError(
        f"{what} holds {holds}, when it is loaded, and is refused. Presets hold layers "
        "of Keras, keras-hub and keras_hierproxy, and classes that are registered with "
        "`keras.saving.register_keras_serializable`: for scaling "
        "`keras.layers.Rescaling` or `keras_hub.layers.ImageConverter`, else a "
        "registered layer in the place of the function."
    )


def _bytes_of_model(config):
    """What the variables of a model will take, without making them; 0 if unknown."""
    sizes = []

    def build():
        # What is wrong with it is told when it is built in earnest.
        with contextlib.suppress(Exception), safely():
            with keras.StatelessScope(initialize_variables=False):
                model = keras.saving.deserialize_keras_object(copy.deepcopy(config))
                sizes.extend(
                    math.prod(variable.shape) * np.dtype("float32").itemsize
                    for variable in model.weights
                )

    # Keras keeps what it is still to initialize by thread: here it never will.
    drawn = random.getstate()
    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    random.setstate(drawn)
    return sum(sizes)
