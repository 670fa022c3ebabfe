"""Training data on its way into `keras.Model.fit`: batched, checked, preprocessed."""

import math

import keras
import numpy as np


def is_array_like(x):
    """Whether `x` can be cut into batches by index: arrays, or a tree of them."""
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(
        hasattr(leaf, "__len__") and hasattr(leaf, "__getitem__") and hasattr(leaf, "shape")
        for leaf in leaves
    )


def check_labels(labels, num_classes):
    """Raises a `ValueError` unless labels are class ids a proxy layer knows.

    Args:
        labels: array `(n,)` or `(n, 1)`.
        num_classes: int, or None where no proxies limit the ids.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"Labels must be integer class ids. Received dtype {labels.dtype}; pass "
            "`y.astype('int32')`, or `y.argmax(-1)` for one-hot labels."
        )
    if labels.ndim != 1 and labels.shape[1:] != (1,):
        raise ValueError(
            "Labels must be class ids of shape (n,). Received shape "
            f"{labels.shape}; for one-hot labels pass `y.argmax(-1)`, for labels of "
            "several levels their first column, `y[:, 0]`."
        )
    if num_classes is None or not labels.size:
        return
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"Labels must be class ids from 0 to {num_classes - 1}, one for each of the "
            f"{num_classes} classes that have proxies. Received labels from "
            f"{labels.min()} to {labels.max()}. `np.unique(y, return_inverse=True)[1]` "
            "makes ids dense; to evaluate classes that were not trained on, pass them "
            "to `khp.callbacks.RetrievalEvaluation` instead of `validation_data`."
        )


class ArrayBatches(keras.utils.PyDataset):
    """Batches of arrays in an order that is a function of the epoch alone.

    Keras's own order depends on what ran before, so that a resumed run would
    differ from an uninterrupted one.

    Args:
        arrays: tuple `(x, y, sample_weight)`, the last two or one may be None.
        batch_size: int.
        shuffle: bool.
    """

    def __init__(self, arrays, batch_size, shuffle):
        super().__init__()
        lengths = {len(leaf) for leaf in keras.tree.flatten(arrays) if leaf is not None}
        if len(lengths) > 1:
            raise ValueError(
                "All arrays must have as many rows as each other. Received inputs, "
                f"labels and weights of {sorted(lengths)} rows."
            )
        if lengths == {0}:
            raise ValueError("There is no data to train on: the arrays are empty.")
        self.arrays = arrays
        self.size = lengths.pop()
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.epoch = 0

    def __len__(self):
        return math.ceil(self.size / self.batch_size)

    def __getitem__(self, index):
        rows = np.arange(self.size)
        if self.shuffle:
            rows = np.random.default_rng(self.epoch).permutation(self.size)
        rows = rows[index * self.batch_size : (index + 1) * self.batch_size]
        x, y, sample_weight = self.arrays
        batch = [None if a is None else _take(a, rows) for a in (x, y, sample_weight)]
        return keras.utils.pack_x_y_sample_weight(*batch)


class CheckedBatches(keras.utils.PyDataset):
    """The batches of another dataset, with labels checked and inputs preprocessed.

    Args:
        batches: a `keras.utils.PyDataset`.
        check: function of a batch's labels that raises on bad ones.
        preprocess: function of a batch's inputs, or None.
    """

    def __init__(self, batches, check, preprocess=None):
        super().__init__(
            workers=batches.workers,
            use_multiprocessing=batches.use_multiprocessing,
            max_queue_size=batches.max_queue_size,
        )
        self.batches = batches
        self.check = check
        self.preprocess = preprocess
        if isinstance(getattr(batches, "labels", None), np.ndarray):
            check(batches.labels)

    @property
    def num_batches(self):
        return self.batches.num_batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        batch = self.batches[index]
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        if y is not None:
            self.check(y)
        if self.preprocess is not None:
            x = keras.tree.map_structure(keras.ops.convert_to_numpy, self.preprocess(x))
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)

    def set_epoch(self, epoch):
        """Tells the dataset which epoch comes, if its order depends on it."""
        if hasattr(self.batches, "epoch"):
            self.batches.epoch = epoch

    def on_epoch_begin(self):
        self.batches.on_epoch_begin()

    def on_epoch_end(self):
        self.batches.on_epoch_end()


class SetEpoch(keras.callbacks.Callback):
    """Keeps a dataset's order in step with the epochs, also of a resumed run."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.set_epoch(epoch)


def _take(tree, rows):
    return keras.tree.map_structure(lambda array: array[rows], tree)
