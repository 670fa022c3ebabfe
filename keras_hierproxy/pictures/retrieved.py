"""What pictures of retrieved images share: who was retrieved, how near, and rightly?"""

import numpy as np

from keras_hierproxy.geometry import Sphere, check_geometry
from keras_hierproxy.labels import DISTRACTOR
from keras_hierproxy.retrieval import knn

# What `verdict` says, and the sign of it.
SIGNS = {"right": "✓", "near": "~", "wrong": "✗"}
# Of a similarity; float32 holds no more.
LEAST_DECIMALS, MOST_DECIMALS = 3, 7


def nearest_images(data, points, k, geometry=None, scores=None):
    """The nearest neighbours of the queries of a data set.

    Args:
        data: `khp.datasets.RetrievalDataset` of N images.
        points: float array `(N, d)`, their embeddings.
        k: int, at most `data.gallery_size`.
        geometry: where the points live; the sphere by default.
        scores: `khp.retrieval.QueryScores` of the points, which may hold the
            neighbours: else they are searched.

    Returns:
        `(queries, neighbors, similarities)` of shapes `(q,)`, `(q, k)`, `(q, k)`; the
        first two hold rows of `data`, -1 past the last one that a query retrieves.
        Queries without a class, and those that retrieve nothing, are left out.
    """
    kept = None if scores is None else scores.neighbors
    if kept is not None and kept.shape[1] >= k:
        indices, similarities = kept[:, :k], scores.similarities[:, :k]
    else:
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


def verdict(query_labels, labels, level_names):
    """Of a neighbour, by its labels, finest first: "right", "near" or "wrong".

    It is near if it shares a coarser level only.

    Returns:
        `(verdict, shared)`, the latter the name of the finest level that it shares
        with the query, or "".
    """
    shared = np.flatnonzero((labels == query_labels) & (labels != DISTRACTOR))
    if not len(shared):
        return "wrong", ""
    return ("near" if shared[0] else "right"), level_names[shared[0]]


def legend(level_names):
    """What verdicts mean: a dictionary of each one's words, in the order of `SIGNS`."""
    finest, *coarser = level_names
    words = {"right": f"right: same {finest}"}
    if coarser:
        words["near"] = f"wrong, but same {_any_of(coarser)}"
    return words | {"wrong": "wrong"}


def similarity_texts(similarities, geometry):
    """The similarities of a query's neighbours, with the digits that tell them apart.

    Args:
        similarities: float32 array `(k,)`, of `knn`.
        geometry: of the points.

    Returns:
        List of k texts, cosines on the sphere and else distances: of 3 decimals, or
        of more, up to 7, where different ones would read the same.
    """
    values = (similarities if _on_sphere(geometry) else -similarities).tolist()
    # Distances can be small throughout.
    style = "e" if 0 < max(map(abs, values), default=0) < 1e-3 else "f"
    for decimals in range(LEAST_DECIMALS, MOST_DECIMALS + 1):
        texts = [f"{value:z.{decimals}{style}}" for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


def similarity_name(geometry):
    """What `similarity_texts` are."""
    return "cosine similarities" if _on_sphere(geometry) else "distances"


def _on_sphere(geometry):
    return isinstance(check_geometry(geometry), Sphere)


def _any_of(names):
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
