"""Retrieval metrics of one level: numbers per query from who its neighbours are.

All take `relevance`, bool `(n, m)`: is the j-th nearest neighbour of query i a
positive, that is, of the query's class? And `num_positives`, int `(n,)`: how many
positives the gallery holds for it (R), itself not counted. A query without any has
no score: its value is NaN, and a mean is taken over the others.

Example:

>>> embeddings = np.random.normal(size=(40, 16))
>>> labels = np.arange(40) // 4
>>> indices, _ = khp.retrieval.knn(embeddings, k=8)
>>> relevance = labels[indices] == labels[:, None]
>>> num_positives = khp.retrieval.count_positives(labels)
>>> recall = khp.retrieval.recall_at_k(relevance, num_positives, k=8)
>>> mean = np.nanmean(recall)
"""

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.labels import integer_ids
from keras_hierproxy.retrieval.exclusions import count_equal


def count_positives(query_labels, gallery_labels=None, exclusions=None):
    """How many rows of the gallery share each query's label.

    Args:
        query_labels: int array `(n,)`; -1, a distractor, has no positive.
        gallery_labels: int array `(m,)`. By default the gallery is the queries
            themselves, and a query does not count as its own positive.
        exclusions: the `Exclusions` of a search by ids or groups, or None.

    Returns:
        int64 array `(n,)`.

    Example:

    >>> khp.retrieval.count_positives(np.array([7, 7, 7, 2, -1]))
    array([2, 2, 2, 0, 0])
    """
    own = integer_ids(query_labels, "query_labels")
    others = own
    if gallery_labels is not None:
        others = integer_ids(gallery_labels, "gallery_labels")
    found = count_equal([own], [others])
    if exclusions is not None:
        return found - exclusions.count(own, others)
    return found if gallery_labels is not None else found - (own >= 0)


def recall_at_k(relevance, num_positives, k):
    """Recall@K as the metric-learning papers use it: is a positive among the first K?

    Args:
        relevance: bool array `(n, m)` with `m >= k`.
        num_positives: int array `(n,)`.
        k: int.

    Returns:
        float64 array `(n,)` of 0, 1, or NaN for a query without positives.

    Example:

    >>> relevance = np.array([[True, False, True], [False, True, False]])
    >>> khp.retrieval.recall_at_k(relevance, np.array([2, 1]), k=1)
    array([1., 0.])
    """
    first, num_positives = _first_k(relevance, num_positives, k)
    return _or_nan(first.any(axis=1), num_positives)


def precision_at_1(relevance, num_positives):
    """Is the nearest neighbour a positive? The same number as Recall@1.

    Args:
        relevance: bool array `(n, m)` with `m >= 1`.
        num_positives: int array `(n,)`.

    Returns:
        float64 array `(n,)` of 0, 1, or NaN for a query without positives.

    Example:

    >>> relevance = np.array([[True, False, True], [False, True, False]])
    >>> khp.retrieval.precision_at_1(relevance, np.array([2, 0]))
    array([ 1., nan])
    """
    return recall_at_k(relevance, num_positives, 1)


def precision_at_k(relevance, num_positives, k):
    """The share of positives among the first K neighbours.

    Over K, also where the query has fewer than K positives, and can't reach 1.

    Args:
        relevance: bool array `(n, m)` with `m >= k`.
        num_positives: int array `(n,)`.
        k: int.

    Returns:
        float64 array `(n,)` in [0, 1], NaN for a query without positives.

    Example:

    >>> relevance = np.array([[True, False, True], [False, True, False]])
    >>> khp.retrieval.precision_at_k(relevance, np.array([2, 1]), k=2)
    array([0.5, 0.5])
    """
    first, num_positives = _first_k(relevance, num_positives, k)
    return _or_nan(first.mean(axis=1), num_positives)


def r_precision(relevance, num_positives):
    """The share of positives among the first R neighbours, R the number of positives.

    From "A Metric Learning Reality Check" (Musgrave et al., ECCV 2020).

    Args:
        relevance: bool array `(n, m)` with `m >= num_positives.max()`.
        num_positives: int array `(n,)`.

    Returns:
        float64 array `(n,)` in [0, 1], NaN for a query without positives.

    Example:

    >>> relevance = np.array([[True, False, True], [False, True, False]])
    >>> khp.retrieval.r_precision(relevance, np.array([2, 1]))
    array([0.5, 0. ])
    """
    hits, num_positives = _hits_within_r(relevance, num_positives)
    return _per_positive(hits.sum(axis=1), num_positives)


def map_at_r(relevance, num_positives):
    """MAP@R: R-Precision that also rewards positives for coming early.

    `1/R sum_{i=1..R} P(i) rel(i)`, with P(i) the precision among the first i and
    rel(i) 1 where the i-th neighbour is a positive. From "A Metric Learning
    Reality Check" (Musgrave et al., ECCV 2020).

    Args:
        relevance: bool array `(n, m)` with `m >= num_positives.max()`.
        num_positives: int array `(n,)`.

    Returns:
        float64 array `(n,)` in [0, 1], NaN for a query without positives.

    Example:

    >>> relevance = np.array([[True, False, True], [False, True, False]])
    >>> khp.retrieval.map_at_r(relevance, np.array([2, 1]))
    array([0.5, 0. ])
    """
    hits, num_positives = _hits_within_r(relevance, num_positives)
    return _per_positive(_sum_of_precisions(hits), num_positives)


def average_precision(relevance, num_positives):
    """AP: the mean, over all positives, of the precision at the rank of each.

    `1/R sum_i P(i) rel(i)` over the whole ranking, with P(i) the precision among the
    first i. Its mean over the queries is MAP.

    Args:
        relevance: bool array `(n, m)`, the whole ranking.
        num_positives: int array `(n,)`.

    Returns:
        float64 array `(n,)` in [0, 1], NaN for a query without positives.

    Example:

    >>> relevance = np.array([[True, False, True], [False, True, False]])
    >>> khp.retrieval.average_precision(relevance, np.array([2, 1])).round(3)
    array([0.833, 0.5  ])
    """
    relevance, num_positives = _check_whole(relevance, num_positives)
    return _per_positive(_sum_of_precisions(relevance), num_positives)


def reciprocal_rank(relevance, num_positives):
    """1 over the rank of the first positive. Its mean over the queries is MRR.

    Args:
        relevance: bool array `(n, m)`, the whole ranking.
        num_positives: int array `(n,)`.

    Returns:
        float64 array `(n,)` in (0, 1], NaN for a query without positives.

    Example:

    >>> relevance = np.array([[True, False, True], [False, True, False]])
    >>> khp.retrieval.reciprocal_rank(relevance, np.array([2, 1]))
    array([1. , 0.5])
    """
    relevance, num_positives = _check_whole(relevance, num_positives)
    return _or_nan(1 / (1 + relevance.argmax(axis=1)), num_positives)


def _sum_of_precisions(hits):
    """`sum_i P(i) rel(i)` of each row, from where its positives stand."""
    rows, columns = places_of(hits)
    per_row = np.bincount(rows, minlength=len(hits))
    first = np.repeat(per_row.cumsum() - per_row, per_row)
    precisions = (1 + np.arange(len(rows)) - first) / (1 + columns)
    return np.bincount(rows, precisions, len(hits))


def places_of(hits):
    """Rows and columns where a bool array is true; `np.nonzero` takes six times as
    long."""
    return np.divmod(np.flatnonzero(hits), hits.shape[1])


def _first_k(relevance, num_positives, k):
    k = checks.integer("k", k, least=1)
    relevance, num_positives = _check(relevance, num_positives, k)
    return relevance[:, :k], num_positives


def _hits_within_r(relevance, num_positives):
    deepest = np.max(num_positives, initial=0)
    relevance, num_positives = _check(relevance, num_positives, deepest)
    within = np.arange(deepest) < num_positives[:, None]
    return relevance[:, :deepest] & within, num_positives


def _check_whole(relevance, num_positives):
    relevance, num_positives = _check(relevance, num_positives, 1)
    missing = np.flatnonzero(relevance.sum(axis=1) != num_positives)
    if len(missing):
        row = missing[0]
        raise ValueError(
            "relevance must be that of the whole ranking for this metric. Received: "
            f"{relevance[row].sum()} positives of {num_positives[row]} in row {row}. "
            "Pass knn the size of the gallery as k, less 1 in leave-one-out."
        )
    return relevance, num_positives


def _per_positive(totals, num_positives):
    return _or_nan(totals / np.maximum(num_positives, 1), num_positives)


def _or_nan(values, num_positives):
    return np.where(num_positives > 0, values, np.nan)


def _check(relevance, num_positives, depth):
    relevance, num_positives = np.asarray(relevance), np.asarray(num_positives)
    if relevance.dtype != bool or relevance.ndim != 2:
        raise ValueError(
            "relevance must be a bool array of shape (queries, neighbours). "
            f"Received: {relevance.dtype} of shape {relevance.shape}. "
            "Pass labels[indices] == labels[:, None]."
        )
    if num_positives.shape != relevance.shape[:1]:
        raise ValueError(
            "num_positives must hold one number per row of relevance. Received: "
            f"shape {num_positives.shape} for relevance of shape {relevance.shape}."
        )
    if relevance.shape[1] < depth:
        raise ValueError(
            f"relevance must reach {depth} neighbours deep for this metric. "
            f"Received: shape {relevance.shape}. Pass knn a k of at least {depth}."
        )
    return relevance, num_positives
