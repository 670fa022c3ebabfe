"""What happens between the epochs of a run."""

from keras_hierproxy.callbacks.hierarchy_update import (
    HierarchyUpdate as HierarchyUpdate,
)
from keras_hierproxy.callbacks.retrieval_evaluation import (
    RetrievalEvaluation as RetrievalEvaluation,
)
