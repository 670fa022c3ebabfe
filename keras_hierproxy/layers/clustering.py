"""Clusters of proxies that keep their identity from one clustering to the next."""

import numpy as np

from keras_hierproxy.layers.large_tables import parts_of
from keras_hierproxy.progress import WorkBar

# Vectors up to which every one takes part in each pass, from four starts.
_MOST_FOR_ALL = 20_000
# Of more: vectors a cluster that take part, and passes.
_SAMPLED, _PASSES = 256, 25


def cluster_directions(vectors, num_clusters, seed, verbose=False):
    """k-means over directions.

    Args:
        vectors: float array `(n, d)`, taken by their directions.
        num_clusters: int.
        seed: int.
        verbose: bool, whether a bar shows how far it is, where it may take long.

    Returns:
        int array `(n,)` of cluster ids.
    """
    if len(vectors) > _MOST_FOR_ALL:
        return _cluster_many(vectors, num_clusters, seed, verbose)
    from sklearn.cluster import KMeans

    # One start is at the mercy of its seed; four are enough in practice.
    kmeans = KMeans(num_clusters, n_init=4, random_state=seed)
    return kmeans.fit_predict(unit_rows(vectors)).astype("int32")


def _cluster_many(vectors, num_clusters, seed, verbose):
    """k-means of faiss: centroids of a sample, then all vectors to the nearest.

    With k clusters, each of 25 passes takes `min(n, 256 k) k d` multiplications, and
    the end `n k d`.
    """
    import faiss
    from rich.console import Console

    num, dimension = vectors.shape
    sample = np.arange(num)
    if num > _SAMPLED * num_clusters:
        rng = np.random.default_rng(seed)
        sample = np.sort(rng.choice(num, _SAMPLED * num_clusters, replace=False))
    points = unit_rows(vectors[sample]).astype("float32")
    # Warnings of too few vectors a cluster would be those of each pass.
    options = {"niter": 1, "seed": seed, "min_points_per_centroid": 1}
    options["max_points_per_centroid"] = len(points)
    clusters, centroids = np.empty(num, "int32"), None
    console = Console(stderr=True, quiet=not verbose)
    what = f"Clustering {num:,} classes into {num_clusters:,}"
    with WorkBar(console, _PASSES * len(points) + num, what) as bar:
        for _ in range(_PASSES):
            kmeans = faiss.Kmeans(dimension, num_clusters, **options)
            kmeans.train(points, init_centroids=centroids)
            centroids = kmeans.centroids
            bar.advance(len(points))
        for part in parts_of(vectors.shape):
            rows = unit_rows(vectors[part]).astype("float32")
            clusters[part] = kmeans.index.search(rows, 1)[1][:, 0]
            bar.advance(len(rows))
    return clusters


def match_clusters(new, old, num_clusters):
    """Renames new clusters after the old ones that they share most members with.

    Args:
        new: int array `(n,)`, cluster ids in `[0, num_clusters)`.
        old: int array `(n,)`, as many ids of the clustering before.
        num_clusters: int.

    Returns:
        int array `(n,)`, the new clusters under the old names, and a bool array
        `(num_clusters,)`, which names now stand for clusters that share no member
        with their namesake.
    """
    from scipy.optimize import linear_sum_assignment

    overlap = np.zeros((num_clusters, num_clusters), dtype=int)
    np.add.at(overlap, (new, old), 1)
    _, names = linear_sum_assignment(overlap, maximize=True)
    unrelated = np.zeros(num_clusters, dtype=bool)
    unrelated[names] = overlap[np.arange(num_clusters), names] == 0
    return names[new].astype("int32"), unrelated


def cluster_centroids(vectors, assignment, num_clusters):
    """Mean direction of each cluster's members, `(num_clusters, d)`; zero if empty."""
    sums = np.zeros((num_clusters, vectors.shape[1]))
    for part in parts_of(vectors.shape):
        np.add.at(sums, assignment[part], unit_rows(vectors[part]))
    return unit_rows(sums)


def unit_rows(vectors):
    """Rows divided by their norms; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)
