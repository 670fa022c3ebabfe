"""How well do embeddings retrieve? NumPy in, numbers out."""

from keras_hierproxy.retrieval.evaluate import evaluate
from keras_hierproxy.retrieval.knn import knn
from keras_hierproxy.retrieval.metrics import (
    count_positives,
    map_at_r,
    precision_at_1,
    r_precision,
    recall_at_k,
)

__all__ = [
    "count_positives",
    "evaluate",
    "knn",
    "map_at_r",
    "precision_at_1",
    "r_precision",
    "recall_at_k",
]
