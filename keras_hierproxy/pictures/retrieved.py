"""What pictures of retrieved images share: who was retrieved, and was it right?"""

import numpy as np

from keras_hierproxy.labels import DISTRACTOR
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
        first two hold rows of `data`, -1 past the last one that a query retrieves.
        Queries without a class, and those that retrieve nothing, are left out.
    """
    arguments = data.retrieval_arguments(points)
    arguments = {name: x for name, x in arguments.items() if "labels" not in name}
    indices, similarities = knn(**arguments, k=k, geometry=geometry)
    queries = gallery = np.arange(len(data))
    if data.is_query is not None:
        queries, gallery = np.flatnonzero(data.is_query), np.flatnonzero(~data.is_query)
    shown = (data.labels[queries, 0] != DISTRACTOR) & (indices[:, 0] >= 0)
    neighbors = np.where(indices < 0, -1, gallery[indices])
    return queries[shown], neighbors[shown], similarities[shown]


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
