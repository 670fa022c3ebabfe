"""Data on its way into `keras.Model.fit`: batched, checked, preprocessed."""

import contextlib
import functools
import math
import types
import warnings

import keras
import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.keras_internals import GeneratorDataAdapter
from keras_hierproxy.labels import DISTRACTOR, integer_ids
from keras_hierproxy.models.sample_weights import check_weights
from keras_hierproxy.ops import num_data_shards

# Losses read ids as int32.
_MOST_IDS = 2**31
# Of the number of batches; the first as `tf.data` says it.
_INFINITE = -1
_UNKNOWN = -2


def as_batches(x, y, sample_weight, batch_size, shuffle, prepare):
    """Data as Keras takes it, each batch prepared.

    On TensorFlow a pipeline of `tf.data` stays one, in whose graph labels are not seen:
    wrong ones make the loss NaN, of which `NotFinite` tells.

    Args:
        x, y, sample_weight, batch_size, shuffle: as in `keras.Model.fit`.
        prepare: `Preparation`.

    Returns:
        `PreparedBatches`, a generator, or a pipeline.
    """
    leaves = keras.tree.flatten(x)
    if not leaves or any(x is None or getattr(x, "shape", 0) == () for x in leaves):
        raise ValueError(
            "Inputs must be arrays of shape (n, ...), or a dataset that yields batches "
            f"of them. Received: {x!r}."
        )
    if is_array_like(x):
        check_weights(sample_weight)
        arrays = (x, prepare.check(y), sample_weight)
        x = ArrayBatches(arrays, check_batch_size(batch_size), shuffle)
    elif callable(getattr(x, "batches", None)):
        raise ValueError(
            f"{type(x).__name__} is a data set, not yet cut into batches. Pass "
            "`data.batches(batch_size)`, or to embed it `data.images`."
        )
    elif y is not None or sample_weight is not None:
        raise ValueError(
            "`y` and `sample_weight` go with `x` of arrays; a dataset yields its own. "
            f"Received: x of type {type(x).__name__}. Lists become arrays by "
            "`np.asarray(x)`."
        )
    elif _is_of(x, "DataLoader", "torch."):
        x, shuffle = _in_turn(x, _length_of_loader(x), prepare), False
    elif _is_of(x, ("MapDataset", "IterDataset", "DataLoader"), "grain."):
        x, shuffle = _in_turn(x, _UNKNOWN, prepare), False
    elif _is_of(x, "DatasetV2", "tensorflow."):
        x, shuffle = _prepared_pipeline(x, prepare), False

    if isinstance(x, keras.utils.PyDataset):
        return PreparedBatches(x, prepare, shuffle)
    if isinstance(x, types.GeneratorType):
        return (prepare(lambda batch=batch: batch) for batch in x)
    return x


def is_seen(batches):
    """Whether the labels of what `as_batches` returned are checked."""
    seen = PreparedBatches, BatchesUntilTheEnd, types.GeneratorType
    return isinstance(batches, seen)


def check_batch_size(batch_size):
    """A batch size as an int, Keras's own 32 where none is given."""
    if batch_size is None:
        return 32
    return checks.integer("batch_size", batch_size, least=1)


class Preparation:
    """What happens to batches on their way: labels checked, inputs preprocessed.

    As a context it brings out errors as they were raised here: TensorFlow pulls data
    through a pipeline of its own, and puts them into the text of another error.

    Args:
        check: function of a batch's labels (or None) that returns them, or raises.
        preprocess: function of a batch's inputs, or None.
        check_inputs: function of them, preprocessed, that raises where the model does
            not take them; in a pipeline of `tf.data` it is not called.
        over_pairs: names of losses that learn from samples of one class; a batch
            without two such is told once.
        most_classes: int, of how many classes a batch may be, or None.
    """

    def __init__(
        self, check, preprocess, check_inputs, over_pairs=(), most_classes=None
    ):
        self.over_pairs = over_pairs
        self.most_classes = most_classes
        self.check = check
        self.preprocess = preprocess
        self.check_inputs = check_inputs
        self.error = None
        self.is_first = True

    def __call__(self, load):
        """Loads a batch, by a function without arguments, and prepares it."""
        try:
            return self._prepared(load())
        except Exception as error:
            self.error = error
            raise

    def in_pipeline(self, *batch):
        """Preprocesses a batch of `tf.data`, in its graph."""
        # The parts of a batch come one by one.
        batch = batch[0] if len(batch) == 1 else batch
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        return keras.utils.pack_x_y_sample_weight(self.preprocess(x), y, sample_weight)

    def _prepared(self, batch):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        y = self.check(y)
        check_weights(sample_weight)
        check_num_classes(y, self.most_classes)
        if self.over_pairs:
            self._tell_of_no_pairs(y)
        if self.preprocess is not None:
            if self.is_first:
                self.is_first = False
                tell_of_small_values(x, self.preprocess)
            x = self.preprocess(x)
            x = keras.tree.map_structure(keras.ops.convert_to_numpy, x)
        self.check_inputs(x)
        batch = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        batch = batch if isinstance(batch, tuple) else (batch,)
        # tf.data, through which Keras feeds TensorFlow, takes a list for a tensor.
        return keras.tree.lists_to_tuples(batch)

    def _tell_of_no_pairs(self, labels):
        if len(np.unique(labels)) < len(labels) or len(labels) < 2:
            return
        warnings.warn(
            f"A batch of {len(labels)} samples holds no two of one class: "
            f"{' and '.join(self.over_pairs)} can learn no likeness from it. Draw "
            'several of each: `data.batches(sampler="balanced", images_per_class=4)`.',
            stacklevel=2,
        )
        self.over_pairs = ()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, Exception) and self.error is not None:
            raise self.error from None


def tell_of_small_values(images, preprocess):
    """Warns of images in [0, 1] or [-1, 1] whose preprocessor takes [0, 255].

    To it they are all black. Also of integers: what is 0 or 1 everywhere is rather a
    mask than a photo of the night. What is 0 everywhere is black in either range.

    Args:
        images: a batch of arrays; of several inputs nothing is told.
        preprocess: function of it. One that makes more than 255 of 255, such as
            `Rescaling(2, -1)`, is not made for such values.
    """
    if keras.tree.is_nested(images):
        return
    images = keras.ops.convert_to_numpy(images)
    if not images.size or images.dtype.kind not in "biuf":
        return
    # Of most batches the first image tells.
    if images[0].max() > 1 or not 0 < images.max() <= 1 or images.min() < -1:
        return
    white = preprocess(np.full(images.shape, 255, "float32"))
    if np.abs(keras.ops.convert_to_numpy(white)).max() > 255:
        return
    warnings.warn(
        f"The images have values from {images.min():g} to {images.max():g}, of type "
        f"{images.dtype}, and the model's preprocessor takes 0 to 255: to it they are "
        "black. Pass `255 * images`, or a model without a preprocessor if it is to "
        "learn from such values.",
        stacklevel=2,
    )


def is_array_like(x):
    """Whether `x` can be cut into batches by index: arrays, or a tree of them."""
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(
        hasattr(leaf, "__len__")
        and hasattr(leaf, "__getitem__")
        and hasattr(leaf, "shape")
        for leaf in leaves
    )


def unchecked(labels):
    """The check where any labels will do."""
    return labels


def check_targets(targets, loss, dimension):
    """Refuses class ids where a loss of Keras compares embeddings with targets.

    Each of them would be spread over all entries of an embedding, or be taken for the
    place of the largest: the loss falls, and means nothing.

    Args:
        targets: array of targets, or None.
        loss: a loss of Keras, or its name.
        dimension: int, of the embeddings.
    """
    shape = np.shape(targets)
    if dimension != 1 and (len(shape) == 1 or shape[1:] == (1,)):
        raise ValueError(
            f"The loss {getattr(loss, 'name', loss)!r} of Keras compares embeddings "
            f"with targets of their shape, (n, {dimension}). Received targets of shape "
            f"{shape}. To learn from class ids pass a loss of this package, such as "
            "`compile(loss=khp.losses.ProxyAnchorLoss())`."
        )
    return targets


def check_labels(labels, num_classes):
    """Returns labels as an int32 array, or raises a `ValueError`.

    Args:
        labels: class ids `(n,)` or `(n, 1)`.
        num_classes: int, or None where no proxies limit the ids.
    """
    if labels is None:
        raise ValueError("The loss needs labels. Received: inputs without labels.")
    labels = integer_ids(labels, "y")
    if labels.ndim != 1 and labels.shape[1:] != (1,):
        raise ValueError(
            "Labels must be class ids of shape (n,). Received shape "
            f"{labels.shape}; for one-hot labels pass `y.argmax(-1)`, for labels of "
            "several levels their first column, `y[:, 0]`."
        )
    if not labels.size:
        return labels
    least, most = labels.min(), labels.max()
    if least < 0 or most >= (num_classes or _MOST_IDS):
        allowed = f"from 0 to {_MOST_IDS - 1}"
        if num_classes is not None:
            allowed = (
                f"from 0 to {num_classes - 1}, one for each of the {num_classes} "
                "classes that have proxies"
            )
        advice = (
            "-1 is a distractor, which has no class to train on: leave these rows out, "
            "`x[y >= 0], y[y >= 0]`."
            if least == DISTRACTOR
            else "`np.unique(y, return_inverse=True)[1]` makes ids dense; to evaluate "
            "classes that were not trained on, pass them to "
            "`khp.callbacks.RetrievalEvaluation` instead of `validation_data`."
        )
        raise ValueError(
            f"Labels must be class ids {allowed}. Received labels from {least} to "
            f"{most}. {advice}"
        )
    # What losses compute with; backends do not take every kind of integer.
    return labels.astype("int32", copy=False)


def check_num_classes(labels, most):
    """Raises a `ValueError` for a batch of more classes than a step draws.

    Args:
        labels: of the batch.
        most: int, or None where each step has all classes.
    """
    if most is None:
        return
    number = len(np.unique(labels))
    if number > most:
        raise ValueError(
            f"The model's `SampledProxies` draws num_sampled={most} classes in a step, "
            f"and those of the batch have to be among them. Received a batch of "
            f"{number} classes: pass num_sampled={number} or more, or smaller batches."
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
        self.arrays = keras.tree.map_structure(_indexable, arrays)
        lengths = {len(a) for a in keras.tree.flatten(self.arrays) if a is not None}
        if len(lengths) > 1:
            rows = keras.tree.map_structure(
                lambda a: a if a is None else len(a), self.arrays
            )
            raise ValueError(
                "Inputs, labels and weights must have as many rows as each other. "
                f"Received, in this order: {rows}."
            )
        if lengths == {0}:
            raise ValueError("There is no data: the arrays are empty.")
        self.size = lengths.pop()
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.epoch = 0

    def __len__(self):
        return math.ceil(self.size / self.batch_size)

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        if self.shuffle:
            rows = _order(self.size, self.epoch)[rows]
        batch = keras.tree.map_structure(
            lambda array: None if array is None else array[rows], self.arrays
        )
        return keras.utils.pack_x_y_sample_weight(*batch)


class BatchesInTurn(keras.utils.PyDataset):
    """Batches that come one after another, such as those of a data loader.

    Args:
        stream: function without arguments that returns an iterator from the first.
        num_batches: int, or None for batches without end.
    """

    def __init__(self, stream, num_batches):
        super().__init__()
        self.stream = stream
        self._num_batches = num_batches

    @property
    def num_batches(self):
        return self._num_batches

    def __getitem__(self, index):
        if index == 0:
            self.iterator = self.stream()
        return next(self.iterator)


class BatchesUntilTheEnd(GeneratorDataAdapter):
    """Batches that come one after another, nobody knows how many.

    A `PyDataset` says how many there are before the first, and a generator has but one
    epoch; Keras takes one of its adapters as it is.

    Args:
        stream: function without arguments that returns an iterator from the first.
    """

    def __init__(self, stream):
        super().__init__(stream())
        self.generator = stream

    def weighed(self, class_weight):
        """The same, each sample with the weight of its class.

        Args:
            class_weight: dict from class ids to weights, 1 where there is none.
        """

        def stream():
            for batch in self.generator():
                x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
                if sample_weight is not None or np.size(y) != len(y):
                    raise ValueError(
                        "`class_weight` goes with class ids, and without "
                        "`sample_weight`. Received batches "
                        f"{'with weights' if np.size(y) == len(y) else 'of targets'}."
                    )
                weights = [class_weight.get(int(label), 1.0) for label in np.ravel(y)]
                yield x, y, np.array(weights, "float32")

        return BatchesUntilTheEnd(stream)


class PreparedBatches(keras.utils.PyDataset):
    """The batches of another dataset, prepared.

    Where `keras.distribution` cannot cut a batch into equal parts, it is filled up.

    Args:
        batches: a `keras.utils.PyDataset`. One with an attribute `epoch`, such as
            those of `khp.datasets`, knows the order of each epoch, and is told
            which one comes.
        prepare: `Preparation`.
        shuffle: bool, whether to visit the batches in another order each epoch, if
            they have none of their own.
    """

    def __init__(self, batches, prepare, shuffle):
        super().__init__(
            workers=batches.workers,
            use_multiprocessing=batches.use_multiprocessing,
            max_queue_size=batches.max_queue_size,
        )
        self.batches = batches
        self.prepare = prepare
        self.epoch = 0
        ordered = hasattr(batches, "epoch") or batches.num_batches is None
        self.shuffle = shuffle and not ordered
        # Of unlabelled batches nothing tells the filling from the rest.
        self.fill = isinstance(batches, ArrayBatches) or prepare.check is not unchecked
        # Those of khp.datasets also know all their labels.
        if hasattr(batches, "epoch") and hasattr(batches, "labels"):
            prepare.check(batches.labels)

    @property
    def num_batches(self):
        return self.batches.num_batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        if self.shuffle:
            index = _order(len(self), self.epoch)[index]
        batch = self.prepare(lambda: self.batches[index])
        return _fill_up(batch) if self.fill and num_data_shards() > 1 else batch

    def set_epoch(self, epoch):
        self.epoch = epoch
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


def _fill_up(batch):
    """Repeats a batch's first samples until `keras.distribution` can cut it.

    Their weight is 0: to our losses they are absent.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    rows = len(keras.tree.flatten(x)[0])
    taken = np.arange(rows + -rows % num_data_shards()) % rows
    x, y = keras.tree.map_structure(
        lambda array: None if array is None else array[taken], (x, y)
    )
    if y is None:
        return (x,)
    weights = np.ones(rows, "float32") if sample_weight is None else sample_weight
    weights = np.where(np.arange(len(taken)) < rows, np.ravel(weights)[taken], 0)
    return x, y, weights.astype("float32")


def _is_of(x, names, package):
    """Whether `x` is of a class of a package that may not be installed."""
    names = (names,) if isinstance(names, str) else names
    return any(
        parent.__name__ in names and parent.__module__.startswith(package)
        for parent in type(x).__mro__
    )


def _length_of_loader(loader):
    """How many batches a data loader has; `_UNKNOWN` of an `IterableDataset`."""
    return len(loader) if hasattr(loader.dataset, "__len__") else _UNKNOWN


def _prepared_pipeline(pipeline, prepare):
    """Batches of `tf.data`, preprocessed in its graph or, where that fails, outside.

    On another backend `keras.ops` do not trace there; nor does NumPy anywhere. Outside,
    labels are seen. But to leave the graph costs TensorFlow a copy of each batch, and
    of several processes Keras gives each its own part of a pipeline alone.
    """
    is_tensorflow = keras.config.backend() == "tensorflow"
    if prepare.preprocess is None:
        if is_tensorflow or keras.distribution.distribution() is not None:
            return pipeline
    elif is_tensorflow:
        with contextlib.suppress(Exception):
            return pipeline.map(prepare.in_pipeline)
    length = int(pipeline.cardinality())
    if length < 0:
        length = None if length == _INFINITE else _UNKNOWN
    return _in_turn(pipeline, length, prepare)


def _in_turn(batches, num_batches, prepare):
    """An iterable of batches as Keras takes it; prepared, where that is not done
    with every `PyDataset`."""

    def stream():
        for batch in batches:
            batch = keras.tree.map_structure(_as_numpy, batch)
            yield tuple(batch) if isinstance(batch, list) else batch

    def prepared():
        return (prepare(lambda batch=batch: batch) for batch in stream())

    if num_batches == _UNKNOWN:
        return BatchesUntilTheEnd(prepared)
    return BatchesInTurn(stream, num_batches)


def _as_numpy(tensor):
    # Keras has ways of its own with these.
    if _is_of(tensor, ("SparseTensor", "RaggedTensor"), "tensorflow."):
        return tensor
    return keras.ops.convert_to_numpy(tensor)


def _indexable(array):
    """Tensors and data frames as arrays; images decoded on demand as they are."""
    if isinstance(array, np.ndarray) or not hasattr(array, "__array__"):
        return array
    return keras.ops.convert_to_numpy(array)


# Every batch of an epoch asks for the same one.
@functools.lru_cache(maxsize=4)
def _order(size, epoch):
    return np.random.default_rng(epoch).permutation(size)
