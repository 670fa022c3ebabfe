"""The losses under test, with the settings, batches and proxies to test them on."""

from dataclasses import dataclass, field

import keras
import numpy as np

import keras_hierproxy as khp
from tests.gradients import value_and_gradients
from tests.losses import reference

REFERENCES = {
    "ProxyAnchorLoss": reference.proxy_anchor,
    "ProxyNCALoss": reference.proxy_nca,
    "NormalizedSoftmaxLoss": reference.normalized_softmax,
    "SoftTripleLoss": reference.soft_triple,
    "CosFaceLoss": reference.cosface,
    "ArcFaceLoss": reference.arcface,
    "SubCenterArcFaceLoss": reference.sub_center_arcface,
    "MultiSimilarityLoss": reference.multi_similarity,
    "SupConLoss": reference.sup_con,
    "TripletLoss": reference.triplet,
}
PAIR_LOSSES = ["MultiSimilarityLoss", "SupConLoss", "TripletLoss"]
MULTI_CENTER = ["SoftTripleLoss", "SubCenterArcFaceLoss"]
BASES = {
    "proxy_anchor": "ProxyAnchorLoss",
    "proxy_nca": "ProxyNCALoss",
    "normalized_softmax": "NormalizedSoftmaxLoss",
    "soft_triple": "SoftTripleLoss",
    "cosface": "CosFaceLoss",
    "arcface": "ArcFaceLoss",
    "sub_center_arcface": "SubCenterArcFaceLoss",
}


@dataclass(frozen=True)
class Batch:
    """Labels, embeddings, and proxies for three levels, in float64.

    Classes stand in it several times, once, and not at all. The first sample lies
    opposite to its proxy, where ArcFace continues in another way.
    """

    labels: np.ndarray
    embeddings: np.ndarray
    centers: np.ndarray
    coarse: list
    taxonomy: np.ndarray

    @classmethod
    def random(cls, size, dimension, num_classes, level_sizes, seed):
        random = np.random.default_rng(seed)
        labels = random.integers(0, num_classes - 1, size)
        centers = random.normal(size=(num_classes, 3, dimension))
        embeddings = random.normal(size=(size, dimension))
        opposite = -1.5 * centers[labels[0]].mean(0)
        embeddings[0] = opposite + 0.02 * embeddings[0]
        centers[labels[0]] = -opposite + 0.02 * centers[labels[0]]
        taxonomy, ids = [], np.arange(num_classes)
        for level_size in level_sizes:
            ids = ids * level_size // (ids.max() + 1)
            taxonomy.append(ids)
        coarse = [random.normal(size=(n, dimension)) for n in level_sizes]
        return cls(labels, embeddings, centers, coarse, np.stack(taxonomy, 1))

    @property
    def num_classes(self):
        return len(self.centers)

    def proxies(self, centers_per_class=1):
        """`(c, d)`, or `(c, k, d)` with several centers."""
        if centers_per_class == 1:
            return self.centers[:, 0]
        return self.centers[:, :centers_per_class]


SMALL = Batch.random(size=14, dimension=6, num_classes=8, level_sizes=(4, 2), seed=7)


@dataclass(frozen=True)
class Case:
    """A loss with its settings, the package's beside the reference's."""

    loss: str
    settings: dict = field(default_factory=dict, hash=False)
    centers_per_class: int = 1
    base: str = ""

    def __str__(self):
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        centers = [f"{self.centers_per_class} centers"] * (self.centers_per_class > 1)
        return " ".join(
            [self.loss, *[self.base] * bool(self.base), *settings, *centers]
        )

    @property
    def over_pairs(self):
        return self.loss in PAIR_LOSSES

    def build(self, batch=SMALL):
        """The loss, bound to a layer that holds the batch's proxies."""
        loss_class = getattr(khp.losses, self.loss)
        if self.over_pairs:
            return loss_class(**self.settings)
        settings = {**self.settings, "proxies": self._layer(batch)}
        return (
            loss_class(self.base, **settings) if self.base else loss_class(**settings)
        )

    def _layer(self, batch):
        layer_class, settings = khp.layers.Proxies, {}
        if self.base:
            layer_class, settings = khp.layers.HierProxies, {"taxonomy": batch.taxonomy}
        layer = layer_class(
            batch.num_classes, centers_per_class=self.centers_per_class, **settings
        )
        layer.build(batch.embeddings.shape)
        variables = layer.proxy_variables()
        for variable, value in zip(variables, self.proxies(batch), strict=True):
            variable.assign(value.reshape(variable.shape))
        return layer

    def proxies(self, batch=SMALL):
        """The proxies that the loss reads, one array a variable."""
        if self.over_pairs:
            return []
        coarse = batch.coarse if self.base else []
        return [batch.proxies(self.centers_per_class), *coarse]

    def variables(self, loss):
        """The variables that hold `proxies`."""
        return [] if self.over_pairs else loss.proxies.proxy_variables()

    def measure(self, labels, embeddings, weights=None, batch=SMALL):
        """The value, and the gradients by the embeddings and by the proxies."""
        loss = self.build(batch)
        return value_and_gradients(
            lambda x: loss(labels, x, weights),
            [as_float32(embeddings)],
            self.variables(loss),
        )

    def reference(self, labels, embeddings, proxies, batch=SMALL):
        if self.over_pairs:
            return REFERENCES[self.loss](labels, embeddings, **self.settings)
        if not self.base:
            return REFERENCES[self.loss](labels, embeddings, *proxies, **self.settings)
        base = REFERENCES[BASES[self.base]]
        return reference.hier_proxy(
            labels, embeddings, proxies, batch.taxonomy, base, **self.settings
        )


FLAT = [
    Case("ProxyAnchorLoss"),
    Case("ProxyAnchorLoss", {"margin": 0.3, "alpha": 8.0}),
    Case("ProxyNCALoss"),
    Case("ProxyNCALoss", {"temperature": 0.25}),
    Case("NormalizedSoftmaxLoss"),
    Case("NormalizedSoftmaxLoss", {"temperature": 0.2}),
    Case("SoftTripleLoss"),
    Case("SoftTripleLoss", centers_per_class=3),
    Case("SoftTripleLoss", {"scale": 10.0, "gamma": 0.3, "margin": 0.1}, 2),
    Case("CosFaceLoss"),
    Case("CosFaceLoss", {"margin": 0.1, "scale": 16.0}),
    Case("ArcFaceLoss"),
    Case("ArcFaceLoss", {"margin": 40.0, "scale": 16.0}),
    Case("SubCenterArcFaceLoss"),
    Case("SubCenterArcFaceLoss", centers_per_class=3),
    Case("SubCenterArcFaceLoss", {"margin": 15.0, "scale": 30.0}, 2),
    Case("MultiSimilarityLoss"),
    Case("MultiSimilarityLoss", {"alpha": 4.0, "beta": 20.0, "base": 0.2}),
    Case("SupConLoss"),
    Case("SupConLoss", {"temperature": 0.5}),
    Case("TripletLoss"),
    Case("TripletLoss", {"margin": 0.4}),
]
HIERARCHICAL = [
    *(Case("HierProxyLoss", base=base) for base in BASES),
    Case("HierProxyLoss", {"level_weights": [0.3, 2.0, 0.7]}, base="proxy_anchor"),
    Case(
        "HierProxyLoss", {"level_weights": [1.0, 0.0, 0.5]}, base="normalized_softmax"
    ),
    Case("HierProxyLoss", centers_per_class=3, base="soft_triple"),
]
# Each loss once, with its defaults.
ALL = [
    *(case for case in FLAT if not case.settings and case.loss not in MULTI_CENTER),
    *(Case(loss, centers_per_class=3) for loss in MULTI_CENTER),
    Case("HierProxyLoss", base="proxy_anchor"),
]


def as_float32(array):
    return np.asarray(array, "float32")


def to_number(value):
    return float(keras.ops.convert_to_numpy(value))
