"""SoftTriple loss."""

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.losses.base import ProxyLoss
from keras_hierproxy.ops import at_own, center_similarity, cross_entropy, weighted_mean


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class SoftTripleLoss(ProxyLoss):
    """Softmax over classes of several centers each, softly assigned.

    With s_ck the cosine similarity of x to center k of class c,

        S_c = sum_k softmax_k(s_ck / gamma) s_ck
        L = mean_x -log( exp(scale (S_y - margin))
                         / (exp(scale (S_y - margin)) + sum_{c != y} exp(scale S_c)) )

    Qian et al., "SoftTriple Loss: Deep Metric Learning Without Triplet
    Sampling", ICCV 2019 (arXiv 1909.05235). Give the layer its centers:
    `khp.layers.Proxies(num_classes, centers_per_class=10)`.

    Args:
        scale: float, the paper's lambda; 20 as there.
        gamma: float, the softness of the assignment to centers; 0.1 as there.
        margin: float, the paper's delta; 0.01 as there.
        proxies: the `khp.layers.Proxies` to read; `compile` of an
            `EmbeddingModel` or `ImageEmbedder` finds it.
        name: str, the name in logs.

    Example:

    >>> layer = khp.layers.Proxies(num_classes=10, centers_per_class=3)
    >>> embeddings = layer(np.random.normal(size=(32, 16)).astype("float32"))
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.SoftTripleLoss(proxies=layer)(labels, embeddings)
    """

    centers_per_class = 10

    def __init__(
        self,
        scale=20.0,
        gamma=0.1,
        margin=0.01,
        proxies=None,
        name="soft_triple_loss",
    ):
        super().__init__(proxies, name)
        self.scale = checks.real("scale", scale, above=0)
        self.gamma = checks.real("gamma", gamma, above=0)
        self.margin = checks.real("margin", margin)

    def value(self, labels, embeddings, weights, proxies, counts=None):
        to_centers = center_similarity(embeddings, proxies)
        # `ops.softmax` would warn of an axis of size 1, which one center a class has.
        affinity = to_centers / self.gamma
        total = ops.logsumexp(affinity, axis=-1, keepdims=True)
        assignment = ops.exp(affinity - total)
        logits = self.scale * ops.sum(assignment * to_centers, axis=-1)
        target = at_own(logits, labels) - self.scale * self.margin
        return weighted_mean(cross_entropy(logits, labels, target, counts), weights)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.scale,
            "gamma": self.gamma,
            "margin": self.margin,
        }
