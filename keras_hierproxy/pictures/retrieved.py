"""What pictures of retrieved images share: who was retrieved, and was it right?"""

import numpy as np

from keras_hierproxy.retrieval import knn

# What `verdict` says, and the sign of it.
SIGNS = {"right": "✓", "near": "~", "wrong": "✗"}


def nearest_images(data, points, k, geometry=None):
    """The nearest neighbours of the queries of a data set.

    Args:
        data: `khp.datasets.RetrievalDataset` of N images.
        points: float array `(N, d)`, their embeddings.
        k: int, at most `data.gallery_size`.
        geometry: where the points live; the sphere by default.

    Returns:
        `(queries, neighbors, similarities)` of shapes `(q,)`, `(q, k)`, `(q, k)`; the
        first two hold rows of `data`.
    """
    if data.is_query is None:
        return np.arange(len(data)), *knn(points, k=k, geometry=geometry)
    queries, gallery = np.flatnonzero(data.is_query), np.flatnonzero(~data.is_query)
    indices, similarities = knn(
        points[queries], points[gallery], k=k, geometry=geometry
    )
    return queries, gallery[indices], similarities


def choose_queries(right, count, seed):
    """Draws `count` queries, a half of them wrong ones if there are so many.

    Args:
        right: bool array `(q,)`: has the query a right first neighbour?
        count: int.
        seed: int.

    Returns:
        Two int arrays, indices of right queries and of wrong ones.
    """
    rng = np.random.default_rng(seed)
    wrongs = rng.permutation(np.flatnonzero(~right))
    rights = rng.permutation(np.flatnonzero(right))
    num_wrong = min(len(wrongs), max(count // 2, count - len(rights)))
    return rights[: count - num_wrong], wrongs[:num_wrong]


def verdict(query_labels, labels):
    """Of a neighbour, by its labels, finest first: "right", "near" or "wrong".

    It is near if it shares a coarser level only.
    """
    if labels[0] == query_labels[0]:
        return "right"
    return "near" if (labels[1:] == query_labels[1:]).any() else "wrong"
