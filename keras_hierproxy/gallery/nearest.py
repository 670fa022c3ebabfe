"""The order in which what was found is answered: the same, whoever found it."""

import numpy as np

# Coordinates of what was found that are measured at a time.
_BLOCK = 1 << 21


def best(geometry, queries, ids, places, points_at, k):
    """The `k` nearest of the items that were found, by (similarity, id).

    A search may have found them in parts, or in another program: here all are measured
    alike, in float64, so that equal points tie, and the smallest id comes first.

    Args:
        geometry: where the points live.
        queries: float array `(n, d)` of points.
        ids: int64 array `(n, m)`, -1 for none.
        places: int array `(n, m)`, what `points_at` takes.
        points_at: function of places to points, `(..., d)`.
        k: int.

    Returns:
        Which were chosen, int64 `(n, k)`, -1 for none; and their similarities, float32.
    """
    n, m = ids.shape
    order = np.full((n, k), -1)
    similarities = np.full((n, k), -np.inf, "float32")
    step = max(1, _BLOCK // max(1, m * queries.shape[1]))
    for start in range(0, n if m else 0, step):
        part = slice(start, start + step)
        found = _similarities(geometry, queries[part], points_at(places[part]))
        found = np.where(ids[part] < 0, -np.inf, found)
        first = np.lexsort((ids[part], -found))[:, :k]
        found = np.take_along_axis(found, first, axis=1)
        order[part, : first.shape[1]] = np.where(np.isinf(found), -1, first)
        similarities[part, : first.shape[1]] = found
    return order, similarities


def _similarities(geometry, queries, points):
    """Float64 array `(n, m)` of queries `(n, d)` and points `(n, m, d)`."""
    if geometry.exact_distance is not None:
        return -geometry.exact_distance(queries[:, None], points)
    n, m, d = points.shape
    queries, points = geometry.search_vectors(queries, points.reshape(n * m, d))
    products = np.einsum(
        "qd,qkd->qk", queries, points.reshape(n, m, d), dtype="float64"
    )
    # What float32 can't tell apart ties: sums differ by where an array begins.
    return products.astype("float32").astype("float64")
