"""Where embeddings live.

A geometry turns raw vectors into points (`project`), measures them
(`pairwise_distance`) and prepares them for an inner-product index
(`search_vectors`). Models carry theirs, so that what was trained is what is
evaluated.
"""

import keras
import numpy as np
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.ops import (
    clip_to_radius,
    exponential_map,
    l2_normalize,
    poincare_distance,
    riemannian_gradient,
)


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class Sphere:
    """The unit sphere with cosine distance: where most metric learning happens.

    Example:

    >>> sphere = khp.geometry.Sphere()
    >>> points = sphere.project(np.random.normal(size=(5, 16)).astype("float32"))
    >>> tuple(sphere.pairwise_distance(points).shape)
    (5, 5)
    """

    # Float32 ranks are final: near ties cost less than ranking anew would.
    exact_distance = None

    def project(self, x):
        """Vectors `(..., d)` to points on the sphere, `x / |x|`; zero stays zero."""
        return l2_normalize(x)

    def pairwise_distance(self, x, y=None):
        """Cosine distances `1 - x . y` of points.

        Args:
            x: float tensor `(n, d)` of points.
            y: float tensor `(m, d)` of points; by default `x` itself, and then
                the diagonal is exactly 0.

        Returns:
            Tensor `(n, m)`, values in [0, 2].
        """
        distances = 1.0 - ops.matmul(x, ops.transpose(x if y is None else y))
        if y is None:
            distances = distances * (1.0 - ops.eye(ops.shape(x)[0], dtype=x.dtype))
        return ops.maximum(distances, 0.0)

    def search_vectors(self, queries, gallery):
        """NumPy points to vectors whose inner product ranks by cosine similarity.

        Args:
            queries: array `(n, d)`.
            gallery: array `(m, d)`.

        Returns:
            Two float32 arrays of the same shapes, rows of norm 1. A row's
            length says nothing here, so rows that are not normalised yet are
            taken by their direction.
        """
        return _unit_rows(queries), _unit_rows(gallery)

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(other) is Sphere

    def __hash__(self):
        return hash(Sphere)

    def __repr__(self):
        return "Sphere()"


def _unit_rows(x):
    x = np.asarray(x)
    # In its own precision, or float32 would make 0 of 1e-200 and infinity of 1e200.
    x = x.astype(np.result_type(x, "float32"), copy=False)
    # First to a largest entry of 1, whose square neither overflows nor vanishes.
    largest = np.abs(x).max(axis=1, keepdims=True)
    zero = largest == 0
    x = (x / np.where(zero, 1, largest)).astype("float32", copy=False)
    return x / np.where(zero, 1, np.linalg.norm(x, axis=1, keepdims=True))


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
        self.riemannian = bool(riemannian)

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
        return self._on_hyperboloid(queries, -1), self._on_hyperboloid(gallery, 1)

    def search_floor(self, queries, gallery, similarities):
        """The least float32 inner products of rows that are as near as given ones.

        Rounding x and y and adding up L products, in any order, errs by at most
        `(L + 2) 2^-24 sum |x_i y_i|` to first order; here the sum is `2 a(x) a(y)` at
        most. By the triangle inequality `a(y) <= 2 a(x) cosh(sqrt(c) d(x, y))`: near
        rows are told apart well, however far from the origin others are.

        Args:
            queries: float32 array `(n, d + 1)`, of `search_vectors`.
            gallery: float32 array `(m, d + 1)`, of `search_vectors`.
            similarities: float32 array `(n,)`, of each query x with some row z.

        Returns:
            Float64 array `(n,)`: what rows y with `d(x, y) <= d(x, z)` have at least.
        """
        # One more for the higher orders, and for float64's own rounding.
        terms = queries.shape[1] + 3
        a, farthest = -queries[:, -1].astype("float64"), float(gallery[:, -1].max())
        error = 2 * a * terms / (2**24 - terms)
        cosh = error * farthest - similarities
        reach = np.minimum(farthest, 2 * a * cosh)
        return similarities - 2 * error * reach

    def exact_distance(self, x, y):
        """Distances of NumPy points in float64, right however near they are.

        Args:
            x: array `(..., d)` of points.
            y: array `(..., d)` of points, of a shape that broadcasts with `x`'s.

        Returns:
            Float64 array `(...)`.
        """
        gaps = self._gap(x) * self._gap(y)
        norms = np.linalg.norm(np.subtract(x, y, dtype="float64"), axis=-1)
        root = self.curvature**0.5
        return 2 / root * np.arcsinh(root * norms / np.sqrt(gaps))

    def ranking_keys(self, x, y):
        """Numbers that rank as distances do, by one product in float64.

        Of points that are nearer to each other than their number can tell,
        `exact_distance` decides.

        Args:
            x: array `(n, d)` of points.
            y: array `(m, d)` of points.

        Returns:
            Float64 array `(n, m)`, `|x - y|^2 / ((1 - c|x|^2)(1 - c|y|^2))`, and
            `(n,)`, how much two of a row may be off together.
        """
        x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
        squares = np.square(x).sum(axis=1)[:, None], np.square(y).sum(axis=1)
        keys = x @ y.T
        keys *= -2
        keys += squares[0]
        keys += squares[1]
        scale = self._gap(x)[:, None] * self._gap(y)
        keys /= scale
        terms = x.shape[1] + 4
        error = 4 * terms * np.finfo("float64").eps * (squares[0] + squares[1]) / scale
        return keys, 2 * error.max(axis=1)

    def check_points(self, points, name):
        """Raises a ValueError if rows of `(n, d)` are not inside the ball."""
        outside = np.flatnonzero(~(self._gap(points) > 0))
        if len(outside):
            raise ValueError(
                f"{name} must be points inside the ball of radius "
                f"{1 / self.curvature**0.5:.3f}. Received: {len(outside)} of "
                f"{len(points)} rows outside, the first of them row {outside[0]} of "
                f"norm {np.linalg.norm(points[outside[0]]):.3f}. Pass what "
                "`embedder.embed` returns, or `geometry.project(vectors)`."
            )

    def _gap(self, points):
        """`1 - c|x|^2` in float64: how far points `(..., d)` are from the boundary."""
        # C order: of a row the same sum to the last bit, whatever array it stands in.
        squares = np.square(points, dtype="float64", order="C")
        return 1 - self.curvature * squares.sum(axis=-1)

    def _on_hyperboloid(self, points, sign):
        """Float32 rows `(b, sign * a)` of points `(n, d)`."""
        points = np.asarray(points)
        gap = self._gap(points)[:, None]
        vectors = np.empty((len(points), points.shape[1] + 1), "float32")
        scale = 2 * self.curvature**0.5 / gap
        np.multiply(points, scale, out=vectors[:, :-1], casting="same_kind")
        vectors[:, -1:] = sign * (2 - gap) / gap
        return vectors

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


def check_geometry(geometry):
    """Returns a geometry, by default the sphere, or raises a `ValueError`."""
    if geometry is None:
        return Sphere()
    if isinstance(geometry, type) or not hasattr(geometry, "pairwise_distance"):
        raise ValueError(
            "`geometry` must be `khp.geometry.Sphere()` or "
            f"`khp.geometry.PoincareBall()`. Received: {geometry!r}."
        )
    return geometry
