"""Models that embed: any Keras model, and image embedders."""

from keras_hierproxy.models.conv4 import conv4 as conv4
from keras_hierproxy.models.efficientnet_lite import (
    efficientnet_lite as efficientnet_lite,
)
from keras_hierproxy.models.embedding_model import EmbeddingModel as EmbeddingModel
from keras_hierproxy.models.image_embedder import ImageEmbedder as ImageEmbedder
from keras_hierproxy.models.upload import upload_preset as upload_preset
