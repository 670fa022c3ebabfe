"""Clusters of proxies that keep their identity from one clustering to the next."""

import numpy as np

# Vectors up to which every one takes part in each pass, from four starts.
_MOST_FOR_ALL = 20_000


def cluster_directions(vectors, num_clusters, seed):
    """k-means over directions.

    Args:
        vectors: float array `(n, d)`, taken by their directions.
        num_clusters: int.
        seed: int.

    Returns:
        int array `(n,)` of cluster ids.
    """
    vectors = unit_rows(vectors)
    if len(vectors) > _MOST_FOR_ALL:
        return _cluster_many(vectors.astype("float32"), num_clusters, seed)
    from sklearn.cluster import KMeans

    # One start is at the mercy of its seed; four are enough in practice.
    kmeans = KMeans(num_clusters, n_init=4, random_state=seed)
    return kmeans.fit_predict(vectors).astype("int32")


def _cluster_many(vectors, num_clusters, seed):
    """k-means of faiss: centroids of a sample, 256 vectors a cluster, then all to them.

    Each of 25 passes takes `256 num_clusters^2 d` multiplications, and the end
    `n num_clusters d`.
    """
    import faiss

    kmeans = faiss.Kmeans(vectors.shape[1], num_clusters, niter=25, seed=seed)
    kmeans.train(vectors)
    _, nearest = kmeans.index.search(vectors, 1)
    return nearest[:, 0].astype("int32")


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
    np.add.at(sums, assignment, unit_rows(vectors))
    return unit_rows(sums)


def unit_rows(vectors):
    """Rows divided by their norms; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)
