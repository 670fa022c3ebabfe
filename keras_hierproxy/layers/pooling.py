"""Generalized mean pooling."""

import keras
from keras import ops

from keras_hierproxy import checks


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class GeneralizedMeanPooling2D(keras.layers.Layer):
    """Pools a feature map by a mean of learned exponent.

        y = (mean_{h,w} max(x, epsilon)^p)^(1/p)

    p = 1 is average pooling, p -> infinity maximum pooling. Radenovic et al.,
    "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2018 (arXiv
    1711.02512).

    Args:
        exponent: float, the initial p; 3 as in the paper.
        epsilon: float, the floor of activations, which must be positive; 1e-6.
        data_format: `"channels_last"` or `"channels_first"`; by default Keras's.
        name: str.

    Input shape: `(batch, height, width, channels)` (or channels first).
    Output shape: `(batch, channels)`.

    Example:

    >>> x = np.random.uniform(size=(2, 7, 7, 64)).astype("float32")
    >>> tuple(khp.layers.GeneralizedMeanPooling2D()(x).shape)
    (2, 64)
    """

    def __init__(
        self, exponent=3.0, epsilon=1e-6, data_format=None, name=None, **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self.exponent = checks.real("exponent", exponent, above=0)
        self.epsilon = checks.real("epsilon", epsilon, above=0)
        if data_format is not None:
            formats = ("channels_last", "channels_first")
            data_format = checks.one_of("data_format", data_format, formats)
        self.data_format = data_format or keras.config.image_data_format()

    def build(self, input_shape):
        self.p = self.add_weight(
            name="p",
            shape=(),
            initializer=keras.initializers.Constant(self.exponent),
            # Read in half precision, 3.01 would be 3.02, and stay so for many steps.
            autocast=False,
        )

    def call(self, x):
        axes = (1, 2) if self.data_format == "channels_last" else (2, 3)
        # Powers of small activations underflow in half precision.
        powers = ops.power(ops.maximum(ops.cast(x, "float32"), self.epsilon), self.p)
        pooled = ops.power(ops.mean(powers, axis=axes), 1.0 / self.p)
        return ops.cast(pooled, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        channels = -1 if self.data_format == "channels_last" else 1
        return (input_shape[0], input_shape[channels])

    def get_config(self):
        return {
            **super().get_config(),
            "exponent": self.exponent,
            "epsilon": self.epsilon,
            "data_format": self.data_format,
        }
