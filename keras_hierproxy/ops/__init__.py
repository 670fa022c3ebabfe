"""Pure tensor functions on `keras.ops`: no state, no classes."""

from keras_hierproxy.ops.similarity import cosine_similarity as cosine_similarity
from keras_hierproxy.ops.similarity import l2_normalize as l2_normalize
