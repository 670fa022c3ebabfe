"""The small convolutional backbone."""

import keras
import numpy as np

from keras_hierproxy import checks


def conv4(image_shape=(32, 32, 1), filters=64, **unknown):
    """Conv-4: four blocks of 3x3 convolution, batch normalisation, ReLU, max pooling.

    The standard small backbone of metric and few-shot learning (Vinyals et al.,
    "Matching Networks", 2016), small enough to train on a CPU. It scales pixels
    itself.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 16.
        filters: channels of each block, one int, or four; 64 as in the paper. Blocks
            that widen, such as `(32, 64, 128, 256)`, are faster and did better here.

    Returns:
        A `keras.Model` from images `(batch, height, width, channels)` with values
        in [0, 255] to feature maps `(batch, height // 16, width // 16, c)`, c the
        last block's filters.

    Example:

    >>> embedder = khp.models.ImageEmbedder(khp.models.conv4(), num_classes=100)
    """
    if unknown:
        raise TypeError(
            f"conv4() takes image_shape= and filters=. Received: {', '.join(unknown)}."
            + (" Pass it as image_shape=." if "input_shape" in unknown else "")
        )
    if np.shape(image_shape) != (3,) or min(image_shape[:2]) < 16:
        raise ValueError(
            "`image_shape` must be (height, width, channels), height and width at "
            f"least 16. Received: image_shape={image_shape}."
        )
    widths = tuple(filters) if isinstance(filters, list | tuple) else (filters,) * 4
    if len(widths) != 4:
        raise ValueError(
            "`filters` must be an integer, or one for each of the 4 blocks. Received: "
            f"filters={filters!r}."
        )
    widths = [checks.integer("filters", width, least=1) for width in widths]
    inputs = keras.Input(image_shape)
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for width in widths:
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        # The same as activation before pooling, at a quarter of its cost.
        x = keras.layers.MaxPooling2D()(x)
        x = keras.layers.ReLU()(x)
    return keras.Model(inputs, x, name="conv4")
