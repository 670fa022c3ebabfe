"""Normalized softmax loss."""

import keras

from keras_hierproxy import checks
from keras_hierproxy.losses.base import ProxyLoss
from keras_hierproxy.ops import cosine_similarity, cross_entropy, weighted_mean


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class NormalizedSoftmaxLoss(ProxyLoss):
    """Softmax cross-entropy over cosine similarities to the proxies.

    With s the cosine similarity and T the temperature,

        L = mean_x -log( exp(s(x, p_y) / T) / sum_p exp(s(x, p) / T) )

    Zhai and Wu, "Classification is a Strong Baseline for Deep Metric Learning",
    BMVC 2019 (arXiv 1811.12649).

    Args:
        temperature: float; 0.05 as in the paper.
        proxies: the `khp.layers.Proxies` to read; `compile` of an
            `EmbeddingModel` or `ImageEmbedder` finds it.
        name: str, the name in logs.

    Example:

    >>> layer = khp.layers.Proxies(num_classes=10)
    >>> embeddings = layer(np.random.normal(size=(32, 16)).astype("float32"))
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.NormalizedSoftmaxLoss(proxies=layer)(labels, embeddings)
    """

    def __init__(self, temperature=0.05, proxies=None, name="normalized_softmax_loss"):
        super().__init__(proxies, name)
        self.temperature = checks.real("temperature", temperature, above=0)

    def value(self, labels, embeddings, weights, proxies, counts=None):
        logits = cosine_similarity(embeddings, proxies, scale=1.0 / self.temperature)
        return weighted_mean(cross_entropy(logits, labels, counts=counts), weights)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}
