"""Layers that Keras computes slowly on a CPU, faster while a model runs.

With PyTorch, Keras copies images into another order of channels for each convolution
and pooling (keras-team/keras issues 23279 and 23649), and composes batch normalization
of single operations, of which each keeps an array for the backward pass. With JAX,
XLA's depthwise convolution is slow on CPUs; sums of shifted images it fuses into one
pass. The layers and what is saved stay Keras's own; what is computed is the same up to
rounding.
"""

import contextlib
import functools

import keras
from keras import layers, ops

from keras_hierproxy.keras_internals import all_layers
from keras_hierproxy.ops.device import computes_on_cpu

# Numbers of a piece of an array, 1 MB: it should stay in the cache.
_PIECE_SIZE = 2**18
_BUT_CHANNELS = (0, 1, 2)


@contextlib.contextmanager
def faster_on_cpu(model):
    """A context in which a model's layers are computed faster, if a CPU computes.

    On PyTorch where the model is not compiled as a whole, and on JAX; elsewhere it does
    nothing.

    Args:
        model: a built and compiled `keras.Model`.
    """
    changed = []
    calls = _calls(model) if computes_on_cpu() else {}
    for layer in all_layers(model) if calls else ():
        # Exactly of the type: one derived from it may compute something else.
        call = calls.get(type(layer))
        if call is not None and "call" not in vars(layer) and _fits(layer):
            # Not by `setattr`, which looks for layers in what it is given.
            vars(layer)["call"] = functools.partial(call, layer)
            changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            # Another thread may have been here.
            vars(layer).pop("call", None)


def _calls(model):
    """What computes which class of layers."""
    backend = keras.config.backend()
    if backend == "torch" and not model.jit_compile:
        return _ON_TORCH
    return _ON_JAX if backend == "jax" else {}


def _fits(layer):
    """Whether a layer is of images whose channels come last."""
    if isinstance(layer, layers.BatchNormalization):
        is_last = layer.built and layer.input_spec.ndim == 4 and layer.axis in (-1, 3)
        return is_last and layer.scale and layer.center and not layer.renorm
    return layer.data_format == "channels_last"


def _convolve(operation, layer, inputs):
    outputs = _seen_channels_first(
        operation, layer, inputs, layer.kernel, dilation_rate=layer.dilation_rate
    )
    if layer.use_bias:
        outputs = outputs + layer.bias
    return outputs if layer.activation is None else layer.activation(outputs)


def _convolve_by_shifts(layer, inputs):
    """A depthwise convolution, as a sum over the places of its kernel."""
    # Half precision would round each sum.
    if layer.depth_multiplier > 1 or layer.compute_dtype != "float32":
        return type(layer).call(layer, inputs)
    (height, width), kernel = inputs.shape[1:3], layer.kernel
    rows, padding_rows = _seen(layer, height, 0)
    columns, padding_columns = _seen(layer, width, 1)
    inputs = ops.pad(inputs, [(0, 0), padding_rows, padding_columns, (0, 0)])
    outputs = sum(
        inputs[:, top, left] * kernel[i, j, :, 0]
        for i, top in enumerate(rows)
        for j, left in enumerate(columns)
    )
    if layer.use_bias:
        outputs = outputs + layer.bias
    return outputs if layer.activation is None else layer.activation(outputs)


def _seen(layer, size, axis):
    """Of each place of the kernel what it sees along an axis, and the padding there."""
    kernel, stride = layer.kernel_size[axis], layer.strides[axis]
    dilation = layer.dilation_rate[axis]
    reach = (kernel - 1) * dilation + 1
    padding = 0
    if layer.padding == "same":
        padding = max((-(-size // stride) - 1) * stride + reach - size, 0)
    last = (size + padding - reach) // stride * stride
    starts = range(0, reach, dilation)
    seen = [slice(start, start + last + 1, stride) for start in starts]
    return seen, (padding // 2, padding - padding // 2)


def _pool(operation, layer, inputs):
    return _seen_channels_first(operation, layer, inputs, layer.pool_size)


def _seen_channels_first(operation, layer, inputs, kernel, **options):
    """An operation on images that lie as they did, seen as if channels came first.

    PyTorch computes that as fast or faster, and Keras then copies nothing.
    """
    outputs = operation(
        ops.transpose(inputs, (0, 3, 1, 2)),
        kernel,
        strides=layer.strides,
        padding=layer.padding,
        data_format="channels_first",
        **options,
    )
    return ops.transpose(outputs, (0, 2, 3, 1))


def _normalize(layer, inputs, training=None, mask=None):
    """Batch normalization with its gradient in closed form.

    With `c = x - mean`, `r = 1 / sqrt(variance + epsilon)` and `g` the gradient by the
    outputs, that by beta is `sum(g)`, by gamma `r sum(g c)`, and by x
    `gamma r (g - mean(g) - c r^2 mean(g c))`.
    """
    if not (training and layer.trainable) or mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    dtype = keras.backend.result_type(inputs.dtype, "float32")
    inputs = ops.cast(inputs, dtype)
    count = inputs.shape[0] * inputs.shape[1] * inputs.shape[2]
    constant = ops.stop_gradient(inputs)
    mean = ops.mean(constant, _BUT_CHANNELS)
    variance = _in_pieces(lambda x: _sum(ops.square(x - mean)), sum, constant) / count
    for moving, value in (
        (layer.moving_mean, mean),
        (layer.moving_variance, variance),
    ):
        moving.assign(moving * layer.momentum + value * (1 - layer.momentum))

    @ops.custom_gradient
    def normalize(x, gamma, beta):
        def gradients(*_, upstream):
            by_beta = _sum(upstream)
            products = _in_pieces(lambda x, g: _sum((x - mean) * g), sum, x, upstream)
            root = ops.rsqrt(variance + layer.epsilon)
            scale = gamma * root
            slope = -scale * ops.square(root) * products / count
            offset = -scale * by_beta / count - slope * mean
            by_x = _in_pieces(
                lambda x, g: scale * g + (slope * x + offset),
                ops.concatenate,
                x,
                upstream,
            )
            return by_x, root * products, by_beta

        outputs = ops.batch_normalization(
            x, mean, variance, -1, beta, gamma, layer.epsilon
        )
        return outputs, gradients

    gamma, beta = (ops.cast(each, dtype) for each in (layer.gamma, layer.beta))
    return ops.cast(normalize(inputs, gamma, beta), layer.compute_dtype)


def _sum(images):
    return ops.sum(images, _BUT_CHANNELS)


def _in_pieces(function, join, *arrays):
    """A function of batches of images, computed of a few of them at a time."""
    batch, height, width, channels = arrays[0].shape
    step = max(1, _PIECE_SIZE // (height * width * channels))
    pieces = (
        [array[start : start + step] for array in arrays]
        for start in range(0, batch, step)
    )
    return join([function(*piece) for piece in pieces])


_ON_TORCH = {
    layers.Conv2D: functools.partial(_convolve, ops.conv),
    layers.DepthwiseConv2D: functools.partial(_convolve, ops.depthwise_conv),
    layers.MaxPooling2D: functools.partial(_pool, ops.max_pool),
    layers.AveragePooling2D: functools.partial(_pool, ops.average_pool),
    layers.BatchNormalization: _normalize,
}
_ON_JAX = {layers.DepthwiseConv2D: _convolve_by_shifts}
