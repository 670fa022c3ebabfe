"""Metrics over all levels: numbers per query from how much its neighbours share.

All take `matched`, int `(n, m)`: how many of the L label levels the j-th nearest
neighbour of query i shares with it, 0 to L, along the whole ranking. A query that
shares nothing with any item has no score: its value is NaN.

Example:

>>> embeddings, labels = np.eye(4), np.array([[0, 0], [0, 0], [1, 0], [2, 1]])
>>> indices, _ = khp.retrieval.knn(embeddings, k=len(embeddings) - 1)
>>> matched = (labels[indices] == labels[:, None]).sum(axis=-1)
>>> khp.retrieval.ndcg(matched).shape
(4,)
"""

import functools

import numpy as np

from keras_hierproxy.retrieval.metrics import places_of


class Matches:
    """`matched`, and what the metrics count in it, counted once for all of them.

    Args:
        matched: int array `(n, m)`.

    Attributes:
        counts: int array `(n, levels + 1)`: items of each row that share 0, 1, ...
            levels.
    """

    def __init__(self, matched):
        matched = np.asarray(matched)
        if (
            matched.dtype.kind not in "iu"
            or matched.ndim != 2
            or matched.min(initial=0)
        ):
            raise ValueError(
                "matched must be an int array of shape (queries, neighbours), 0 or "
                f"more. Received: {matched.dtype} of shape {matched.shape}. "
                "Pass (labels[indices] == labels[:, None]).sum(axis=-1)."
            )
        self.matched = matched
        values = range(1 + int(matched.max(initial=0)))
        self.counts = np.stack([(matched == v).sum(axis=1) for v in values], axis=1)

    @functools.cached_property
    def places(self):
        """Row, rank (from 1) and number of shared levels of every match, row by row."""
        rows, columns = places_of(self.matched > 0)
        return rows, 1 + columns, self.matched[rows, columns]

    @classmethod
    def of(cls, matched):
        """The `Matches` of an array, or what already is one."""
        return matched if isinstance(matched, cls) else cls(matched)


def ndcg(matched):
    """Normalised discounted cumulative gain of the whole ranking.

    `DCG = sum_k (2^m_k - 1) / log2(1 + k)` over ranks k, divided by the DCG of the
    best ranking. Gain and discount as in "Hierarchical Average Precision Training
    for Pertinent Image Retrieval" (Ramzi et al., ECCV 2022).

    Args:
        matched: int array `(n, m)`.

    Returns:
        float64 array `(n,)` in (0, 1], NaN for a query that nothing matches.

    Example:

    >>> matched = np.array([[2, 1, 0], [0, 1, 2]])  # The best ranking, and the worst.
    >>> khp.retrieval.ndcg(matched).round(3)
    array([1.   , 0.587])
    """
    matches = Matches.of(matched)
    counts, (rows, ranks, levels) = matches.counts, matches.places
    gains = 2.0 ** np.arange(counts.shape[1]) - 1
    discounts = 1 / np.log2(1 + np.arange(1, matches.matched.shape[1] + 1))
    dcg = np.bincount(rows, gains[levels] * discounts[ranks - 1], len(counts))
    # The best ranking holds the items that share most first.
    summed = np.append(0, discounts.cumsum())
    ends = counts[:, ::-1].cumsum(axis=1)
    starts = ends - counts[:, ::-1]
    best = ((summed[ends] - summed[starts]) * gains[::-1]).sum(axis=1)
    return _ratio(dcg, best)


def asi(matched):
    """Average set intersection with the best ranking, over the first R ranks.

    The mean over k = 1..R of `|first k of m  and  first k of the best m| / k`, an
    intersection of multisets, with R the number of items that share any level. As in
    "Dynamic Metric Learning" (Sun et al., CVPR 2021) and Ramzi et al., ECCV 2022.

    Args:
        matched: int array `(n, m)`.

    Returns:
        float64 array `(n,)` in [0, 1], NaN for a query that nothing matches.

    Example:

    >>> matched = np.array([[2, 1, 0], [0, 1, 2]])  # The best ranking, and the worst.
    >>> khp.retrieval.asi(matched).round(3)
    array([1.  , 0.25])
    """
    matches = Matches.of(matched)
    matched, counts = matches.matched, matches.counts
    num_matching = counts[:, 1:].sum(axis=1)
    deepest = num_matching.max(initial=0)
    # Of 32 bits, which pass through memory in half the time.
    counts = counts.astype("int32")
    ranks = np.arange(1, deepest + 1, dtype="int32")
    shared = np.zeros((len(matched), deepest), "int32")
    before = np.zeros((len(matched), 1), "int32")
    for level in range(counts.shape[1] - 1, 0, -1):
        count = counts[:, level, None]
        found = (matched[:, :deepest] == level).cumsum(axis=1, dtype="int32")
        shared += np.minimum(found, np.clip(ranks - before, 0, count))
        before = before + count
    total = np.sum(shared / ranks, axis=1, where=ranks <= num_matching[:, None])
    return _ratio(total, num_matching)


def h_ap(matched):
    """Hierarchical average precision.

    With relevance `rel = m / n_m` of an item that shares m levels, n_m the number of
    such items: `sum_k H(k) / k` over the ranks k of items with m > 0, divided by the
    sum of all relevances, where `H(k) = sum_{j <= k} min(rel_j, rel_k)`. Average
    precision, if there is one level. From "Hierarchical Average Precision Training
    for Pertinent Image Retrieval" (Ramzi et al., ECCV 2022).

    Args:
        matched: int array `(n, m)`.

    Returns:
        float64 array `(n,)` in [0, 1], NaN for a query that nothing matches.

    Example:

    >>> matched = np.array([[2, 1, 0], [0, 1, 2]])  # The best ranking, and the worst.
    >>> khp.retrieval.h_ap(matched).round(3)
    array([1. , 0.5])
    """
    matches = Matches.of(matched)
    counts, (rows, ranks, levels) = matches.counts, matches.places
    relevance = np.arange(counts.shape[1]) / np.maximum(counts, 1)
    own = relevance[rows, levels]
    per_row = np.bincount(rows, minlength=len(counts))
    first = per_row.cumsum() - per_row
    summed = np.zeros(len(rows))
    for level in range(1, counts.shape[1]):
        # How many items of this level stand at or before each one of its row.
        found = np.append(0, (levels == level).cumsum())
        found = found[1:] - np.repeat(found[first], per_row)
        summed += found * np.minimum(relevance[rows, level], own)
    total = np.bincount(rows, summed / ranks, len(counts))
    return _ratio(total, (relevance * counts).sum(axis=1))


def _ratio(values, best):
    return np.divide(values, best, out=np.full(len(values), np.nan), where=best > 0)
