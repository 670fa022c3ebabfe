"""How well do embeddings retrieve? NumPy in, numbers out.

search.py, ranking.py    nearest neighbours, and whole rankings
metrics.py, graded.py    metrics of one level, and over all levels
clusters.py              metrics of clusters
scores.py, evaluate.py   all of them, per query and as means
verification.py          pairs: ROC AUC, EER, FNMR at an FMR
uncertainty.py           intervals, and the test of a difference
"""

from keras_hierproxy.retrieval.evaluate import evaluate
from keras_hierproxy.retrieval.graded import asi, h_ap, ndcg
from keras_hierproxy.retrieval.knn import knn
from keras_hierproxy.retrieval.metrics import (
    average_precision,
    count_positives,
    map_at_r,
    precision_at_1,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank,
)
from keras_hierproxy.retrieval.scores import QueryScores, score_queries
from keras_hierproxy.retrieval.uncertainty import bootstrap_intervals, paired_test
from keras_hierproxy.retrieval.verification import verification

__all__ = [
    "QueryScores",
    "asi",
    "average_precision",
    "bootstrap_intervals",
    "count_positives",
    "evaluate",
    "h_ap",
    "knn",
    "map_at_r",
    "ndcg",
    "paired_test",
    "precision_at_1",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
    "reciprocal_rank",
    "score_queries",
    "verification",
]
