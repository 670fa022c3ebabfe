"""Supervised contrastive loss."""

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.geometry import Sphere, check_geometry
from keras_hierproxy.losses.base import EmbeddingLoss
from keras_hierproxy.ops import (
    log_weights,
    other_counts,
    same_label,
    weighted_mean,
)


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class SupConLoss(EmbeddingLoss):
    """A softmax over the other samples of the batch, averaged over the positives.

    With d the distance of the geometry and T the temperature,

        L = mean_i mean_{j != i: y_j = y_i}
              -log( exp(-d_ij / T) / sum_{k != i} exp(-d_ik / T) )

    over the samples i that have a positive. On the sphere d = 1 - s, which gives
    the softmax of cosine similarities: Khosla et al., "Supervised Contrastive
    Learning", NeurIPS 2020 (arXiv 2004.11362), the loss outside the logarithm. On
    the Poincare ball, with two samples a class, it is the loss of Ermolov et al.,
    "Hyperbolic Vision Transformers", CVPR 2022 (arXiv 2203.10833).
    It needs batches with several samples a class: `batches(sampler="balanced")`.

    Args:
        temperature: float; 0.1 as in the first paper, 0.2 in the second.
        geometry: where distances are measured, `khp.geometry.Sphere()` by default,
            by angle, also where the model's embeddings live on the ball. They
            are projected to the sphere here; on another geometry they must be
            points already.
        name: str, the name in logs.

    Example:

    >>> embeddings = np.random.normal(size=(32, 16)).astype("float32")
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.SupConLoss()(labels, embeddings)
    """

    over_pairs = True

    def __init__(self, temperature=0.1, geometry=None, name="sup_con_loss"):
        super().__init__(name)
        self.temperature = checks.real("temperature", temperature, above=0)
        self.geometry = check_geometry(geometry)

    @property
    def required_geometry(self):
        return None if self.geometry == Sphere() else self.geometry

    def call(self, labels, embeddings, weights):
        points = embeddings
        if self.required_geometry is None:
            points = self.geometry.project(embeddings)
        counts = other_counts(weights)
        logits = -self.geometry.pairwise_distance(points) / self.temperature
        log_sum = ops.logsumexp(logits + log_weights(counts), axis=1, keepdims=True)
        positives = ops.where(same_label(labels), counts, 0.0)
        num_positives = ops.sum(positives, axis=1)
        losses = ops.divide_no_nan(
            ops.sum(positives * (log_sum - logits), axis=1), num_positives
        )
        return weighted_mean(losses, ops.where(num_positives > 0, weights, 0.0))

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "geometry": keras.saving.serialize_keras_object(self.geometry),
        }

    @classmethod
    def from_config(cls, config):
        geometry = keras.saving.deserialize_keras_object(config["geometry"])
        return cls(**{**config, "geometry": geometry})
