"""Proxy-Anchor loss."""

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.losses.base import ProxyLoss
from keras_hierproxy.ops import (
    MASKED,
    cosine_similarity,
    is_own,
    log_one_plus_sum_exp,
    log_weights,
    same_label,
    weighted_mean,
)


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class ProxyAnchorLoss(ProxyLoss):
    """Each proxy is an anchor that pulls its samples and pushes all others.

    With s the cosine similarity and P+ the proxies that have a positive sample
    in the batch,

        L = 1/|P+| sum_{p in P+} log(1 + sum_{x: y=p}  exp(-alpha (s(x,p) - margin)))
          + 1/C    sum_p         log(1 + sum_{x: y!=p} exp( alpha (s(x,p) + margin)))

    Kim et al., "Proxy Anchor Loss for Deep Metric Learning", CVPR 2020
    (arXiv 2003.13911).

    Args:
        margin: float, added to both sides; 0.1 as in the paper.
        alpha: float, the sharpness of the hardness weighting; 32 as in the paper.
        proxies: the `khp.layers.Proxies` to read; `compile` of an
            `EmbeddingModel` or `ImageEmbedder` finds it.
        name: str, the name in logs.

    Example:

    >>> layer = khp.layers.Proxies(num_classes=10)
    >>> embeddings = layer(np.random.normal(size=(32, 16)).astype("float32"))
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.ProxyAnchorLoss(proxies=layer)(labels, embeddings)
    """

    def __init__(self, margin=0.1, alpha=32.0, proxies=None, name="proxy_anchor_loss"):
        super().__init__(proxies, name)
        self.margin = checks.real("margin", margin)
        self.alpha = checks.real("alpha", alpha, above=0)

    def value(self, labels, embeddings, weights, proxies, counts=None):
        # Scaled by alpha: (b, c).
        similarity = cosine_similarity(embeddings, proxies, scale=self.alpha)
        shift = self.alpha * self.margin
        copies = log_weights(weights)

        is_its_own = is_own(labels, ops.shape(proxies)[0])

        # Only b of the b x c entries are positive: work on them as (b, b), where
        # row i holds the samples of i's proxy, and each proxy counts once.
        own = ops.sum(ops.where(is_its_own, similarity, 0.0), axis=1)
        same = same_label(labels)
        pull = ops.where(same, (shift - own + copies)[None, :], MASKED)
        companions = ops.sum(ops.where(same, weights[None, :], 0.0), axis=1)
        share = ops.divide_no_nan(weights, companions)
        positive = weighted_mean(log_one_plus_sum_exp(pull, axis=1), share)

        push = similarity + ops.where(is_its_own, MASKED, (shift + copies)[:, None])
        negative = log_one_plus_sum_exp(push, axis=0)
        if counts is None:
            return positive + ops.mean(negative)
        return positive + weighted_mean(negative, counts)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin, "alpha": self.alpha}
