"""Hierarchical proxy-based metric learning for Keras 3."""

from keras_hierproxy import geometry as geometry
from keras_hierproxy import layers as layers
from keras_hierproxy import losses as losses
from keras_hierproxy import ops as ops
from keras_hierproxy import regularizers as regularizers

__version__ = "0.1.0"
