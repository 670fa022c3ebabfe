"""What `EmbeddingModel` and `ImageEmbedder` share: compile, fit, embed."""

import collections
import contextlib
import functools
import math
import warnings

import keras
import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.keras_internals import all_layers
from keras_hierproxy.layers import LatentHierarchy, Proxies, SampledProxies
from keras_hierproxy.layers.project import geometry_of, projection_of
from keras_hierproxy.losses import BoundLoss, EmbeddingLoss, ProxyLoss, SumLoss
from keras_hierproxy.losses.binding import bind, sums_of, terms_of
from keras_hierproxy.models.backup import Backup
from keras_hierproxy.models.batches_to_fit import (
    BatchesUntilTheEnd,
    Preparation,
    PreparedBatches,
    SetEpoch,
    as_batches,
    check_batch_size,
    check_labels,
    check_num_classes,
    check_targets,
    is_array_like,
    is_seen,
    tell_of_small_values,
    unchecked,
)
from keras_hierproxy.models.export import export
from keras_hierproxy.models.faster_on_cpu import faster_on_cpu
from keras_hierproxy.models.fit_callbacks import flat, prepare_callbacks
from keras_hierproxy.models.keeping_weights import keeping_weights
from keras_hierproxy.models.not_finite import NotFinite
from keras_hierproxy.models.optimizer_order import load_in_order_of
from keras_hierproxy.models.sample_weights import check_class_weight, check_weights
from keras_hierproxy.models.saving import (
    refuse_hdf5,
    refuse_hdf5_config,
    saving_whole,
)
from keras_hierproxy.ops import num_data_shards
from keras_hierproxy.optimizers import default_optimizer
from keras_hierproxy.optimizers.row_wise import with_row_wise
from keras_hierproxy.optimizers.saved_state import (
    for_any_backend,
    renumber,
    save_once_load_padded,
)

# Numbers in a table of proxies that all take part in each step without a word, as some
# 50,000 x 512; and what a batch of 128 takes of a core, with Adam: at TensorFlow's and
# at PyTorch's speed.
_DENSE_UP_TO = 2**25
_SECONDS_A_NUMBER = 2.5e-8, 1e-7


class Embedder:
    """Mixed into `keras.Model`s whose output is a batch of embeddings."""

    # Whether the backbone's weights were trained before, and want small steps.
    pretrained = False

    @property
    def geometry(self):
        """Where the embeddings live: that of the model's `ProjectToGeometry` layer,
        by default the sphere."""
        return geometry_of(self)

    @property
    def loss_trackers(self):
        """The running means of the terms of sums of losses."""
        sums = sums_of(getattr(self, "loss", None))
        return [tracker for each in sums for tracker in each.trackers]

    @property
    def metrics(self):
        return [*super().metrics, *self.loss_trackers]

    def compile(
        self,
        optimizer="auto",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
        auto_scale_loss=True,
    ):
        """Configures training, and gives each loss the proxies that it reads.

        Args:
            optimizer: Keras optimizer or its name, such as
                `khp.optimizers.grouped(model)`. By default `"auto"`: AdamW with a
                rate of 1e-2 for proxies and 1e-3 for the rest, or, where the
                backbone is pretrained, `grouped(model)`.
            loss: a loss of `khp.losses`, a sum, or a list of them, which is
                their sum (then `loss_weights` weighs its terms); for a model of
                several outputs a dict or list of these. What the loss does not
                read of the model's proxies stands still.
            loss_weights, metrics, weighted_metrics: as in `keras.Model.compile`.
            run_eagerly, steps_per_execution, jit_compile: as there.
            auto_scale_loss: as there.

        Raises:
            ValueError: if a loss finds no layer in the model to read, or several, or
                if it measures in another space than the model's.
        """
        for weight in keras.tree.flatten(loss_weights):
            if weight is not None:
                checks.real("loss_weights", weight, least=0)
        checks.integer("steps_per_execution", steps_per_execution, least=1)
        if isinstance(loss, (list, tuple)) and len(self.outputs) == 1:
            loss, loss_weights = SumLoss(list(loss), loss_weights), None
        loss = bind(loss, self)
        self._check_geometry(loss)
        _track_terms(sums_of(loss))
        self._train_only_what_is_read(loss)
        _tell_of_dense_tables(self)
        if isinstance(optimizer, str) and optimizer == "auto":
            optimizer = default_optimizer(self, self.pretrained)
        optimizer = with_row_wise(self, optimizer)
        if auto_scale_loss and _computes_in_float16(self):
            # Keras asks the policy of the model, which is lost when it is saved.
            optimizer = _with_loss_scale(optimizer)
        super().compile(
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
        self.jit_compile_asked = jit_compile
        self.has_metrics = bool(metrics or weighted_metrics)
        if self.optimizer is not None:
            save_once_load_padded(self.optimizer)

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Saves the model as `keras.Model.save` does; arguments are the same.

        Killed, or out of space, at any moment, a `.keras` file is what it was before,
        or the new one.

        Raises:
            ValueError: for a path that ends in `.h5` or `.hdf5`, formats that could not
                be loaded again.
            OSError: if it can't be written.
        """
        refuse_hdf5(filepath)
        with saving_whole(self, filepath, overwrite) as path:
            super().save(path, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(self, filepath, overwrite=True, max_shard_size=None):
        """Saves the weights as `keras.Model.save_weights` does; arguments are the same.

        Killed, or out of space, at any moment, a `.weights.h5` file is what it was
        before, or the new one.
        """
        with saving_whole(self, filepath, overwrite) as path:
            super().save_weights(path, overwrite, max_shard_size)

    def get_config(self):
        refuse_hdf5_config()
        return super().get_config()

    @classmethod
    def from_config(cls, config, *args, **kwargs):
        # Keras takes the entries out of what it is given, and of what is nested in it.
        config = keras.tree.map_structure(lambda leaf: leaf, config)
        return super().from_config(config, *args, **kwargs)

    def get_compile_config(self):
        if not self.compiled:
            return None
        config = for_any_backend(super().get_compile_config())
        # As asked, not as resolved: "auto" means another thing on another backend.
        config["jit_compile"] = self.jit_compile_asked
        if config["optimizer"] is not None:
            # Where a plain `keras.Model`, such as `clone_model` makes of a subclass
            # with a constructor of its own, passes it over.
            paths = [weight.path for weight in self.weights]
            config["optimizer"] = {**config["optimizer"], "weight_paths": paths}
        return config

    def compile_from_config(self, config):
        config = dict(config)
        # Files of earlier versions have them beside the optimizer.
        saved = config.pop("weight_paths", ())
        saved = (config["optimizer"] or {}).get("weight_paths", saved)
        here = [weight.path for weight in self.weights]
        config["optimizer"] = renumber(config["optimizer"], saved, here)
        self.compile(**keras.saving.deserialize_keras_object(config))
        # Without variables the optimizer's saved state would be dropped.
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)
            load_in_order_of(self, saved)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        **kwargs,
    ):
        """Trains as `keras.Model.fit` does; arguments are the same.

        What it adds: labels are checked before and during training; the order of
        arrays and of datasets is a function of the epoch (a `PyDataset` with an
        attribute `epoch`, such as the batches of `khp.datasets`, is told the epoch
        and sees to it itself); `RetrievalEvaluation` runs before the callbacks that
        read its numbers; `HierarchyUpdate` is added where a learned hierarchy has
        none; and what the callbacks monitor is checked before training.

        With `keras.callbacks.BackupAndRestore(folder)` a run that was killed, at any
        moment, goes on after its last whole epoch as if it had not stopped: with the
        same model, optimizer and order of the data, and with what `ModelCheckpoint`,
        `EarlyStopping`, `ReduceLROnPlateau` and `RetrievalEvaluation` knew. (A
        backup takes the place of the one before in one step, so that
        `double_checkpoint` adds nothing.) Give `CSVLogger` its `append=True`;
        callbacks of your own, and those derived from `BackupAndRestore`, see to
        themselves. With `save_freq` in batches the epoch that was not whole begins
        again, with the weights that it had reached.

        Raises:
            ValueError: for labels that are out of range, negative, float, one-hot
                or of another number than the inputs (in a pipeline of `tf.data` on
                TensorFlow, where they are not seen, wrong ids make the loss NaN,
                of which a warning tells); for
                `validation_data` with classes that have no proxies; for callbacks
                that cannot work, such as a `ModelCheckpoint` to an `.h5` file, which
                could not be loaded; for a backup that is damaged or of another model.
        """
        if not self.compiled:
            raise ValueError(f"Call `compile(loss=...)` of {self.name!r} before `fit`.")
        if validation_split is not None:
            checks.real("validation_split", validation_split, least=0, below=1)
        if validation_split and validation_data is None:
            x, y, sample_weight, validation_data = _split_off_validation(
                (x, y, sample_weight), validation_split
            )
        checks.integer("epochs", epochs, least=1)
        _check_steps(kwargs)
        check_class_weight(class_weight, self._num_classes())
        prepare = self._preparation()
        batches = as_batches(x, y, sample_weight, batch_size, shuffle, prepare)
        if class_weight is not None and isinstance(batches, BatchesUntilTheEnd):
            batches, class_weight = batches.weighed(class_weight), None
        if validation_data is not None:
            arrays = keras.utils.unpack_x_y_sample_weight(validation_data)
            size = kwargs.pop("validation_batch_size", None) or batch_size
            validation_data = as_batches(*arrays, size, False, prepare)
        callbacks = prepare_callbacks(self, callbacks, validation_data is not None)
        callbacks = [self._not_finite(batches, validation_data), *callbacks]
        if isinstance(batches, PreparedBatches):
            callbacks = [SetEpoch(batches), *callbacks]
        for backup in callbacks:
            if isinstance(backup, Backup):
                restored = backup.restore(self, epochs)
                if restored is not None:
                    kwargs["initial_epoch"] = restored
        _build_optimizer(self)
        with (
            keeping_weights(self),
            faster_on_cpu(self),
            prepare,
            _naming_loss(self.loss),
        ):
            return super().fit(
                batches,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_data=validation_data,
                # Keras draws an order that no resumed run repeats.
                shuffle=False,
                class_weight=class_weight,
                **kwargs,
            )

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        **kwargs,
    ):
        """The loss on labelled data, as `keras.Model.evaluate`; arguments are the same.

        For retrieval metrics see `khp.retrieval.evaluate` on what `embed` returns.
        """
        if kwargs.get("_use_cached_eval_dataset", False):
            # Keras's own call from `fit`, with batches that are ready.
            return super().evaluate(x, verbose=verbose, **kwargs)
        _check_steps(kwargs)
        with (
            keeping_weights(self),
            faster_on_cpu(self),
            self._preparation() as prepare,
        ):
            x = as_batches(x, y, sample_weight, batch_size, False, prepare)
            callbacks = flat([kwargs.pop("callbacks", None) or (), self._not_finite(x)])
            return super().evaluate(x, verbose=verbose, callbacks=callbacks, **kwargs)

    def predict(self, x, batch_size=None, verbose="auto", **kwargs):
        """The model's output, as `keras.Model.predict`; arguments are the same."""
        rows = len(keras.tree.flatten(x)[0]) if is_array_like(x) else None
        batch_size = check_batch_size(batch_size)
        _check_steps(kwargs)
        # So that what `keras.distribution` needs as filling comes last.
        batch_size += -batch_size % num_data_shards()
        with (
            keeping_weights(self),
            faster_on_cpu(self),
            self._preparation(labelled=False) as prepare,
        ):
            batches = as_batches(x, None, None, batch_size, False, prepare)
            outputs = super().predict(batches, verbose=verbose, **kwargs)
        return keras.tree.map_structure(lambda output: output[:rows], outputs)

    def train_on_batch(
        self, x, y=None, sample_weight=None, class_weight=None, return_dict=False
    ):
        check_weights(sample_weight)
        check_class_weight(class_weight, self._num_classes())
        return super().train_on_batch(
            self._prepared(x),
            self._checked(y),
            sample_weight=sample_weight,
            class_weight=class_weight,
            return_dict=return_dict,
        )

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        check_weights(sample_weight)
        return super().test_on_batch(
            self._prepared(x),
            self._checked(y),
            sample_weight=sample_weight,
            return_dict=return_dict,
        )

    def predict_on_batch(self, x):
        return self._predicted(self._prepared(x))

    def _predicted(self, x):
        with faster_on_cpu(self):
            return super().predict_on_batch(x)

    def _checked(self, y):
        """A batch's labels as the loss takes them."""
        y = self._label_check()(y)
        check_num_classes(y, self._most_classes())
        return y

    def _prepared(self, x):
        """A batch's inputs as the network takes them."""
        preprocess = self._preprocess()
        if preprocess is not None:
            tell_of_small_values(x, preprocess)
            x = preprocess(x)
        self._check_inputs(x)
        return x

    def embed(self, x, batch_size=128, verbose=0):
        """Embeds inputs.

        Args:
            x: inputs `(n, ...)`: arrays (a list or dict of them for several
                inputs), the `images` of a `khp.datasets.RetrievalDataset`, a
                `keras.utils.PyDataset` or another dataset that `predict` takes.
            batch_size: int, for arrays.
            verbose: 1 for a progress bar.

        Returns:
            float32 NumPy array `(n, d)`, points of `geometry`; of a model with
            several outputs the structure of them.
        """
        outputs = self.predict(x, batch_size=batch_size, verbose=verbose)
        return keras.tree.map_structure(self._points, outputs)

    def embed_on_batch(self, x, preprocess=True):
        """Embeds one batch of inputs: for data of which no array can be made.

        As `predict_on_batch` it costs less than `embed`, which sets up a pipeline.
        All batches should have the same size, since another one may mean to compile
        again.

        Args:
            x: inputs `(n, ...)`: an array, or a list or dict of them.
            preprocess: whether they pass through the model's preprocessor first;
                False where that has happened, for example ahead, on a thread.

        Returns:
            As `embed`.
        """
        if preprocess:
            x = self._prepared(x)
        else:
            self._check_inputs(x)
        outputs = self._predicted(x)
        return keras.tree.map_structure(self._points, outputs)

    def export(
        self,
        filepath,
        format="tf_saved_model",
        verbose=False,
        input_signature=None,
        preprocess=True,
        **kwargs,
    ):
        """Exports what `embed` computes, for inference without Keras.

        The file takes raw inputs, images in [0, 255], in batches of any size, and
        gives float32 points of `geometry`, equal to those of `embed` up to 1e-4. The
        preprocessor and the projection are part of it; proxies and latent proxies
        are not. It is exported from the backend of the process:

        | format             | TensorFlow | JAX     | PyTorch |
        |--------------------|------------|---------|---------|
        | `"tf_saved_model"` | yes        | yes (1) | no      |
        | `"onnx"`           | yes        | no      | yes (2) |
        | `"litert"`         | yes        | no      | no      |

        (1) A preprocessor of keras-hub is not traced: `preprocess=False`.
        (2) Not with `LayerNormalization` (transformers), not after `quantize`.

        From JAX and PyTorch, all sizes but that of the batch must be known. Where
        the table says no, save the embedder and export it under TensorFlow: presets
        and saved models load on every backend. An embedder in half precision is
        exported as `"tf_saved_model"` only.

        Args:
            filepath: str or path: a folder for `"tf_saved_model"`, a file that ends
                in `.tflite` for `"litert"`, a file for `"onnx"`.
            format: str, `"tf_saved_model"` as in Keras, `"onnx"` (needs the extra
                `onnx`), or `"litert"`, the former TensorFlow Lite.
            verbose: bool, whether Keras reports on what it writes.
            input_signature: list of one `keras.InputSpec`, for other inputs than the
                network's: raw images of a size that the preprocessor changes (None
                for any, from TensorFlow), pixels as `"uint8"`, a batch of one size.
            preprocess: bool, False to leave the preprocessor out.
            **kwargs: as in `keras.Model.export`: `opset_version` for ONNX,
                `optimizations` and others for LiteRT.

        Raises:
            ValueError: before any work, for a format that this backend does not
                export, and for a preprocessor that cannot be traced.
            ImportError: if a package is missing that the format needs.
            RuntimeError: if Keras fails on a layer of this network.

        Example:

        >>> embedder = khp.models.ImageEmbedder(khp.models.conv4(), num_classes=100)
        >>> embedder.export("embedder.onnx", format="onnx", verbose=False)
        >>> import onnxruntime
        >>> session = onnxruntime.InferenceSession("embedder.onnx")
        >>> images = np.zeros((2, 32, 32, 1), "float32")
        >>> session.run(None, {"inputs": images})[0].shape
        (2, 128)
        """
        export(
            self, filepath, format, preprocess, verbose, input_signature, options=kwargs
        )

    def _points(self, outputs):
        if projection_of(self) is None:
            outputs = self.geometry.project(keras.ops.cast(outputs, "float32"))
        return np.asarray(keras.ops.convert_to_numpy(outputs), "float32")

    def _check_geometry(self, loss):
        for term in terms_of(loss):
            if term.required_geometry not in (None, self.geometry):
                raise ValueError(
                    f"{type(term).__name__} measures in {term.required_geometry}, but "
                    f"the embeddings of {self.name!r} live on {self.geometry}. Give "
                    "both one geometry: `ImageEmbedder(..., geometry=geometry)`, or "
                    "`khp.layers.ProjectToGeometry(geometry)` before the proxies; "
                    "`khp.layers.LatentHierarchy(geometry=geometry)`, "
                    "`khp.losses.SupConLoss(geometry=geometry)`."
                )

    def _train_only_what_is_read(self, loss):
        """Takes proxies that no loss reads out of training.

        They would get no gradient, at which optimizers raise on some backends, and
        weight decay and regularizers would move them.
        """
        if loss is None:
            return
        read = {
            id(variable)
            for term in terms_of(loss)
            if isinstance(term, BoundLoss)
            for variable in term.variables_read(term.proxies)
        }
        reads_any = _may_read_any(loss)
        for layer in all_layers(self):
            if isinstance(layer, (Proxies, LatentHierarchy)):
                for variable in layer.proxy_variables():
                    is_read = reads_any or id(variable) in read
                    variable.trainable = layer.trainable and is_read

    def _preprocess(self):
        """A function of a batch's inputs, or None."""
        return None

    def _preparation(self, labelled=True):
        check = self._label_check() if labelled else unchecked
        over_pairs = [
            term.name
            for term in terms_of(getattr(self, "loss", None))
            if labelled and term.over_pairs
        ]
        most = self._most_classes() if labelled else None
        inputs = self._check_inputs
        return Preparation(check, self._preprocess(), inputs, over_pairs, most)

    def _not_finite(self, *data):
        seen = all(is_seen(each) for each in data if each is not None)
        return NotFinite(self._num_classes(), self._most_classes(), seen)

    def _check_inputs(self, x):
        """Raises for a batch of inputs that the model does not take."""

    def _label_check(self):
        loss = getattr(self, "loss", None)
        if isinstance(loss, EmbeddingLoss):
            return functools.partial(check_labels, num_classes=self._num_classes())
        if _is_of_keras(loss) and len(self.outputs) == 1:
            dimension = self.outputs[0].shape[-1]
            return functools.partial(check_targets, loss=loss, dimension=dimension)
        return unchecked

    def _most_classes(self):
        """Of how many classes a batch may be, where a step draws some, or None."""
        numbers = [
            term.proxies.num_sampled
            for term in terms_of(getattr(self, "loss", None))
            if isinstance(getattr(term, "proxies", None), SampledProxies)
        ]
        return min(numbers, default=None)

    def _num_classes(self):
        """How many classes the loss has proxies for, or None."""
        numbers = [
            term.proxies.num_classes
            for term in terms_of(getattr(self, "loss", None))
            if isinstance(term, ProxyLoss)
        ]
        return min(numbers, default=None)


def _tell_of_dense_tables(model):
    """Warns, once, of proxies of which each step will compute with a great many."""
    for layer in all_layers(model):
        if not isinstance(layer, Proxies) or isinstance(layer, SampledProxies):
            continue
        table = layer.proxy_variables()[0]
        rows, dimension = table.shape
        numbers = rows * dimension
        if not table.trainable or numbers <= _DENSE_UP_TO or layer.told_of_size:
            continue
        layer.told_of_size = True
        least, most = (seconds * numbers for seconds in _SECONDS_A_NUMBER)
        warnings.warn(
            f"Each step computes with all {rows:,} x {dimension} proxies of layer "
            f"{layer.name!r}, and moves them: with a batch of 128 it takes some "
            f"{least:.0f} to {most:.0f} s of a core, and {16 * numbers / 2**30:.1f} GB "
            "with the gradient and Adam's moments. "
            f"`khp.layers.SampledProxies({layer.num_classes})` draws some thousands "
            "in each step, in milliseconds.",
            stacklevel=3,
        )


def _computes_in_float16(model):
    return any(
        getattr(layer, "compute_dtype", None) == "float16"
        for layer in all_layers(model)[1:]
    )


def _with_loss_scale(optimizer):
    optimizer = keras.optimizers.get(optimizer)
    if optimizer is None or hasattr(optimizer, "inner_optimizer"):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def _may_read_any(loss):
    """Whether a loss of the user's own is there, which may read any layer."""
    return any(
        each is not None
        and not isinstance(each, EmbeddingLoss)
        and not _is_of_keras(each)
        for each in keras.tree.flatten(loss)
    )


def _is_of_keras(loss):
    """Whether a loss is one of Keras's own, or its name."""
    return isinstance(loss, str) or getattr(loss, "__module__", "").startswith("keras.")


def _build_optimizer(model):
    """Makes the variables of a model's optimizer, as Keras does in the first step.

    TensorFlow traces a step that makes variables twice, which takes seconds.
    """
    if model.optimizer.built:
        return
    strategy = getattr(model, "distribute_strategy", None)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model.optimizer.build(model.trainable_variables)


def _check_steps(options):
    """Checks what says how many epochs or steps, of the rest that Keras is passed.

    Keras takes 0 steps, or NaN, and trains on nothing, or on everything.
    """
    steps = ("steps", "steps_per_epoch", "validation_steps", "validation_batch_size")
    for name in ("initial_epoch", *steps):
        if options.get(name) is not None:
            checks.integer(name, options[name], least=int(name in steps))
    for every in keras.tree.flatten(options.get("validation_freq", 1)):
        checks.integer("validation_freq", every, least=1)


@contextlib.contextmanager
def _naming_loss(loss):
    """Says of a loss of the user's own what it takes to be trained."""
    try:
        yield
    except ValueError as error:
        if "No gradients provided" not in str(error):
            raise
        raise ValueError(
            "The loss gives no gradient to the proxies, or to another group of "
            f"variables. Received: loss={loss!r}. For a loss of embeddings alone build "
            "the model without proxies, or make it a subclass of "
            "`khp.losses.EmbeddingLoss`, with `call(labels, embeddings, weights)`: "
            "then proxies stand still."
        ) from error


def _track_terms(sums):
    """Gives each term a running mean under its name, or `name_1` for a second one."""
    seen = collections.Counter()
    for each in sums:
        each.trackers = []
        for name in (term.name for term in each.terms):
            unique = f"{name}_{seen[name]}" if seen[name] else name
            each.trackers.append(keras.metrics.Mean(name=unique))
            seen[name] += 1


def _split_off_validation(arrays, share):
    """The first rows of `(x, y, sample_weight)` and, as validation data, the rest."""
    if not is_array_like(arrays[0]):
        raise ValueError(
            "`validation_split` cuts arrays. Received: "
            f"x of type {type(arrays[0]).__name__}; pass `validation_data` instead."
        )
    cut = math.floor(len(keras.tree.flatten(arrays[0])[0]) * (1 - share))

    def part(rows):
        return [
            None if a is None else keras.tree.map_structure(lambda leaf: leaf[rows], a)
            for a in arrays
        ]

    return (*part(slice(cut)), tuple(part(slice(cut, None))))
