"""The unit sphere."""

import keras
import numpy as np
from keras import ops

from keras_hierproxy.ops import l2_normalize


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
