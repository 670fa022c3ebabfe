"""The nearest neighbours of every query."""

import numpy as np

from keras_hierproxy.geometry import Sphere
from keras_hierproxy.retrieval.search import NeighborSearch


def knn(
    queries,
    gallery=None,
    *,
    k,
    geometry=Sphere(),  # noqa: B008 (immutable)
    query_ids=None,
    gallery_ids=None,
    groups=None,
    gallery_groups=None,
):
    """The `k` nearest gallery rows of every query.

    The search is exact. On the sphere it ranks by float32 similarity, so that only
    similarities that differ by less than 1e-6 can change places. On the Poincare
    ball it ranks by float64 distance: float32 chooses the candidates, four times `k`
    at first, then twice as many until no other row can be among the `k` best. That
    is soon, unless many more than `k` rows are too close for float32 to tell apart;
    then it comes to measuring all of those. Ties go by index, the smallest first,
    also where they straddle rank `k`; identical gallery rows always tie.

    Queries are searched in blocks of at most 4,096 rows and 2^20 neighbours (on the
    ball, candidates). Besides a float32 copy of the gallery and the result, that
    takes some 100 MB, whatever the sizes. Leave-one-out with `k` below 100 (on the
    ball, 25) is searched at once, in tiles of 2,000 x 2,000: it takes 12 `k` bytes a
    row (on the ball, 48 `k`), and two thirds of the time.

    Args:
        queries: float array `(n, d)` of points of `geometry`. Memory-mapped
            arrays are read block by block.
        gallery: float array `(m, d)`. By default the queries themselves,
            leave-one-out: a query does not retrieve its own row, but does
            retrieve duplicates of it. An array passed here is searched in full.
        k: int, how many neighbours: at most `m`, or `n - 1` in leave-one-out.
        geometry: where the embeddings live. The default, `Sphere()`, compares
            directions, so rows need not be normalised.
        query_ids, gallery_ids, groups, gallery_groups: what a query does not
            retrieve; see `evaluate`.

    Returns:
        `(indices, similarities)`, both `(n, k)`: rows of the gallery, int64,
        most similar first, and their similarities, float32: cosines on the sphere,
        negative distances on the ball. Where ids or groups leave a query fewer than
        `k` rows, the rest is -1 and minus infinity.

    Raises:
        ValueError: if a row holds NaN or infinity or lies outside the geometry, if
            shapes do not fit, or if the gallery has fewer than `k` rows to offer.

    Example:

    >>> points = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    >>> indices, similarities = khp.retrieval.knn(points, k=1)
    >>> indices.ravel()
    array([1, 0, 1])
    >>> similarities.ravel()
    array([0.8, 0.8, 0.6], dtype=float32)
    """
    search = NeighborSearch(
        queries,
        gallery,
        geometry,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        groups=groups,
        gallery_groups=gallery_groups,
    )
    search.check_k(k)
    n = len(search.queries)
    indices = np.empty((n, k), dtype="int64")
    similarities = np.empty((n, k), dtype="float32")
    for rows, *neighbors in search(np.full(n, k)):
        indices[rows], similarities[rows] = neighbors
    return indices, similarities
