"""What exact search on the Poincare ball needs, on NumPy points in float64."""

import numpy as np


def gap(points, curvature):
    """`1 - c|x|^2` in float64: how far points `(..., d)` are from the boundary."""
    # C order: of a row the same sum to the last bit, whatever array it stands in.
    squares = np.square(points, dtype="float64", order="C")
    return 1 - curvature * squares.sum(axis=-1)


def on_hyperboloid(points, sign, curvature):
    """Float32 rows `(b, sign * a)` of points `(n, d)`."""
    points = np.asarray(points)
    to_boundary = gap(points, curvature)[:, None]
    vectors = np.empty((len(points), points.shape[1] + 1), "float32")
    scale = 2 * curvature**0.5 / to_boundary
    np.multiply(points, scale, out=vectors[:, :-1], casting="same_kind")
    vectors[:, -1:] = sign * (2 - to_boundary) / to_boundary
    return vectors


def search_floor(queries, gallery, similarities):
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


def exact_distance(x, y, curvature):
    """Distances of NumPy points in float64, right however near they are.

    Args:
        x: array `(..., d)` of points.
        y: array `(..., d)` of points, of a shape that broadcasts with `x`'s.

    Returns:
        Float64 array `(...)`.
    """
    gaps = gap(x, curvature) * gap(y, curvature)
    norms = np.linalg.norm(np.subtract(x, y, dtype="float64"), axis=-1)
    root = curvature**0.5
    return 2 / root * np.arcsinh(root * norms / np.sqrt(gaps))


def ranking_keys(x, y, curvature):
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
    scale = gap(x, curvature)[:, None] * gap(y, curvature)
    keys /= scale
    terms = x.shape[1] + 4
    error = 4 * terms * np.finfo("float64").eps * (squares[0] + squares[1]) / scale
    return keys, 2 * error.max(axis=1)
