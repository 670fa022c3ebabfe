"""Multi-Similarity loss."""

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.losses.base import EmbeddingLoss
from keras_hierproxy.ops import (
    MASKED,
    l2_normalize,
    log_one_plus_sum_exp,
    log_weights,
    other_counts,
    same_label,
    weighted_mean,
)


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class MultiSimilarityLoss(EmbeddingLoss):
    """Weighs each pair by its similarity and by that of the pairs around it.

    With s_ij the cosine similarity of two samples,

        L = mean_i 1/alpha log(1 + sum_{j != i: y_j = y_i}  exp(-alpha (s_ij - base)))
                 + 1/beta  log(1 + sum_{j: y_j != y_i}      exp( beta  (s_ij - base)))

    Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep
    Metric Learning", CVPR 2019 (arXiv 1904.06627), without its pair mining. It
    needs batches with several samples a class: `batches(sampler="balanced")`.

    Args:
        alpha: float, sharpness over positive pairs; 2 as in the paper.
        beta: float, sharpness over negative pairs; 50 as in the paper.
        base: float, the similarity where a pair is neither good nor bad; 0.5.
        name: str, the name in logs.

    Example:

    >>> embeddings = np.random.normal(size=(32, 16)).astype("float32")
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.MultiSimilarityLoss()(labels, embeddings)
    """

    over_pairs = True

    def __init__(self, alpha=2.0, beta=50.0, base=0.5, name="multi_similarity_loss"):
        super().__init__(name)
        self.alpha = checks.real("alpha", alpha, above=0)
        self.beta = checks.real("beta", beta, above=0)
        self.base = checks.real("base", base)

    def call(self, labels, embeddings, weights):
        points = l2_normalize(embeddings)
        similarity = ops.matmul(points, ops.transpose(points)) - self.base
        same = same_label(labels)
        copies = log_weights(other_counts(weights))
        pull = ops.where(same, copies - self.alpha * similarity, MASKED)
        push = ops.where(same, MASKED, copies + self.beta * similarity)
        losses = (
            log_one_plus_sum_exp(pull, axis=1) / self.alpha
            + log_one_plus_sum_exp(push, axis=1) / self.beta
        )
        return weighted_mean(losses, weights)

    def get_config(self):
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "beta": self.beta,
            "base": self.base,
        }
