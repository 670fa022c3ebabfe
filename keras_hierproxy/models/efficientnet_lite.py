"""The backbone for photos that is fast without a GPU."""

import math

import keras
from keras import layers

from keras_hierproxy import checks

# Width and depth of each variant, as multiples of variant 0.
_SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8))
# Blocks, kernel, stride, expansion and channels of each stage.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _TOP = 32, 1280
# Of an image: the feature map has one pixel.
LEAST_SIDE = 32


def efficientnet_lite(variant=0, image_shape=(224, 224, 3)):
    """EfficientNet-Lite: inverted residuals without squeeze-and-excite, with ReLU6.

    The EfficientNets (Tan and Le, ICML 2019, arXiv 1905.11946) in the form that
    Google published for phones: what is slow without a GPU is left out. It scales
    pixels itself, `(x - 127) / 128`. Weights are random; those of ImageNet come with
    the preset `efficientnet_lite0_imagenet`.

    Args:
        variant: int from 0 to 4, from the smallest (3.4 million weights) to the
            largest (11.8 million). By default 0, the fastest.
        image_shape: `(height, width, 3)`, height and width at least 32, or None
            where they vary. By default 224 pixels, what variant 0 was trained at.

    Returns:
        A `keras.Model` from images `(batch, height, width, 3)` with values in
        [0, 255] to feature maps `(batch, ceil(height / 32), ceil(width / 32), 1280)`.

    Raises:
        ValueError: no such variant, or no such shape of images.

    Example:

    >>> backbone = khp.models.efficientnet_lite(image_shape=(64, 64, 3))
    >>> backbone.output_shape
    (None, 2, 2, 1280)
    """
    variant = checks.integer("variant", variant, least=0, most=len(_SCALES) - 1)
    _check_shape(image_shape)
    width, depth = _SCALES[variant]
    inputs = keras.Input(image_shape)
    x = layers.Rescaling(1 / 128, offset=-127 / 128)(inputs)
    x = _convolve(x, "stem", _STEM, 3, strides=2)
    for stage, (blocks, kernel, stride, expansion, channels) in enumerate(STAGES):
        # The first and the last stage are as deep in all variants.
        if 0 < stage < len(STAGES) - 1:
            blocks = math.ceil(depth * blocks)
        for block in range(blocks):
            x = _block(
                x,
                f"stage{stage}_block{block}",
                _rounded(width * channels),
                kernel,
                stride if block == 0 else 1,
                expansion,
            )
    x = _convolve(x, "top", _TOP, 1)
    return keras.Model(inputs, x, name=f"efficientnet_lite{variant}")


def _check_shape(image_shape):
    shape = tuple(image_shape) if isinstance(image_shape, list | tuple) else ()
    if len(shape) != 3 or shape[2] != 3:
        raise ValueError(
            "`image_shape` must be (height, width, 3): the network is for colour "
            f"images. Received: image_shape={image_shape!r}."
        )
    for side in shape[:2]:
        if side is not None:
            checks.integer("image_shape", side, least=LEAST_SIDE)


def _block(x, name, channels, kernel, stride, expansion):
    """An inverted residual: widen, filter each channel, narrow."""
    inner = x
    if expansion > 1:
        inner = _convolve(inner, f"{name}_expand", expansion * x.shape[-1], 1)
    inner = layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, name=f"{name}_depthwise"
    )(inner)
    inner = _normalize(inner, f"{name}_depthwise")
    inner = _convolve(inner, f"{name}_project", channels, 1, activate=False)
    if stride == 1 and x.shape[-1] == channels:
        return layers.Add(name=f"{name}_add")([x, inner])
    return inner


def _convolve(x, name, filters, kernel, strides=1, activate=True):
    # "same" pads one row and column more behind than before at stride 2, as the
    # published weights expect.
    x = layers.Conv2D(filters, kernel, strides, "same", use_bias=False, name=name)(x)
    return _normalize(x, name, activate)


def _normalize(x, name, activate=True):
    x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _rounded(channels):
    """The nearest multiple of 8 that does not lose more than a tenth."""
    multiple = max(8, int(channels + 4) // 8 * 8)
    return multiple + 8 if multiple < 0.9 * channels else multiple
