"""Models that embed: any Keras model, and image embedders."""

import keras

from keras_hierproxy.models.conv4 import conv4 as conv4
from keras_hierproxy.models.embedding_model import EmbeddingModel as EmbeddingModel


def __getattr__(name):
    # keras-hub takes seconds to import: only for those who embed images.
    if name == "ImageEmbedder":
        from keras_hierproxy.models.image_embedder import ImageEmbedder

        return ImageEmbedder
    if name == "upload_preset":
        from keras_hierproxy.models.upload import upload_preset

        return upload_preset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
