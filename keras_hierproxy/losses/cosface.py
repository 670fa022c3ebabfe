"""CosFace loss."""

import keras

from keras_hierproxy import checks
from keras_hierproxy.losses.base import ProxyLoss
from keras_hierproxy.ops import at_own, cosine_similarity, cross_entropy, weighted_mean


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class CosFaceLoss(ProxyLoss):
    """Softmax over cosines, with a margin off the true class's cosine.

    With s the cosine similarity,

        L = mean_x -log( exp(scale (s_y - margin))
                         / (exp(scale (s_y - margin)) + sum_{p != y} exp(scale s_p)) )

    Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition",
    CVPR 2018 (arXiv 1801.09414).

    Args:
        margin: float, in units of the cosine; 0.35 as in the paper.
        scale: float, the radius of the sphere; 64 as in the paper.
        proxies: the `khp.layers.Proxies` to read; `compile` of an
            `EmbeddingModel` or `ImageEmbedder` finds it.
        name: str, the name in logs.

    Example:

    >>> layer = khp.layers.Proxies(num_classes=10)
    >>> embeddings = layer(np.random.normal(size=(32, 16)).astype("float32"))
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.CosFaceLoss(proxies=layer)(labels, embeddings)
    """

    def __init__(self, margin=0.35, scale=64.0, proxies=None, name="cosface_loss"):
        super().__init__(proxies, name)
        self.margin = checks.real("margin", margin)
        self.scale = checks.real("scale", scale, above=0)

    def value(self, labels, embeddings, weights, proxies, counts=None):
        logits = cosine_similarity(embeddings, proxies, scale=self.scale)
        target = at_own(logits, labels) - self.scale * self.margin
        return weighted_mean(cross_entropy(logits, labels, target, counts), weights)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}
