"""Retrieval evaluation: embeddings and labels in, a dictionary of numbers out."""

from functools import partial

import numpy as np

from keras_hierproxy.geometry import Sphere
from keras_hierproxy.retrieval.knn import NeighborSearch
from keras_hierproxy.retrieval.metrics import (
    count_positives,
    map_at_r,
    precision_at_1,
    r_precision,
    recall_at_k,
)

METRICS = {
    "recall": recall_at_k,
    "precision@1": precision_at_1,
    "r_precision": r_precision,
    "map@r": map_at_r,
}


def evaluate(
    queries,
    query_labels,
    gallery=None,
    gallery_labels=None,
    k=(1, 2, 4, 8),
    metrics=tuple(METRICS),
    geometry=Sphere(),  # noqa: B008 (immutable)
):
    """Retrieval metrics of embeddings, at every level of their labels.

    Conventions: a query never retrieves itself; ties go by index; a query
    without a positive in the gallery is left out of the means and counted in
    `num_excluded` (if no query has one, the means are NaN); every other query
    weighs the same. Each metric's definition stands at its function in
    `retrieval.metrics`.

    One search serves all metrics and levels. R-Precision and MAP@R need as many
    neighbours as a query has positives, which on coarse levels can be thousands:
    queries are grouped by that number and searched in blocks, so memory stays
    linear in the rows. Without those two, only `max(k)` neighbours are fetched.

    Args:
        queries: float array `(n, d)` of points of `geometry`.
        query_labels: int array `(n,)`, or `(n, levels)`, finest level first.
        gallery: float array `(m, d)` to retrieve from. By default the queries
            themselves, leave-one-out.
        gallery_labels: int array `(m,)` or `(m, levels)`, if there is a gallery.
        k: int or ints, the K of Recall@K, used for nothing else. The default is
            the one papers use on CUB and Cars.
        metrics: which to compute, any of "recall", "precision@1", "r_precision"
            and "map@r". By default all.
        geometry: where the embeddings live, by default `Sphere()`: cosine
            similarity. On a `PoincareBall` neighbours rank by hyperbolic distance,
            exactly; see `knn`.

    Returns:
        Dictionary of floats `recall@1` (one per K), `precision@1`,
        `r_precision`, `map@r`, and of ints `num_queries` and `num_excluded`. For
        level l >= 1 the same with the prefix `level{l}_` (`level1_recall@1`,
        ..., `level1_num_excluded`), where a positive shares the label of that
        level.

    Raises:
        ValueError: before the search, if embeddings hold NaN or infinity or lie
            outside the geometry, if labels are not integers or do not match the
            embeddings, if a K is larger than the gallery, or if a metric is
            unknown.

    Example:

    >>> embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.9]])
    >>> evaluate(embeddings, np.array([0, 0, 1, 1]), k=1, metrics=["recall"])
    {'recall@1': 1.0, 'num_queries': 4, 'num_excluded': 0}
    """
    if "recall" not in metrics:
        k = 1
    ks = (k,) if np.ndim(k) == 0 else tuple(k)
    scores = _scores(metrics, ks)
    search = NeighborSearch(queries, gallery, geometry)
    for each in ks:
        search.check_k(each)
    query_labels = _check_labels(query_labels, search.queries, "query_labels")
    if gallery is None:
        if gallery_labels is not None:
            raise ValueError("gallery_labels were passed without a gallery.")
        gallery_labels = query_labels
    else:
        gallery_labels = _check_labels(gallery_labels, gallery, "gallery_labels")
    if gallery_labels.shape[1] != query_labels.shape[1]:
        raise ValueError(
            "query_labels and gallery_labels must have the same levels. Received: "
            f"shapes {query_labels.shape} and {gallery_labels.shape}."
        )

    num_levels = query_labels.shape[1]
    num_positives = np.stack(
        [
            count_positives(
                query_labels[:, level],
                None if gallery is None else gallery_labels[:, level],
            )
            for level in range(num_levels)
        ],
        axis=1,
    )
    # Neighbours needed, per query and level: max(K), and all of R for R-metrics.
    depths = np.full_like(num_positives, max(ks))
    if {"r_precision", "map@r"} & set(metrics):
        depths = np.maximum(depths, num_positives)

    values = np.empty((num_levels, len(scores), len(query_labels)))
    for rows, indices, _ in search(depths.max(axis=1)):
        for level in range(num_levels):
            neighbors = indices[:, : depths[rows, level].max()]
            relevance = (
                gallery_labels[neighbors, level] == query_labels[rows, level][:, None]
            )
            for i, score in enumerate(scores.values()):
                values[level, i, rows] = score(relevance, num_positives[rows, level])

    results = {}
    for level in range(num_levels):
        prefix = f"level{level}_" if level else ""
        valid = num_positives[:, level] > 0
        for name, per_query in zip(scores, values[level], strict=True):
            mean = per_query[valid].mean() if valid.any() else np.nan
            results[prefix + name] = float(mean)
        if level == 0:
            results["num_queries"] = len(valid)
        results[prefix + "num_excluded"] = int((~valid).sum())
    return results


def _scores(metrics, ks):
    """Names of the results to functions of (relevance, num_positives)."""
    unknown = [metric for metric in metrics if metric not in METRICS]
    if isinstance(metrics, str) or unknown or not len(metrics):
        raise ValueError(
            f"metrics must be a list of any of {', '.join(map(repr, METRICS))}. "
            f"Received: metrics={metrics!r}."
        )
    if not ks:
        raise ValueError("k must be one or more positive integers. Received: none.")
    recalls = {f"recall@{k}": partial(recall_at_k, k=k) for k in ks}
    scores = {}
    for metric in metrics:
        scores |= recalls if metric == "recall" else {metric: METRICS[metric]}
    return scores


def _check_labels(labels, embeddings, name):
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.ndim not in (1, 2) or 0 in labels.shape:
        raise ValueError(
            f"{name} must be integers of shape (rows,) or (rows, levels). Received: "
            f"{labels.dtype} of shape {labels.shape}. Pass class ids; of one-hot "
            "labels, their argmax."
        )
    if len(labels) != len(embeddings):
        raise ValueError(
            f"{name} must have one row per embedding. Received: {len(labels)} rows "
            f"of labels for {len(embeddings)} embeddings."
        )
    return labels.reshape(len(labels), -1)
