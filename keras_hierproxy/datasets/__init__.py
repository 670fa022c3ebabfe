"""Data sets for retrieval, with nested labels and disjoint classes."""

from keras_hierproxy.datasets.batches import Batches as Batches
from keras_hierproxy.datasets.dataset import RetrievalDataset as RetrievalDataset
from keras_hierproxy.datasets.dataset import Splits as Splits
