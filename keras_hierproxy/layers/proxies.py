"""Class proxies as a layer."""

import dataclasses
import math
import typing

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.layers.large_tables import (
    fill,
    in_parts,
    is_large,
    store_rows,
    stored_parts,
    stored_shape,
)
from keras_hierproxy.layers.scoped_call import note_call


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What a loss reads of the class proxies in one step.

    Attributes:
        labels: int32 `(b,)`, rows of `proxies`.
        proxies: `(c, d)`, or `(c, k, d)` with k centers a class.
        counts: float32 `(c,)`, for how many classes each stands; None for one each.
        penalty: scalar, what the loss adds to its value, or None.
    """

    labels: typing.Any
    proxies: typing.Any
    counts: typing.Any = None
    penalty: typing.Any = None


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class Proxies(keras.layers.Layer):
    """Passes embeddings through and owns the trainable proxies of the classes.

    A layer, so that any model that contains one trains, saves, shards and
    reloads its proxies. The losses read `layer.proxies`; only directions matter
    to them. Input, output and proxies are float32 under any dtype policy.

    With `keras.distribution.ModelParallel`, rows of zeros are appended until the
    device mesh divides them; they belong to no class and are never saved.

    Args:
        num_classes: int, C.
        centers_per_class: int, rows a class, next to each other. 1 suits most
            losses; `SoftTripleLoss` and `SubCenterArcFaceLoss` take several.
        initializer: Keras initializer; `"he_normal"` as in Proxy-Anchor, whose
            norms shrink with C as the number of updates a proxy gets does.
        regularizer: Keras regularizer of the proxies, such as
            `khp.regularizers.SoftOrthogonality(...)`.
        name: str.

    Input shape: `(batch, d)`. Output shape: the same.

    Attributes:
        proxies: variable `(C * centers_per_class, d)`, class-major.

    Example:

    >>> inputs = keras.Input((300,))
    >>> x = keras.layers.Dense(64)(inputs)
    >>> outputs = khp.layers.Proxies(num_classes=1000)(x)
    >>> model = khp.models.EmbeddingModel(inputs, outputs)
    >>> model.compile("adamw", loss=khp.losses.ProxyAnchorLoss())
    """

    optimizer_group = "proxies"
    # Whether rows move one by one, as of `read_parts`.
    moves_by_rows = False
    # Whether the user was told what a step costs that moves them all.
    told_of_size = False

    def __init__(
        self,
        num_classes,
        centers_per_class=1,
        initializer="he_normal",
        regularizer=None,
        name=None,
        **kwargs,
    ):
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.num_classes = checks.integer("num_classes", num_classes, least=1)
        self.centers_per_class = checks.integer(
            "centers_per_class", centers_per_class, least=1
        )
        self.initializer = keras.initializers.get(initializer)
        self.regularizer = keras.regularizers.get(regularizer)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(
                f"{type(self).__name__} takes embeddings of shape (batch, dimension). "
                f"Received input shape {tuple(input_shape)}."
            )
        self._build_class_proxies(input_shape[-1])

    def _build_class_proxies(self, dimension):
        rows = self.num_classes * self.centers_per_class
        self.proxies = self._add_proxies("proxies", rows, dimension)

    def call(self, embeddings):
        note_call(self, embeddings)
        return embeddings

    def compute_output_shape(self, input_shape):
        return input_shape

    def class_proxies(self):
        """The proxies as losses take them.

        Returns:
            Tensor `(C, d)`, or `(C, k, d)` with k centers a class.
        """
        rows = _without_padding(self.proxies, self.num_classes * self.centers_per_class)
        if self.centers_per_class == 1:
            return rows
        shape = (self.num_classes, self.centers_per_class, rows.shape[-1])
        return ops.reshape(rows, shape)

    def drawn(self, labels, reader=None):
        """What a loss reads of the class proxies: here all of them.

        Args:
            labels: int32 `(b,)` in `[0, C)`.
            reader: the loss.

        Returns:
            `Drawn`.
        """
        return Drawn(labels, self.class_proxies())

    def check_reader(self, loss):
        """Raises a `ValueError` if a loss over proxies cannot read what is drawn."""

    def proxy_variables(self):
        """The variables that train proxies, those of the classes first."""
        return [self.proxies]

    def _add_proxies(
        self, name, rows, dimension, initializer=None, regularized=True, **options
    ):
        initializer = initializer or self.initializer
        # Of several devices Keras has each draw its own rows.
        if is_large((rows, dimension)) and not keras.distribution.distribution():
            initializer = in_parts(initializer)
        padding = -rows % _shards()
        return self.add_weight(
            name=name,
            shape=(rows + padding, dimension),
            initializer=_Padded(initializer, padding) if padding else initializer,
            regularizer=self.regularizer if regularized else None,
            **options,
        )

    # Variables are stored by name and without padding, so that a model loads on
    # another number of devices.

    def _rows_by_name(self):
        return {"proxies": (self.proxies, self.num_classes * self.centers_per_class)}

    def save_own_variables(self, store):
        for name, (variable, rows) in self._rows_by_name().items():
            store_rows(store, name, variable, rows, self.moves_by_rows)

    def load_own_variables(self, store):
        for name, (variable, rows) in self._rows_by_name().items():
            saved, expected = stored_shape(store, name), (rows, *variable.shape[1:])
            if saved != expected:
                raise ValueError(
                    f"Layer {self.name!r} was saved with {name} of shape "
                    f"{saved} and now has {expected}. Build it with the number "
                    "of classes and levels, and the dimension, it was saved with."
                )
            fill(variable, stored_parts(store, name))

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "centers_per_class": self.centers_per_class,
            "initializer": keras.initializers.serialize(self.initializer),
            "regularizer": keras.regularizers.serialize(self.regularizer),
        }


class _Padded(keras.initializers.Initializer):
    """Draws rows as another initializer does, and appends rows of zeros."""

    def __init__(self, initializer, padding):
        self.initializer = initializer
        self.padding = padding

    def __call__(self, shape, dtype=None):
        rows = self.initializer((shape[0] - self.padding, *shape[1:]), dtype=dtype)
        return ops.pad(rows, ((0, self.padding), (0, 0)))


def _shards():
    """Into how many equal parts rows may have to be cut."""
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, keras.distribution.ModelParallel):
        return 1
    return math.prod(distribution.device_mesh.shape)


def _without_padding(variable, rows):
    return variable if variable.shape[0] == rows else variable[:rows]
