"""Any Keras model that ends in embeddings."""

import keras

from keras_hierproxy.models.embedder import Embedder


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class EmbeddingModel(Embedder, keras.Model):
    """A functional Keras model, of any inputs, trained to embed.

    Everything of `keras.Model`, and: `compile` gives losses the model's proxies,
    `fit` checks labels and completes callbacks, `embed` returns points.

    Args:
        inputs: `keras.Input` or a structure of them.
        outputs: the embeddings, a Keras tensor `(batch, d)`, as a rule the output
            of a `khp.layers.Proxies` or `HierProxies`.
        name: str.

    Attributes:
        geometry: where the embeddings live: that of the model's
            `khp.layers.ProjectToGeometry` layer, by default the sphere.
        backbone: the model within the model, if there is just one: the group that
            `khp.optimizers.grouped` gives the backbone's rate.

    Example:

    >>> inputs = keras.Input((300,))
    >>> x = keras.layers.Dense(64)(inputs)
    >>> outputs = khp.layers.HierProxies(num_classes=1000, level_sizes=(50,))(x)
    >>> model = khp.models.EmbeddingModel(inputs, outputs)
    >>> loss = khp.losses.ProxyAnchorLoss() + 0.5 * khp.losses.MultiSimilarityLoss()
    >>> model.compile("adamw", loss=loss)
    """

    @property
    def backbone(self):
        inner = [layer for layer in self.layers if isinstance(layer, keras.Model)]
        return inner[0] if len(inner) == 1 else None
