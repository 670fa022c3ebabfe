"""Class proxies of which a step reads, and moves, a few."""

import dataclasses
import inspect
import typing

import keras
import numpy as np
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.layers.hier_proxies import HierProxies, replicated
from keras_hierproxy.layers.proxies import Drawn
from keras_hierproxy.layers.row_rules import RULES
from keras_hierproxy.ops import draw_classes, num_replicas, read_rows, write_rows
from keras_hierproxy.ops.class_sampling import position_in
from keras_hierproxy.ops.rows import is_known

# Rows behind the gradients: the rate, and the number of the step that left them.
MARKS = 2
_RATE, _STEP = -2, -1
# Of draws that no training sees: the same each time, and of no effect on others.
_EVALUATION_SEED = 0


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class SampledProxies(HierProxies):
    """Class proxies for very many classes: a step costs what it draws.

    In each step of training, `num_sampled` of the C classes are drawn: those of the
    batch, and others at random, every set of others with the same chance. Losses over
    proxies see these alone, and these alone move: the rest keep still, without decay
    or momentum. What an optimizer keeps of a row, its moments, the layer keeps.

    With P classes in the batch and S drawn, each of the S - P others stands for
    (C - P) / (S - P) classes. With `correction` a softmax adds the logarithm of that
    to their logits, so that its sum over all classes is estimated without bias, and
    Proxy-Anchor weighs them so in its mean over all proxies. Without, the loss is that
    of the drawn classes, as in Partial FC, where negatives count for less.

    Of a regularizer `khp.regularizers.SoftOrthogonality` the penalty of all proxies is
    estimated without bias from those drawn, and is part of the loss.

    The gradient of a step is applied before the next one draws, and before anything
    reads `proxies`: evaluation, saving, `refresh`. The row-wise rules are those of
    `keras.optimizers.Adam`, `AdamW` and `SGD`, whichever trains the proxies, with
    moments that fade while a row is not drawn (`keras_hierproxy/layers/row_rules.py`).
    With `num_sampled=num_classes` loss and updates are those of `Proxies`.

    With `level_sizes` or a taxonomy it is a `HierProxies`, for `HierProxyLoss`, whose
    coarse levels are not sampled.

    An et al., "Killing Two Birds with One Stone: Efficient and Robust Training of Face
    Recognition CNNs by Partial FC", CVPR 2022 (arXiv 2203.15565).

    Args:
        num_classes: int, C.
        num_sampled: int, S, from the classes of a batch to C; 4,096, of which a step
            takes some 10 to 35 ms on two cores in 64 dimensions.
        level_sizes, taxonomy: as of `HierProxies`; by default no coarse levels.
        centers_per_class: int, rows a class.
        initializer: Keras initializer; `"he_normal"` as of `Proxies`.
        regularizer: None, or a `khp.regularizers.SoftOrthogonality`.
        rule: `"adam"`, the default, for Adam and AdamW, which keep two moments a row,
            or `"sgd"` for SGD, which keeps one.
        correction: bool, see above; on by default, since the loss then estimates that
            of all classes, and since retrieval was no worse with it than without.
        seed: int, of what is drawn; by default another each time, or that of
            `keras.utils.set_random_seed`.
        name: str.

    Input shape: `(batch, d)`. Output shape: the same.

    Attributes:
        proxies: variable `(C * centers_per_class, d)`, class-major, not trainable in
            the sense of Keras: no gradient of it is taken. Reading it applies the last
            step, where that was not done yet.

    Raises:
        ValueError: `num_sampled` above C; in `fit`, below the classes of a batch; a
            loss that needs every proxy at once; another optimizer than `rule` says.

    Example:

    >>> inputs = keras.Input((300,))
    >>> x = keras.layers.Dense(64)(inputs)
    >>> x = khp.layers.SampledProxies(num_classes=100_000, num_sampled=1024)(x)
    >>> model = khp.models.EmbeddingModel(inputs, x)
    >>> model.compile("adamw", loss=khp.losses.NormalizedSoftmaxLoss())
    """

    moves_by_rows = True

    def __init__(
        self,
        num_classes,
        num_sampled=4096,
        level_sizes=None,
        taxonomy=None,
        centers_per_class=1,
        initializer="he_normal",
        regularizer=None,
        rule="adam",
        correction=True,
        seed=None,
        name=None,
        **kwargs,
    ):
        levels = {"taxonomy": taxonomy}
        if taxonomy is None or level_sizes is not None:
            levels["level_sizes"] = () if level_sizes is None else level_sizes
        super().__init__(
            num_classes,
            centers_per_class=centers_per_class,
            initializer=initializer,
            regularizer=regularizer,
            name=name,
            **levels,
            **kwargs,
        )
        self.learned = self.learned and bool(self.level_sizes)
        self.num_sampled = _check_num_sampled(num_sampled, self.num_classes)
        self.rule = checks.one_of("rule", rule, tuple(RULES))
        self.correction = checks.flag("correction", correction)
        if not hasattr(self.regularizer, "of_drawn") and self.regularizer is not None:
            raise ValueError(
                "A regularizer of all proxies costs what all of them cost. "
                "`SampledProxies` takes `khp.regularizers.SoftOrthogonality`, which it "
                f"estimates. Received: regularizer={self.regularizer!r}."
            )
        self.seed = seed
        self._random = keras.random.SeedGenerator(seed)
        self._settings = None
        self._training = False
        self._step, self._readers = None, frozenset()

    def _check_level_sizes(self, level_sizes):
        return level_sizes and super()._check_level_sizes(level_sizes)

    def _build_class_proxies(self, dimension):
        rows = self.num_classes * self.centers_per_class
        options = {"trainable": False, "regularized": False, "autocast": False}
        self._table = self._add_proxies("proxies", rows, dimension, **options)
        zeros = keras.initializers.Zeros()
        self._moments = [
            self._add_proxies(f"moment{i}_proxies", rows, dimension, zeros, **options)
            for i in range(RULES[self.rule][1])
        ]
        drawn = self.num_sampled * self.centers_per_class
        # Adds 0 to what is drawn, so that its gradient is theirs. The optimizer leaves
        # it here, with the marks behind it.
        self._gradient = replicated(
            "gradient", (drawn + MARKS, dimension), trainable=True
        )
        self._ids = replicated("ids", (self.num_sampled,), "int32")
        self._ids.assign(np.arange(self.num_sampled))
        # The last step that was applied, of all and of each class.
        self._applied = replicated("applied", ())
        self._moved = replicated("moved", (self.num_classes,))

    @property
    def proxies(self):
        if self.built and is_known(self._gradient):
            self._apply_step()  # in a traced step there is nothing to wait for
        return self._table

    def call(self, embeddings, training=None):
        self._training = bool(training)
        self._step, self._readers = None, frozenset()
        return super().call(embeddings)

    def proxy_variables(self):
        return [self._gradient, *self.coarse_proxies]

    def class_proxies(self):
        raise ValueError(
            f"Layer {self.name!r} draws {self.num_sampled:,} of its "
            f"{self.num_classes:,} classes in each step, and a loss asks for every "
            "proxy at once. Let it read `layer.drawn(labels)`, or use "
            "`khp.layers.Proxies`."
        )

    def check_reader(self, loss):
        reads = getattr(loss, "base", loss)
        if (
            self.correction
            and "counts" not in inspect.signature(reads.value).parameters
        ):
            raise ValueError(
                f"{type(reads).__name__} does not know for how many classes each drawn "
                "proxy stands: give its `value` the argument `counts=None`, or the "
                f"layer {self.name!r} correction=False."
            )

    def follow(self, optimizer):
        """Moves rows as an optimizer says from now on, with moments of 0.

        Args:
            optimizer: `khp.optimizers.RowWise`.

        Raises:
            ValueError: it is another than the layer keeps moments for.
        """
        if optimizer.kind != self.rule:
            names = "Adam or AdamW" if self.rule == "adam" else "SGD"
            raise ValueError(
                f"Layer {self.name!r} keeps the moments of rule={self.rule!r}. "
                f"Received an optimizer of rule={optimizer.kind!r}: pass {names}, or "
                "build the layer with that rule."
            )
        self._apply_step()
        self._settings = dict(optimizer.settings)
        if not ops.convert_to_numpy(self._moved).any():
            return
        _clear(*self._moments, self._gradient, self._applied, self._moved)

    def drawn(self, labels, reader=None):
        """What a loss reads in this step: the classes of its batch, and others.

        All losses that read the layer after one call of it read the same classes; what
        the step before has left is applied first. Outside of training the same ones are
        drawn for the same labels.

        Args:
            labels: int32 `(b,)` in `[0, C)`.
            reader: the loss.

        Returns:
            `Drawn`; its penalty for the first loss alone.

        Raises:
            ValueError: no optimizer says how rows move; replicas of TensorFlow.
        """
        # Called by itself, without the model, a loss begins again.
        again = not self._training and reader in self._readers
        if self._step is not None and not again:
            self._readers |= {reader}
            return self._of_step(labels, None)
        self._check_training()
        self._apply_step()
        self._step, self._readers = self._draw(labels), frozenset([reader])
        return self._of_step(labels, self._step.penalty)

    def _check_training(self):
        if num_replicas() > 1:
            raise ValueError(
                f"Layer {self.name!r} draws classes once for a whole batch, and a "
                f"strategy of TensorFlow splits it among {num_replicas()} replicas. "
                "Train on one device, or on JAX under `keras.distribution`."
            )
        if self._training and self._gradient.trainable and self._settings is None:
            raise ValueError(
                f"No optimizer says how the rows of layer {self.name!r} move. Compile "
                "a `khp.models.EmbeddingModel`, or pass another `keras.Model` the "
                "optimizer `khp.optimizers.grouped(model)`."
            )

    def _draw(self, labels):
        seed = self._random if self._training else _EVALUATION_SEED
        count, total = self.num_sampled, self.num_classes
        if count == total:
            ids = own = ranks = ops.arange(total, dtype="int32")
            num_own = ops.cast(total, "int32")
        else:
            ids, own, ranks, num_own = draw_classes(labels, total, count, seed)
        if self._training:
            self._ids.assign(ids)
        rows = read_rows(self._table, self._rows_of(ids))
        gradient = ops.convert_to_tensor(self._gradient)
        rows = rows + (gradient - ops.stop_gradient(gradient))[:-MARKS]
        if self.centers_per_class > 1:
            rows = ops.reshape(rows, (count, self.centers_per_class, -1))
        counts = penalty = None
        if count < total:
            stand_for = ops.cast(total - num_own, "float32")
            stand_for = ops.divide_no_nan(
                stand_for, ops.cast(count - num_own, "float32")
            )
            is_own = ops.arange(count, dtype="int32") < num_own
            counts = ops.where(is_own, 1.0, stand_for)
        if self.regularizer is not None:
            penalty = self.regularizer.of_drawn(rows, num_own, total)
        counts = counts if self.correction else None
        return _Step(own, ranks, rows, counts, penalty)

    def _of_step(self, labels, penalty):
        step = self._step
        position, is_there = position_in(step.own, labels)
        # NaN for labels that the first loss of this step did not have, and where a
        # batch has more classes than are drawn, of which `fit` tells.
        rows = ops.take(step.ranks, position)
        known = ops.logical_and(is_there, rows < self.num_sampled)
        known = ops.where(ops.all(known), 1.0, float("nan"))
        return Drawn(rows, step.proxies * known, step.counts, penalty)

    def _apply_step(self):
        """Moves the rows of the last step by the gradient that was left of it."""
        if self._settings is None:
            return
        left = ops.stop_gradient(ops.convert_to_tensor(self._gradient))
        rate, step = left[_RATE, 0], left[_STEP, 0]
        pending = ops.not_equal(step, self._applied)
        ids = ops.convert_to_tensor(self._ids)
        row_ids = self._rows_of(ids)
        moved = read_rows(self._moved, ids)
        gap = ops.repeat(ops.maximum(step - moved, 1.0), self.centers_per_class)[
            :, None
        ]
        variables = [self._table, *self._moments]
        before = [read_rows(variable, row_ids) for variable in variables]
        rule = RULES[self.rule][0]
        rows, moments = rule(
            before[0],
            before[1:],
            left[:-MARKS],
            gap,
            rate,
            ops.maximum(step, 1.0),
            self._settings,
        )
        for variable, old, new in zip(variables, before, [rows, *moments], strict=True):
            write_rows(variable, row_ids, ops.where(pending, new, old))
        write_rows(self._moved, ids, ops.where(pending, step, moved))
        self._applied.assign(step)

    def _rows_of(self, ids):
        if self.centers_per_class == 1:
            return ids
        centers = ops.arange(self.centers_per_class, dtype="int32")
        return ops.reshape(ids[:, None] * self.centers_per_class + centers, (-1,))

    def _rows_by_name(self):
        named = super()._rows_by_name()
        rows = self.num_classes * self.centers_per_class
        for i, variable in enumerate(self._moments):
            named[f"moment{i}"] = (variable, rows)
        return {**named, "moved": (self._moved, self.num_classes)}

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["seed"] = ops.convert_to_numpy(self._random.state)

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self._random.state.assign(np.asarray(store["seed"]))
        _clear(self._gradient, self._applied)

    def get_config(self):
        config = super().get_config()
        if not self.level_sizes:
            config.pop("level_sizes")
        return {
            **config,
            "num_sampled": self.num_sampled,
            "rule": self.rule,
            "correction": self.correction,
            "seed": self.seed,
        }


@dataclasses.dataclass(frozen=True)
class _Step:
    """What was drawn: `own`, `ranks` as of `draw_classes`; the rest as of `Drawn`."""

    own: typing.Any
    ranks: typing.Any
    proxies: typing.Any
    counts: typing.Any
    penalty: typing.Any


def _clear(*variables):
    for variable in variables:
        variable.assign(ops.zeros(variable.shape, variable.dtype))


def _check_num_sampled(num_sampled, num_classes):
    num_sampled = checks.integer("num_sampled", num_sampled, least=1)
    if num_sampled > num_classes:
        raise ValueError(
            f"`num_sampled` must be at most the number of classes, {num_classes}: "
            f"`khp.layers.Proxies` trains them all. Received: {num_sampled}."
        )
    return num_sampled
