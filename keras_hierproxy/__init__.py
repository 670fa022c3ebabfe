"""Hierarchical proxy-based metric learning for Keras 3."""

import importlib
import importlib.util

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    _backends = ("tensorflow", "jax", "torch")
    if error.name not in _backends:
        raise
    _installed = [name for name in _backends if importlib.util.find_spec(name)]
    raise ModuleNotFoundError(
        f"Keras is set to the backend {error.name!r}, which is not installed. Install "
        f"it with `pip install 'keras-hierproxy[{error.name}]'`, or set KERAS_BACKEND "
        f"to one that is. Installed: {', '.join(_installed) or 'none'}.",
        name=error.name,
    ) from error

from keras_hierproxy import callbacks as callbacks
from keras_hierproxy import geometry as geometry
from keras_hierproxy import layers as layers
from keras_hierproxy import losses as losses
from keras_hierproxy import models as models
from keras_hierproxy import ops as ops
from keras_hierproxy import optimizers as optimizers
from keras_hierproxy import regularizers as regularizers
from keras_hierproxy import retrieval as retrieval
from keras_hierproxy import trees as trees
from keras_hierproxy import zoo as zoo

__version__ = "0.1.0"


# For those who use them; nothing in them is saved in a model.
_ON_DEMAND = ("datasets", "embeddings", "gallery", "recipes", "report")
__all__ = [
    "Gallery",
    "callbacks",
    "geometry",
    "layers",
    "losses",
    "models",
    "ops",
    "optimizers",
    "regularizers",
    "retrieval",
    "trees",
    "zoo",
    *_ON_DEMAND,
]


def __dir__():
    return sorted({*globals(), "Gallery", *_ON_DEMAND})


def __getattr__(name):
    if name == "Gallery":
        return importlib.import_module("keras_hierproxy.gallery").Gallery
    if name in _ON_DEMAND:
        return importlib.import_module(f"keras_hierproxy.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
