"""The metrics by the names that `evaluate` takes, and what each means."""

import dataclasses
from collections.abc import Callable

from keras_hierproxy.retrieval.clusters import cluster_agreement
from keras_hierproxy.retrieval.graded import asi, h_ap, ndcg
from keras_hierproxy.retrieval.metrics import (
    average_precision,
    map_at_r,
    precision_at_1,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank,
)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        score: the function that computes it.
        depth: which neighbours that takes: "k" (the first K, for each K that is
            asked for), "1" (the first), "r" (as many as a query has positives), "all"
            or "none".
        meaning: its definition in a sentence.
        graded: whether it looks at all levels at once.
    """

    score: Callable
    depth: str
    meaning: str
    graded: bool = False


METRICS = {
    "recall": Metric(
        recall_at_k, "k", "Share of queries with a positive among the first K."
    ),
    "precision@1": Metric(
        precision_at_1,
        "1",
        "Share of queries whose nearest neighbour is a positive, as Recall@1.",
    ),
    "precision": Metric(
        precision_at_k,
        "k",
        "Share of positives among the first K, also of queries with fewer than K.",
    ),
    "r_precision": Metric(
        r_precision,
        "r",
        "Share of positives among the first R, R the number of the query's positives.",
    ),
    "map@r": Metric(
        map_at_r,
        "r",
        "Precision at the ranks of the positives among the first R, summed, over R.",
    ),
    "map": Metric(
        average_precision,
        "all",
        "Mean precision at the ranks of all positives, in the whole ranking.",
    ),
    "mrr": Metric(reciprocal_rank, "all", "1 over the rank of the first positive."),
    "ndcg": Metric(
        ndcg,
        "all",
        "Discounted cumulative gain of the whole ranking over that of the best one: "
        "gain 2^m - 1 of m shared levels, discount log2(1 + rank).",
        graded=True,
    ),
    "asi": Metric(
        asi,
        "all",
        "Mean over k = 1..R of the share of the best ranking's first k items whose "
        "number of shared levels is found among the first k, R the number of items "
        "that share any level.",
        graded=True,
    ),
    "h_ap": Metric(
        h_ap,
        "all",
        "Hierarchical average precision: relevance m / n_m of an item that shares m "
        "levels, n_m the number of such items.",
        graded=True,
    ),
    "nmi": Metric(
        cluster_agreement,
        "none",
        "Normalised mutual information (arithmetic mean) of labels and k-means "
        "clusters of the queries, as many as classes.",
    ),
    "ami": Metric(
        cluster_agreement,
        "none",
        "Mutual information of labels and the same clusters, adjusted for chance.",
    ),
}
# Those that look at few neighbours.
USUAL = ("recall", "precision@1", "r_precision", "map@r")
