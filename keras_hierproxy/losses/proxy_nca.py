"""Proxy-NCA and ProxyNCA++ loss."""

import keras

from keras_hierproxy import checks
from keras_hierproxy.losses.base import ProxyLoss
from keras_hierproxy.ops import cosine_similarity, cross_entropy, weighted_mean


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class ProxyNCALoss(ProxyLoss):
    """Neighbourhood component analysis with proxies for neighbours.

    With x and p on the unit sphere and T the temperature,

        L = mean_x -log( exp(-|x - p_y|^2 / T) / sum_p exp(-|x - p|^2 / T) )

    Movshovitz-Attias et al., "No Fuss Distance Metric Learning using Proxies",
    ICCV 2017 (arXiv 1703.07464), with the probability over all proxies of Teh et
    al., "ProxyNCA++", ECCV 2020 (arXiv 2004.01113), as PyTorch Metric Learning
    has it.

    Args:
        temperature: float. 1 is Proxy-NCA; ProxyNCA++ sharpens it to 1/9.
        proxies: the `khp.layers.Proxies` to read; `compile` of an
            `EmbeddingModel` or `ImageEmbedder` finds it.
        name: str, the name in logs.

    Example:

    >>> layer = khp.layers.Proxies(num_classes=10)
    >>> embeddings = layer(np.random.normal(size=(32, 16)).astype("float32"))
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.ProxyNCALoss(temperature=1 / 9, proxies=layer)
    >>> value = loss(labels, embeddings)
    """

    def __init__(self, temperature=1.0, proxies=None, name="proxy_nca_loss"):
        super().__init__(proxies, name)
        self.temperature = checks.real("temperature", temperature, above=0)

    def value(self, labels, embeddings, weights, proxies, counts=None):
        # On the sphere -|x - p|^2 = 2 s - 2, and the softmax drops the constant.
        logits = cosine_similarity(embeddings, proxies, scale=2.0 / self.temperature)
        return weighted_mean(cross_entropy(logits, labels, counts=counts), weights)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}
