"""The smallest data and models that train."""

import keras
import numpy as np

import keras_hierproxy as khp

NUM_CLASSES = 4
INPUTS = np.random.default_rng(0).normal(size=(24, 6)).astype("float32")
LABELS = np.arange(24, dtype="int32") % NUM_CLASSES
# Compiling a graph takes longer than a short run without; JAX compiles either way.
EAGERLY = keras.backend.backend() != "jax"
IMAGES = np.random.default_rng(1).integers(0, 256, (12, 16, 16, 3)).astype("uint8")
IMAGE_LABELS = np.arange(12, dtype="int32") % NUM_CLASSES


def embedding_model(layer=None):
    """One dense layer and proxies, by default of a learned hierarchy."""
    if layer is None:
        layer = khp.layers.HierProxies(NUM_CLASSES, level_sizes=(2,), name="proxies")
    inputs = keras.Input((6,))
    embeddings = keras.layers.Dense(8, name="dense")(inputs)
    return khp.models.EmbeddingModel(inputs, layer(embeddings))


def compiled_model(loss=None, layer=None, **options):
    """An `embedding_model` ready to train."""
    model = embedding_model(layer)
    options = {"optimizer": "adamw", "run_eagerly": EAGERLY} | options
    model.compile(loss=loss or khp.losses.ProxyAnchorLoss(), **options)
    return model


def fit(model, x=INPUTS, y=LABELS, **options):
    """The history of a short run, a dictionary of lists."""
    return model.fit(x, y, **{"batch_size": 8, "verbose": 0} | options).history


def values(variables):
    """Copies of what variables hold, by path."""
    return {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in variables}


class Batches(keras.utils.PyDataset):
    """Arrays in batches of 8, in their order, as a user would write it."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0]) // 8

    def __getitem__(self, index):
        return tuple(array[8 * index : 8 * index + 8] for array in self.arrays)
