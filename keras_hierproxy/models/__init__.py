"""Models that embed: any Keras model, and image embedders."""

import importlib

import keras

from keras_hierproxy.models.conv4 import conv4 as conv4
from keras_hierproxy.models.embedding_model import EmbeddingModel as EmbeddingModel

# keras-hub takes seconds to import: only for those who embed images.
_ON_DEMAND = {"ImageEmbedder": "image_embedder", "upload_preset": "upload"}
__all__ = ["EmbeddingModel", "conv4", *_ON_DEMAND]


def __getattr__(name):
    if name in _ON_DEMAND:
        module = importlib.import_module(f"{__name__}.{_ON_DEMAND[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_ON_DEMAND})


class _ImageEmbedderOnDemand:
    """Stands for `ImageEmbedder` in `load_model` until that is imported."""

    @classmethod
    def from_config(cls, config):
        from keras_hierproxy.models.image_embedder import ImageEmbedder

        return ImageEmbedder.from_config(config)


# Importing the real class replaces this.
keras.saving.get_custom_objects()["keras_hierproxy>ImageEmbedder"] = (
    _ImageEmbedderOnDemand
)
