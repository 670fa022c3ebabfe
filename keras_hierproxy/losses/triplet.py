"""Triplet margin loss."""

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.losses.base import EmbeddingLoss
from keras_hierproxy.ops import (
    l2_normalize,
    other_counts,
    same_label,
    weighted_mean,
)

# Squared distances below float32's resolution of 2 - 2s count as 0, with a
# gradient of 0: the root of a rounding error is no distance.
MIN_SQUARED_DISTANCE = 1e-6


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class TripletLoss(EmbeddingLoss):
    """Every positive nearer than every negative, by a margin.

    With d the Euclidean distance on the unit sphere, over all triplets of the
    batch (anchor a, positive p, negative n) that violate the margin,

        L = mean [d(a, p) - d(a, n) + margin]+

    Schroff et al., "FaceNet", CVPR 2015 (arXiv 1503.03832). Memory grows with
    the cube of the batch: 0.5 GB at 512 samples. It needs batches with several
    samples a class: `batches(sampler="balanced")`.

    Args:
        margin: float, in units of the distance; 0.05 as in PyTorch Metric
            Learning.
        name: str, the name in logs.

    Example:

    >>> embeddings = np.random.normal(size=(32, 16)).astype("float32")
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.TripletLoss()(labels, embeddings)
    """

    over_pairs = True

    def __init__(self, margin=0.05, name="triplet_loss"):
        super().__init__(name)
        self.margin = checks.real("margin", margin, least=0)

    def call(self, labels, embeddings, weights):
        distances = _euclidean_distances(embeddings)
        violation = distances[:, :, None] - distances[:, None, :] + self.margin
        same = same_label(labels)
        counts = other_counts(weights)
        positives = weights[:, None] * ops.where(same, counts, 0.0)
        negatives = ops.where(same, 0.0, counts)
        triplets = positives[:, :, None] * negatives[:, None, :]
        # Not `violation > 0`, which is false of NaN and would hide it.
        violated = ops.where(violation <= 0, 0.0, triplets)
        return weighted_mean(violation, violated)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


def _euclidean_distances(embeddings):
    points = l2_normalize(embeddings)
    squared = 2.0 - 2.0 * ops.matmul(points, ops.transpose(points))
    near = squared <= MIN_SQUARED_DISTANCE
    return ops.where(near, 0.0, ops.sqrt(ops.where(near, 1.0, squared)))
