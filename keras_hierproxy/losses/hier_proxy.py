"""Hierarchical Proxy-based Loss (HPL)."""

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.layers.hier_proxies import HierProxies
from keras_hierproxy.losses import registry
from keras_hierproxy.losses.base import ProxyLoss

# Of a level, as a share of that of the level below.
LEVEL_WEIGHT = 0.5


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class HierProxyLoss(ProxyLoss):
    """A proxy loss at every level of a pyramid of proxies.

    Level 0 holds the class proxies, level l >= 1 fewer, coarser ones; `y^l` is
    the label's ancestor at level l. With `L_base` any loss over proxies,

        L = sum_l w_l L_base(x, P^l, y^l)

    The hierarchy lives in the `khp.layers.HierProxies`: given as a taxonomy, or
    learned by `khp.callbacks.HierarchyUpdate`, and then the coarse terms are off
    until its first update.

    Yang et al., "Hierarchical Proxy-based Loss for Deep Metric Learning", WACV
    2022 (arXiv 2103.13538). The default weights are this library's, not the
    paper's.

    Args:
        base: the loss of each level: a loss over proxies of this package, or the
            name of one for its defaults: that of its class in small letters, such as
            `"proxy_anchor"` or `"sub_center_arcface"`. By default Proxy-Anchor.
        level_weights: list of floats, w_0 for the classes first, one a level. By
            default `w_l = 0.5 ** l`: coarse levels shape the space, the classes
            decide it. Tuned on frozen features of three data sets, weights above
            `0.6 ** l` lowered MAP@R of unseen classes on each; smaller ones did as
            well.
        proxies: the `khp.layers.HierProxies` to read; `compile` of an
            `EmbeddingModel` or `ImageEmbedder` finds it.
        name: str, the name in logs.

    Example:

    >>> layer = khp.layers.HierProxies(num_classes=10, taxonomy=[[0]] * 5 + [[1]] * 5)
    >>> embeddings = layer(np.random.normal(size=(32, 16)).astype("float32"))
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.HierProxyLoss(base="cosface", proxies=layer)
    >>> value = loss(labels, embeddings)
    """

    layer_class = HierProxies
    made_of_losses = True

    def __init__(
        self,
        base="proxy_anchor",
        level_weights=None,
        proxies=None,
        name="hier_proxy_loss",
    ):
        super().__init__(proxies, name)
        self.base = _resolve_base(base)
        self.centers_per_class = self.base.centers_per_class
        self.level_weights = _check_level_weights(level_weights)

    def layer_value(self, labels, embeddings, weights, layer):
        level_weights = self._weights_for(layer)
        fine, penalty = self.class_value(labels, embeddings, weights, layer)
        total = level_weights[0] * fine
        for level, level_weight in enumerate(level_weights[1:], start=1):
            coarse = self.value(
                layer.labels_at(level, labels),
                embeddings,
                weights,
                layer.level_proxies(level),
            )
            # Off, with a zero gradient, until the layer has a hierarchy.
            total += level_weight * ops.where(layer.is_ready(), coarse, 0.0)
        return total if penalty is None else total + penalty

    def value(self, labels, embeddings, weights, proxies, **counts):
        return self.base.value(labels, embeddings, weights, proxies, **counts)

    def variables_read(self, layer):
        # Weight decay would move a level whose weight, and gradient, is 0.
        levels = zip(layer.proxy_variables(), self._weights_for(layer), strict=True)
        return [proxies for proxies, weight in levels if weight != 0]

    def check_layer(self, layer):
        super().check_layer(layer)
        self._weights_for(layer)

    def _weights_for(self, layer):
        if self.level_weights is None:
            return [LEVEL_WEIGHT**level for level in range(layer.num_levels)]
        if len(self.level_weights) != layer.num_levels:
            raise ValueError(
                "`level_weights` needs one number a level, the classes' first. "
                f"Received: level_weights={self.level_weights} for the "
                f"{layer.num_levels} levels of layer {layer.name!r}."
            )
        return self.level_weights

    def get_config(self):
        return {
            **super().get_config(),
            "base": keras.saving.serialize_keras_object(self.base),
            "level_weights": self.level_weights,
        }

    @classmethod
    def from_config(cls, config):
        base = keras.saving.deserialize_keras_object(config["base"])
        return cls(**{**config, "base": base})


def _check_level_weights(weights):
    if weights is None:
        return None
    if isinstance(weights, str) or not hasattr(weights, "__len__"):
        raise ValueError(
            "`level_weights` must be a list of numbers, one a level, the classes' "
            f"first. Received: {weights!r}."
        )
    return [checks.real("level_weights", weight, least=0) for weight in weights]


def _resolve_base(base):
    if isinstance(base, ProxyLoss) and not isinstance(base, HierProxyLoss):
        return base
    by_name = registry.over_proxies()
    if base not in by_name:
        raise ValueError(
            "`base` must be a loss over proxies, or one of "
            f"{', '.join(map(repr, by_name))}. Received: base={base!r}."
        )
    return by_name[base]()
