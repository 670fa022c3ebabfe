"""Retrieval metrics on held-out classes after each epoch."""

import keras
import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.labels import DISTRACTOR, check_labels
from keras_hierproxy.layers.project import geometry_of
from keras_hierproxy.retrieval import evaluate
from keras_hierproxy.retrieval.result_names import ResultName
from keras_hierproxy.retrieval.scores import check_answerable


class RetrievalEvaluation(keras.callbacks.Callback):
    """Embeds a data set after each epoch and logs its retrieval metrics.

    Every image is a query against all others, or, of data with an `is_query`, the
    queries retrieve from the gallery. The numbers land in `logs` under
    `prefix` (`val_recall@1`, `val_level1_recall@1` ...), where `EarlyStopping`,
    `ModelCheckpoint`, `CSVLogger` and `TensorBoard` find them: give those
    `monitor="val_recall@1", mode="max"`. `EmbeddingModel.fit` and
    `ImageEmbedder.fit` run this callback before them; in a plain `keras.Model`,
    list it first.

    Args:
        data: a `khp.datasets.RetrievalDataset`, or a tuple `(x, labels)` of model
            inputs `(n, ...)` and int labels `(n,)` or `(n, levels)`, -1 for
            distractors. Groups that a data set has are left out of each other's
            rankings.
        k: tuple of ints, the K of Recall@K. The default is that of CUB and Cars.
        metrics: which metrics of `khp.retrieval.evaluate`; by default Recall@K
            alone, which needs the fewest neighbours.
        prefix: str, put before the names in logs.
        every: int, epochs between evaluations; in between the last numbers are
            logged again.
        batch_size: int, of embedding.

    Attributes:
        names: tuple of the names in logs.
        last: dict of the last numbers under these names, or None before the first.

    Raises:
        ValueError: at once, for labels that `evaluate` would refuse, or of which no
            query has a positive, a K larger than the data set, or an unknown metric;
            after the first epoch, for embeddings that are not finite.

    Example:

    >>> inputs, labels = np.random.normal(size=(32, 8)), np.arange(32) // 4
    >>> proxies = khp.layers.Proxies(num_classes=8)
    >>> x = keras.Input((8,))
    >>> model = khp.models.EmbeddingModel(x, proxies(keras.layers.Dense(4)(x)))
    >>> model.compile("adam", loss=khp.losses.ProxyAnchorLoss())
    >>> evaluation = khp.callbacks.RetrievalEvaluation((inputs, labels))
    >>> stop = keras.callbacks.EarlyStopping("val_recall@1", mode="max", patience=3)
    >>> options = {"epochs": 2, "verbose": 0, "callbacks": [evaluation, stop]}
    >>> history = model.fit(inputs, labels, **options)
    >>> len(history.history["val_recall@1"])
    2
    """

    def __init__(
        self,
        data,
        k=(1, 2, 4, 8),
        metrics=("recall",),
        prefix="val_",
        every=1,
        batch_size=128,
    ):
        super().__init__()
        self.inputs, self._arguments = _inputs_and_arguments(data)
        self.k = (k,) if np.ndim(k) == 0 else tuple(k)
        self.metrics = metrics
        self.prefix = prefix
        self.every = checks.integer("every", every, least=1)
        self.batch_size = checks.integer("batch_size", batch_size, least=1)
        self.names = self._checked_names()
        self.last = None

    def on_train_begin(self, logs=None):
        self.last = None

    def on_epoch_end(self, epoch, logs=None):
        if self.last is None or (epoch + 1) % self.every == 0:
            self.last = self.compute()
        if logs is not None:
            logs.update(self.last)

    def compute(self):
        """The metrics of the model as it is now, under the names of the logs."""
        arguments = self._arguments(self._embed())
        return self._results(arguments, geometry=geometry_of(self.model))

    def _embed(self):
        if hasattr(self.model, "embed"):
            return self.model.embed(self.inputs, batch_size=self.batch_size)
        # Images that are decoded when asked for become an array here.
        inputs = keras.tree.map_structure(lambda x: np.asarray(x[:]), self.inputs)
        return self.model.predict(inputs, batch_size=self.batch_size, verbose=0)

    def _checked_names(self):
        """Asks for one stand-in among the others: has all arguments checked."""
        num_rows = len(keras.tree.flatten(self.inputs)[0])
        stand_ins = self._arguments(np.ones((num_rows, 1)))
        check_answerable("the data", **stand_ins)
        points, labels = stand_ins["queries"], stand_ins["query_labels"]
        first = np.flatnonzero(labels[:, -1] != DISTRACTOR)[:1]
        others = np.delete(np.arange(len(labels)), first)
        gallery = stand_ins.get("gallery", points[others])
        gallery_labels = stand_ins.get("gallery_labels", labels[others])
        asked = (points[first], labels[first], gallery, gallery_labels)
        names = ("queries", "query_labels", "gallery", "gallery_labels")
        return tuple(self._results(dict(zip(names, asked, strict=True))))

    def _results(self, arguments, **options):
        results = evaluate(**arguments, k=self.k, metrics=self.metrics, **options)
        return {
            self.prefix + name: value
            for name, value in results.items()
            if not ResultName.read(name).is_count
        }


def _inputs_and_arguments(data):
    """The inputs, and the function of their points that returns `evaluate`'s
    arguments."""
    if hasattr(data, "retrieval_arguments"):
        return data.images, data.retrieval_arguments
    if not isinstance(data, tuple) or len(data) != 2:
        raise ValueError(
            "RetrievalEvaluation takes a `khp.datasets.RetrievalDataset` or a tuple "
            f"(x, labels). Received: {type(data).__name__}."
        )
    inputs = data[0]
    lengths = {len(leaf) for leaf in keras.tree.flatten(inputs)}
    if len(lengths) != 1:
        raise ValueError(
            "Inputs must have as many rows as each other. Received: inputs of "
            f"{sorted(lengths)} rows."
        )
    labels = check_labels(data[1], lengths.pop(), rows_are="inputs")
    return inputs, lambda points: {"queries": points, "query_labels": labels}
