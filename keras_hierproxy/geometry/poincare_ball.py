"""The Poincare ball."""

import keras
import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.geometry import hyperboloid
from keras_hierproxy.ops import (
    clip_to_radius,
    exponential_map,
    poincare_distance,
    riemannian_gradient,
)


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class PoincareBall:
    """The Poincare ball of curvature -c: hyperbolic space, where trees embed well.

    Space grows exponentially with the distance from the origin, as a tree does with
    its depth: general concepts find room near the origin, specific ones outside.
    With c the curvature and r the radius of clipping, vectors are mapped by

        x <- x min(1, r / (|x| + 1e-5)),   exp_0(x) = tanh(sqrt(c)|x|) x / (sqrt(c)|x|)

    and points have the distance

        d(x, y) = 2/sqrt(c) asinh( sqrt(c) |x - y| / sqrt((1 - c|x|^2) (1 - c|y|^2)) )

    Clipping is from Guo et al., "Clipped Hyperbolic Classifiers Are Super-Hyperbolic
    Classifiers", CVPR 2022: without it points drift to the boundary, where gradients
    vanish. With it, embeddings that are trained for long all end at the clipping
    radius, the shell on which distances rank as cosines do; latent proxies do not.

    Ermolov et al., "Hyperbolic Vision Transformers" (CVPR 2022), and HIER (CVPR 2023)
    train in this space.

    Args:
        curvature: float, c > 0; 0.1 as in those two. The ball's radius is
            `1 / sqrt(c)`.
        clip_radius: float, r; 2.3 as in those two, or None for no clipping.
        riemannian: bool, whether gradients through `project` are scaled by
            `(1 - c|x|^2)^2 / 4`, from coordinates to the ball's metric, as in the
            authors' code. On by default.

    Example:

    >>> ball = khp.geometry.PoincareBall()
    >>> points = ball.project(np.random.normal(size=(5, 16)).astype("float32"))
    >>> tuple(ball.pairwise_distance(points).shape)
    (5, 5)
    """

    def __init__(self, curvature=0.1, clip_radius=2.3, riemannian=True):
        self.curvature = checks.real("curvature", curvature, above=0)
        if clip_radius is not None:
            clip_radius = checks.real("clip_radius", clip_radius, above=0)
        self.clip_radius = clip_radius
        self.riemannian = checks.flag("riemannian", riemannian)

    def project(self, x):
        """Vectors `(..., d)` to points of the ball, of norm `0.999 / sqrt(c)` at most.

        Not to be applied twice: it would move the points.
        """
        if self.clip_radius is not None:
            x = clip_to_radius(x, self.clip_radius)
        points = exponential_map(x, self.curvature)
        return (
            riemannian_gradient(points, self.curvature) if self.riemannian else points
        )

    def pairwise_distance(self, x, y=None):
        """Hyperbolic distances of points.

        Args:
            x: float tensor `(n, d)` of points.
            y: float tensor `(m, d)` of points; by default `x` itself, and then
                the diagonal is exactly 0.

        Returns:
            Tensor `(n, m)`. In float32 points nearer to each other than some 4e-3
            at the default curvature have distance, and gradient, 0.
        """
        return poincare_distance(x, y, self.curvature)

    def search_vectors(self, queries, gallery):
        """NumPy points to vectors whose inner product ranks by hyperbolic distance.

        With `a = (1 + c|x|^2) / (1 - c|x|^2)` and `b = 2 sqrt(c) x / (1 - c|x|^2)`,
        `cosh(sqrt(c) d(x, y)) = a(x) a(y) - b(x) . b(y)`.

        Args:
            queries: array `(n, d)` of points.
            gallery: array `(m, d)` of points.

        Returns:
            Two float32 arrays `(n, d + 1)` and `(m, d + 1)`, rows `(b, -a)` and
            `(b, a)`: their inner product is `-cosh(sqrt(c) d)`.

        Raises:
            ValueError: if a row lies outside the ball, as vectors do that have not
                been through `project`.
        """
        self.check_points(queries, "queries")
        self.check_points(gallery, "gallery")
        return (
            hyperboloid.on_hyperboloid(queries, -1, self.curvature),
            hyperboloid.on_hyperboloid(gallery, 1, self.curvature),
        )

    # Float32 ranks are not final; see `hyperboloid`.
    search_floor = staticmethod(hyperboloid.search_floor)

    def exact_distance(self, x, y):
        """Distances of NumPy points in float64; see `hyperboloid.exact_distance`."""
        return hyperboloid.exact_distance(x, y, self.curvature)

    def ranking_keys(self, x, y):
        """Numbers that rank as distances do; see `hyperboloid.ranking_keys`."""
        return hyperboloid.ranking_keys(x, y, self.curvature)

    def check_points(self, points, name):
        """Raises a ValueError if rows of `(n, d)` are not inside the ball."""
        outside = np.flatnonzero(~(hyperboloid.gap(points, self.curvature) > 0))
        if len(outside):
            raise ValueError(
                f"{name} must be points inside the ball of radius "
                f"{1 / self.curvature**0.5:.3f}. Received: {len(outside)} of "
                f"{len(points)} rows outside, the first of them row {outside[0]} of "
                f"norm {np.linalg.norm(points[outside[0]]):.3f}. Pass what "
                "`embedder.embed` returns, or `geometry.project(vectors)`."
            )

    def get_config(self):
        return {
            "curvature": self.curvature,
            "clip_radius": self.clip_radius,
            "riemannian": self.riemannian,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(other) is PoincareBall and other.get_config() == self.get_config()

    def __hash__(self):
        return hash((PoincareBall, *self.get_config().values()))

    def __repr__(self):
        plain = "" if self.riemannian else ", riemannian=False"
        return f"PoincareBall({self.curvature}, clip_radius={self.clip_radius}{plain})"
