"""Retrieval metrics on held-out classes after each epoch."""

import keras
import numpy as np

from keras_hierproxy.geometry import Sphere
from keras_hierproxy.retrieval import evaluate


class RetrievalEvaluation(keras.callbacks.Callback):
    """Embeds a data set after each epoch and logs its retrieval metrics.

    Every image is a query against all others. The numbers land in `logs` under
    `prefix` (`val_recall@1`, `val_level1_recall@1` ...), where `EarlyStopping`,
    `ModelCheckpoint`, `CSVLogger` and `TensorBoard` find them: give those
    `monitor="val_recall@1", mode="max"`. `EmbeddingModel.fit` and
    `ImageEmbedder.fit` run this callback before them; in a plain `keras.Model`,
    list it first.

    Args:
        data: a `khp.datasets.RetrievalDataset`, or a tuple `(x, labels)` of model
            inputs `(n, ...)` and int labels `(n,)` or `(n, levels)`.
        k: tuple of ints, the K of Recall@K. The default is that of CUB and Cars.
        metrics: which metrics of `khp.retrieval.evaluate`; by default Recall@K
            alone, which needs the fewest neighbours.
        prefix: str, put before the names in logs.
        every: int, epochs between evaluations; in between the last numbers are
            logged again.
        batch_size: int, of embedding.

    Raises:
        ValueError: before training, for labels that `evaluate` would refuse or a
            K larger than the data set.

    Example:

    >>> evaluation = khp.callbacks.RetrievalEvaluation(data.validation)
    >>> stop = keras.callbacks.EarlyStopping("val_recall@1", mode="max", patience=3)
    >>> model.fit(data.train.batches(128), epochs=20, callbacks=[evaluation, stop])
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
        self.inputs, self.labels = _inputs_and_labels(data)
        self.k = (k,) if isinstance(k, int) else tuple(k)
        self.metrics = metrics
        self.prefix = prefix
        self.every = every
        self.batch_size = batch_size
        # A run on stand-ins checks all arguments and tells the names.
        self.last = self._evaluate(np.ones((len(self.labels), 1)), Sphere())
        self.names = tuple(self.last)

    def on_train_begin(self, logs=None):
        self._first_epoch = None

    def on_epoch_begin(self, epoch, logs=None):
        if self._first_epoch is None:
            self._first_epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self._first_epoch or (epoch + 1) % self.every == 0:
            self.last = self.compute()
        if logs is not None:
            logs.update(self.last)

    def compute(self):
        """The metrics of the model as it is now, under the names of the logs."""
        geometry = getattr(self.model, "geometry", Sphere())
        return self._evaluate(self._embed(), geometry)

    def _embed(self):
        if hasattr(self.model, "embed"):
            return self.model.embed(self.inputs, batch_size=self.batch_size)
        inputs = np.asarray(self.inputs)
        return self.model.predict(inputs, batch_size=self.batch_size, verbose=0)

    def _evaluate(self, points, geometry):
        results = evaluate(
            points, self.labels, k=self.k, metrics=self.metrics, geometry=geometry
        )
        return {
            self.prefix + name: value
            for name, value in results.items()
            if "num_" not in name
        }


def _inputs_and_labels(data):
    if hasattr(data, "images"):
        return data.images, data.labels
    if isinstance(data, tuple) and len(data) == 2:
        return data
    raise ValueError(
        "RetrievalEvaluation takes a `khp.datasets.RetrievalDataset` or a tuple "
        f"(x, labels). Received: {type(data).__name__}."
    )
