"""Soft Orthogonal Proxies: proxies of different classes at right angles."""

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.ops import l2_normalize


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class SoftOrthogonality(keras.regularizers.Regularizer):
    """Penalises proxies that are not orthogonal to each other.

    With the C proxies in D dimensions normalised to rows of P,

        R = strength * || P P^T - I ||_F^2

    Saberi-Movahed et al., "Deep Metric Learning with Soft Orthogonal Proxies",
    2023 (arXiv 2306.13055). The strength there was not at hand; choose it on
    validation classes. On frozen features of three data sets no strength from 0.01 to
    10, with `per_proxy`, helped on all of them.

    For C > D the C x C matrix is never formed: `|| P^T P ||_F^2 - C` is the same
    number in O(C D^2) time and O(D^2) memory. And for C > D the penalty cannot fall
    below `C^2 / D - C`, so that a strength tuned at 100 classes means nothing at
    11,318. With `per_proxy=True` the penalty is the excess over that floor a proxy,

        R = strength * (|| P P^T - I ||_F^2 - max(C^2 / D - C, 0)) / C

    which is 0 at the best reachable proxies and of one scale for any C. Rows that
    are zero (padding) count as absent.

    Args:
        strength: float >= 0.
        per_proxy: bool, whether to scale so that a strength transfers across class
            counts. Off by default, as the equation of the paper.

    Example:

    >>> regularizer = khp.regularizers.SoftOrthogonality(0.1, per_proxy=True)
    >>> layer = khp.layers.Proxies(num_classes=100, regularizer=regularizer)
    """

    def __init__(self, strength, per_proxy=False):
        self.strength = checks.real("strength", strength, least=0)
        self.per_proxy = checks.flag("per_proxy", per_proxy)

    def __call__(self, proxies):
        value = self.excess(proxies) if self.per_proxy else _penalty(proxies)[0]
        return self.strength * value

    def of_drawn(self, proxies, num_own, num_classes):
        """Estimates the penalty of all proxies by some of them, without bias.

        Of C classes P are in the batch, and S - P of the C - P others were drawn at
        random, every set with the same chance. A pair of classes counts for as many as
        it was drawn from: 1 within the batch, (C - P) / (S - P) between the two kinds,
        and that times (C - P - 1) / (S - P - 1) between others.

        Args:
            proxies: float tensor `(S, D)`, or `(S, k, D)` with k centers a class; the
                P of the batch first.
            num_own: int scalar tensor, P.
            num_classes: int, C.

        Returns:
            Scalar tensor. None of its rows may be zero.
        """
        if len(proxies.shape) == 2:
            proxies = proxies[:, None]
        drawn, centers, dimension = proxies.shape
        directions = l2_normalize(proxies)
        is_own = ops.arange(drawn, dtype="int32") < num_own
        is_own = ops.cast(is_own, directions.dtype)
        num_own = ops.cast(num_own, directions.dtype)
        within = ops.matmul(directions, ops.transpose(directions, (0, 2, 1)))
        within = ops.sum(ops.square(within), axis=(1, 2))  # with each row by itself
        grams, classes = [], []
        for kind in (is_own, 1 - is_own):
            rows = ops.reshape(directions * kind[:, None, None], (-1, dimension))
            grams.append(ops.matmul(ops.transpose(rows), rows))
            classes.append(ops.sum(kind * within))
        # Between classes of one kind, and between the two kinds, in both orders.
        own, others = (
            ops.sum(ops.square(gram)) - each
            for gram, each in zip(grams, classes, strict=True)
        )
        between = 2 * ops.sum(grams[0] * grams[1])
        left, taken = num_classes - num_own, drawn - num_own
        one = ops.divide_no_nan(left, taken)
        two = one * ops.divide_no_nan(left - 1, taken - 1)
        penalty = own + one * between + two * others
        penalty += classes[0] + one * classes[1] - num_classes * centers
        if self.per_proxy:
            count = num_classes * centers
            penalty = (penalty - max(count * count / dimension - count, 0.0)) / count
        return self.strength * penalty

    def excess(self, proxies):
        """The penalty over its floor, a proxy; 0 where no proxies do better.

        Args:
            proxies: float tensor `(C, D)`.

        Returns:
            Scalar tensor.
        """
        penalty, count = _penalty(proxies)
        floor = ops.maximum(count * count / proxies.shape[1] - count, 0.0)
        return ops.divide_no_nan(penalty - floor, count)

    def get_config(self):
        return {"strength": self.strength, "per_proxy": self.per_proxy}


def _penalty(proxies):
    """`|| P P^T - I ||_F^2` over the rows that are not zero, and their number."""
    directions = l2_normalize(proxies)
    num_proxies, dimension = proxies.shape
    present = ops.sum(ops.square(directions), axis=1) > 0.5
    count = ops.cast(ops.sum(ops.cast(present, "int32")), directions.dtype)
    if num_proxies > dimension:
        gram = ops.matmul(ops.transpose(directions), directions)
        return ops.sum(ops.square(gram)) - count, count
    gram = ops.matmul(directions, ops.transpose(directions))
    identity = ops.diag(ops.cast(present, directions.dtype))
    return ops.sum(ops.square(gram - identity)), count
