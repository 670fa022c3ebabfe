"""ArcFace loss, with one center a class or several."""

import math

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.losses.base import ProxyLoss
from keras_hierproxy.ops import (
    at_own,
    center_similarity,
    cosine_similarity,
    cross_entropy,
    weighted_mean,
)

# Keeps the gradient of the sine finite where embedding and proxy coincide;
# 1 - s^2 has no smaller steps than this in float32.
MIN_SQUARED_SINE = 1e-7


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class ArcFaceLoss(ProxyLoss):
    """Softmax over cosines, with a margin on the angle to the true class.

    With theta the angle between embedding and proxy,

        L = mean_x -log( exp(scale t_y)
                         / (exp(scale t_y) + sum_{p != y} exp(scale cos(theta_p))) )
        t_y = cos(theta_y + margin)             where theta_y <= pi - margin,
              cos(theta_y) - margin sin(margin) beyond, so that it keeps falling.

    Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face
    Recognition", CVPR 2019 (arXiv 1801.07698).

    Args:
        margin: float, in degrees; 28.6 (half a radian) as in the paper.
        scale: float, the radius of the sphere; 64 as in the paper.
        proxies: the `khp.layers.Proxies` to read; `compile` of an
            `EmbeddingModel` or `ImageEmbedder` finds it.
        name: str, the name in logs.

    Example:

    >>> layer = khp.layers.Proxies(num_classes=10)
    >>> embeddings = layer(np.random.normal(size=(32, 16)).astype("float32"))
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.ArcFaceLoss(proxies=layer)(labels, embeddings)
    """

    def __init__(self, margin=28.6, scale=64.0, proxies=None, name="arcface_loss"):
        super().__init__(proxies, name)
        self.margin = checks.real("margin", margin, least=0, below=180)
        self.scale = checks.real("scale", scale, above=0)

    def value(self, labels, embeddings, weights, proxies, counts=None):
        cosines = self.cosines(embeddings, proxies)
        own = at_own(cosines, labels)
        margin = math.radians(self.margin)
        sine = ops.sqrt(ops.maximum(1.0 - own * own, MIN_SQUARED_SINE))
        turned = own * math.cos(margin) - sine * math.sin(margin)
        beyond = own - margin * math.sin(margin)
        target = ops.where(own >= -math.cos(margin), turned, beyond)
        losses = cross_entropy(
            self.scale * cosines, labels, self.scale * target, counts
        )
        return weighted_mean(losses, weights)

    def cosines(self, embeddings, proxies):
        """Cosine of the angle to each class, `(b, c)`."""
        return cosine_similarity(embeddings, proxies)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class SubCenterArcFaceLoss(ArcFaceLoss):
    """ArcFace in which a class is as near as its nearest center.

    The equation of `ArcFaceLoss` with `cos(theta_c) = max_k s(x, p_ck)` over the
    k centers of class c, so that noisy samples can gather around a center of
    their own.

    Deng et al., "Sub-center ArcFace", ECCV 2020. Give the layer its centers:
    `khp.layers.Proxies(num_classes, centers_per_class=3)`, 3 as in the paper.

    Args:
        margin: float, in degrees; 28.6 (half a radian) as in ArcFace.
        scale: float, the radius of the sphere; 64 as in ArcFace.
        proxies: the `khp.layers.Proxies` to read; `compile` of an
            `EmbeddingModel` or `ImageEmbedder` finds it.
        name: str, the name in logs.

    Example:

    >>> layer = khp.layers.Proxies(num_classes=10, centers_per_class=3)
    >>> embeddings = layer(np.random.normal(size=(32, 16)).astype("float32"))
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.SubCenterArcFaceLoss(proxies=layer)(labels, embeddings)
    """

    centers_per_class = 3

    def __init__(
        self, margin=28.6, scale=64.0, proxies=None, name="sub_center_arcface_loss"
    ):
        super().__init__(margin, scale, proxies, name)

    def cosines(self, embeddings, proxies):
        similarity = center_similarity(embeddings, proxies)
        # Compiled by XLA for CPUs, the largest of NaN and others is another.
        unknown = ops.any(ops.isnan(similarity), axis=-1)
        return ops.where(unknown, float("nan"), ops.max(similarity, axis=-1))
