"""What `EmbeddingModel` and `ImageEmbedder` share: compile, fit, embed."""

import functools
import math

import keras
import numpy as np

from keras_hierproxy.geometry import Sphere
from keras_hierproxy.layers import ProjectToGeometry, Proxies
from keras_hierproxy.losses import EmbeddingLoss, ProxyLoss, SumLoss
from keras_hierproxy.losses.binding import bind, terms_of
from keras_hierproxy.models.batches import (
    ArrayBatches,
    CheckedBatches,
    SetEpoch,
    check_labels,
    is_array_like,
)
from keras_hierproxy.models.fit_callbacks import prepare_callbacks
from keras_hierproxy.optimizers import default_optimizer, load_whatever_the_padding


class Embedder:
    """Mixed into `keras.Model`s whose output is a batch of embeddings."""

    # Whether the backbone's weights were trained before, and want small steps.
    pretrained = False

    @property
    def geometry(self):
        """Where the embeddings live: that of the model's `ProjectToGeometry` layer,
        by default the sphere."""
        layer = self._projection()
        return Sphere() if layer is None else layer.geometry

    @property
    def loss_trackers(self):
        """The running means of the terms of a sum of losses."""
        loss = getattr(self, "loss", None)
        return loss.trackers if isinstance(loss, SumLoss) else []

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
                their sum (then `loss_weights` weighs its terms).
            loss_weights, metrics, weighted_metrics, run_eagerly,
                steps_per_execution, jit_compile, auto_scale_loss: as in
                `keras.Model.compile`.

        Raises:
            ValueError: if a loss finds no layer in the model to read, or several.
        """
        if isinstance(loss, (list, tuple)) and len(self.outputs) == 1:
            loss, loss_weights = SumLoss(list(loss), loss_weights), None
        loss = bind(loss, self)
        if isinstance(loss, SumLoss):
            loss.trackers = _mean_trackers(loss.terms)
        self._train_only_what_is_read(loss)
        if isinstance(optimizer, str) and optimizer == "auto":
            optimizer = default_optimizer(self, self.pretrained)
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
        # As asked, not as resolved: "auto" means another thing on another backend.
        self._compile_config.config["jit_compile"] = jit_compile
        if self.optimizer is not None:
            load_whatever_the_padding(self.optimizer)

    def get_compile_config(self):
        return self._compile_config.serialize() if self.compiled else None

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        # Without variables the optimizer's saved state would be dropped.
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

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
        arrays and of `khp.datasets` batches is a function of the epoch, so that a
        resumed run goes on as if it had not stopped; `RetrievalEvaluation` runs
        before the callbacks that read its numbers; `HierarchyUpdate` is added
        where a learned hierarchy has none; and what the callbacks monitor is
        checked before training.

        Raises:
            ValueError: for labels that are out of range, negative, float, one-hot
                or of another number than the inputs; for `validation_data` with
                classes that have no proxies; for callbacks that cannot work.
        """
        self._assert_compile_called("fit")
        if validation_split and validation_data is None:
            x, y, sample_weight, validation_data = _split_off_validation(
                (x, y, sample_weight), validation_split
            )
        if validation_data is not None:
            validation_data = self._validation_batches(validation_data, batch_size)
        callbacks = prepare_callbacks(self, callbacks, validation_data is not None)
        common = {
            "epochs": epochs,
            "verbose": verbose,
            "validation_data": validation_data,
            "class_weight": class_weight,
            **kwargs,
        }
        batches = self._own_batches(x, y, sample_weight, batch_size, shuffle)
        if batches is None:
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                callbacks=callbacks,
                shuffle=shuffle,
                sample_weight=sample_weight,
                **common,
            )
        callbacks = [SetEpoch(batches), *callbacks]
        # Keras's `shuffle` draws an order of batches that no resumed run repeats.
        return keras.Model.fit(
            self, batches, callbacks=callbacks, shuffle=False, **common
        )

    def evaluate(self, x=None, y=None, batch_size=None, sample_weight=None, **kwargs):
        """The loss on labelled data, as `keras.Model.evaluate`; arguments are the same.

        For retrieval metrics see `khp.retrieval.evaluate` on what `embed` returns.
        """
        inside_fit = kwargs.get("_use_cached_eval_dataset", False)
        batches = (
            None
            if inside_fit
            else self._own_batches(x, y, sample_weight, batch_size, shuffle=False)
        )
        if batches is not None:
            return keras.Model.evaluate(self, batches, **kwargs)
        if inside_fit:
            return keras.Model.evaluate(
                self, x, y, batch_size, sample_weight=sample_weight, **kwargs
            )
        return super().evaluate(
            x, y, batch_size, sample_weight=sample_weight, **kwargs
        )

    def predict(self, x, batch_size=None, **kwargs):
        """The model's output, as `keras.Model.predict`; arguments are the same."""
        batches = self._own_batches(x, None, None, batch_size, shuffle=False)
        if batches is None:
            return super().predict(x, batch_size=batch_size, **kwargs)
        return keras.Model.predict(self, batches, **kwargs)

    def embed(self, x, batch_size=128, verbose=0):
        """Embeds inputs.

        Args:
            x: inputs `(n, ...)`: arrays (a list or dict of them for several
                inputs), the `images` of a `khp.datasets.RetrievalDataset`, a
                `keras.utils.PyDataset` or another dataset that `predict` takes.
            batch_size: int, for arrays.
            verbose: 1 for a progress bar.

        Returns:
            float32 NumPy array `(n, d)`, points of `geometry`.
        """
        points = self.predict(x, batch_size=batch_size, verbose=verbose)
        if self._projection() is None:
            points = self.geometry.project(keras.ops.cast(points, "float32"))
        return np.asarray(keras.ops.convert_to_numpy(points), "float32")

    def _projection(self):
        for layer in self._flatten_layers():
            if isinstance(layer, ProjectToGeometry):
                return layer
        return None

    def _train_only_what_is_read(self, loss):
        """Takes proxies that no loss reads out of training.

        They would get no gradient, at which optimizers raise on some backends, and
        weight decay and regularizers would move them.
        """
        terms = terms_of(loss)
        if not terms:
            return
        read = {
            id(variable)
            for term in terms
            if isinstance(term, ProxyLoss)
            for variable in term.variables_read(term.proxies)
        }
        for layer in self._flatten_layers():
            if isinstance(layer, Proxies):
                for variable in layer.proxy_variables():
                    variable.trainable = layer.trainable and id(variable) in read

    # Data

    def _preprocess(self):
        """A function of a batch's inputs, or None."""
        return None

    def _label_check(self):
        num_classes = [
            term.proxies.num_classes
            for term in terms_of(getattr(self, "loss", None))
            if isinstance(term, ProxyLoss)
        ]
        if not isinstance(getattr(self, "loss", None), EmbeddingLoss):
            return lambda labels: None
        return functools.partial(
            check_labels, num_classes=min(num_classes, default=None)
        )

    def _own_batches(self, x, y, sample_weight, batch_size, shuffle):
        """The data as checked, preprocessed batches; None if Keras must make them."""
        check = self._label_check()
        if not isinstance(x, keras.utils.PyDataset):
            if not is_array_like(x):
                return None
            if y is not None:
                check(y)
            x = ArrayBatches((x, y, sample_weight), batch_size or 32, shuffle)
        return CheckedBatches(x, check, self._preprocess())

    def _validation_batches(self, validation_data, batch_size):
        if isinstance(validation_data, (tuple, list)):
            arrays = keras.utils.unpack_x_y_sample_weight(validation_data)
            batches = self._own_batches(*arrays, batch_size, shuffle=False)
        else:
            batches = self._own_batches(validation_data, None, None, batch_size, False)
        return validation_data if batches is None else batches


def _mean_trackers(terms):
    trackers, names = [], set()
    for term in terms:
        name, copy_number = term.name, 1
        while name in names:
            name, copy_number = f"{term.name}_{copy_number}", copy_number + 1
        names.add(name)
        trackers.append(keras.metrics.Mean(name=name))
    return trackers


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
