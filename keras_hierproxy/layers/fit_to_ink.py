"""Letters brought to one size and place."""

import keras
from keras import ops

from keras_hierproxy import checks


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class FitToInk(keras.layers.Layer):
    """Cuts each image to its ink and resizes that, so that letters fill the frame.

    Where on the paper a letter stands, and how large, says nothing of what it is. The
    ink's bounding square, with a margin, becomes the frame; proportions stay. Dark ink
    on light paper is turned into light ink on black, and the brightest ink into white,
    so scans and screens look alike. An image without ink stays black.

    Meant as the `preprocessor` of an `ImageEmbedder` of letters or drawings, whatever
    the size of its images.

    Args:
        image_size: int, side of the resulting images, pixels; 32, as of the glyph set.
        margin: float, width of the margin as a share of that side; 0.08, some 2.5 of
            32 pixels, so that strokes do not touch the border.
        threshold: float in (0, 1), how bright, as a share of the brightest, pixels are
            that count as ink; 0.3, above the noise of scans.

    Input shape: `(batch, height, width, channels)`, values in [0, 255].
    Output shape: `(batch, image_size, image_size, channels)`, float32 in [0, 255].

    Raises:
        ValueError: for images of another rank.

    Example:

    >>> small = np.zeros((1, 105, 105, 1), "uint8")
    >>> small[0, 10:20, 70:80] = 255
    >>> frame = khp.layers.FitToInk()(small)
    >>> tuple(frame.shape), int(frame[0, 16, 16, 0])
    ((1, 32, 32, 1), 255)
    """

    def __init__(self, image_size=32, margin=0.08, threshold=0.3, **kwargs):
        # In float32, whatever the model's precision: pixels are counted.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.image_size = checks.integer("image_size", image_size, least=1)
        self.margin = checks.real("margin", margin, least=0, below=0.5)
        self.threshold = checks.real("threshold", threshold, above=0, below=1)

    def call(self, images):
        if len(images.shape) != 4:
            raise ValueError(
                "FitToInk takes images of shape (n, height, width, channels). "
                f"Received: shape {tuple(images.shape)}. Pass `images[..., None]` for "
                "gray images without channels, `image[None]` for a single one."
            )
        x = ops.cast(images, "float32")
        light = ops.mean(x, axis=(1, 2, 3), keepdims=True) > 127.5
        x = ops.where(light, 255.0 - x, x)
        brightest = ops.max(x, axis=(1, 2, 3), keepdims=True)
        x = x * (255.0 / ops.maximum(brightest, 1.0))
        ink = ops.max(x, axis=3) > 255.0 * self.threshold
        top, height = _extent(ops.any(ink, axis=2))
        left, width = _extent(ops.any(ink, axis=1))
        side = ops.maximum(height, width) / (1 - 2 * self.margin)
        rows = self._weights(top + height / 2, side, ops.shape(x)[1])
        columns = self._weights(left + width / 2, side, ops.shape(x)[2])
        x = ops.einsum("biy,byxc->bixc", rows, x)
        return ops.einsum("bjx,bixc->bijc", columns, x)

    def _weights(self, center, side, size):
        """Weights `(batch, image_size, size)` of pixels in those of the result.

        Linear interpolation; where an image shrinks, over all pixels that fall into
        one. What lies outside is black.
        """
        step = (side / self.image_size)[:, None, None]
        place = ops.arange(self.image_size, dtype="float32")[:, None]
        place = (place + 0.5 - self.image_size / 2) * step + center[:, None, None]
        # Black pixels on either side count in the sum of the weights.
        pixel = ops.arange(-size, 2 * size, dtype="float32") + 0.5
        weights = ops.relu(1.0 - ops.abs(place - pixel) / ops.maximum(step, 1.0))
        total = ops.sum(weights, axis=2, keepdims=True)
        return weights[:, :, size : 2 * size] / ops.maximum(total, 0.5)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.image_size, self.image_size, input_shape[3])

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "margin": self.margin,
            "threshold": self.threshold,
        }


def _extent(inked):
    """Where ink begins in each row of `(batch, n)`, and how far it reaches."""
    size = ops.shape(inked)[1]
    inked = ops.cast(inked, "int32")
    first = ops.argmax(inked, axis=1)
    behind = size - ops.argmax(ops.flip(inked, axis=1), axis=1)
    first, behind = ops.cast(first, "float32"), ops.cast(behind, "float32")
    return first, behind - first
