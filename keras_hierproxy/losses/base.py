"""What all losses share: reading labels, embeddings and weights, adding, scaling.

A loss here is a `keras.losses.Loss` that sees the whole batch at once and
returns a scalar. It owns no variables: inside a Keras loss they would never be
trained, and would be lost on save.
"""

import copy

import keras
import numpy as np
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.layers.proxies import Proxies
from keras_hierproxy.layers.scoped_call import check_scope
from keras_hierproxy.ops import between_replicas, gather_replicas, num_replicas


class EmbeddingLoss(keras.losses.Loss):
    """Base of all losses. A child implements `call(labels, embeddings, weights)`.

    Losses add and scale: `ProxyAnchorLoss() + 0.5 * MultiSimilarityLoss()`.

    Args:
        name: str, the name in logs.

    Example:

    A loss of your own that sees the whole batch:

    >>> class ShrinkLoss(khp.losses.EmbeddingLoss):
    ...     def call(self, labels, embeddings, weights):
    ...         return keras.ops.mean(keras.ops.square(embeddings))
    >>> loss = khp.losses.TripletLoss() + 0.1 * ShrinkLoss("shrink")
    >>> [term.name for term in loss.terms]
    ['triplet_loss', 'shrink']
    """

    # Where embeddings must live, for a loss that does not read directions alone.
    required_geometry = None
    # Whether a batch needs two samples of a class for it to learn anything.
    over_pairs = False
    # Whether it is made of losses that are given to it.
    made_of_losses = False

    def __init__(self, name):
        super().__init__(name=name, dtype="float32")

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of a batch.

        Args:
            y_true: int `(b,)` or `(b, 1)`, dense class ids of the finest level.
            y_pred: float `(b, d)`, embeddings; taken as float32 under any policy.
            sample_weight: float `(b,)`, how many times each sample counts: 0 is
                absent, 2 is twice. By default 1. An embedding that is not finite
                makes the loss NaN whatever its weight.

        Returns:
            float32 scalar.
        """
        embeddings = _as_embeddings(y_pred)
        labels = _as_labels(y_true, embeddings)
        weights = _as_weights(sample_weight, labels)
        labels, embeddings, weights = gather_replicas(labels, embeddings, weights)
        batch = _never_empty(labels, embeddings, weights)
        return self.safe_call(*batch) / num_replicas()

    def safe_call(self, labels, embeddings, weights):
        """`call`, and NaN with gradients of NaN where an embedding is not finite.

        Comparisons are false of NaN, and hide it behind the value of a safe case: the
        loss would go on looking plausible while nothing is learned.
        """
        finite = ops.all(ops.isfinite(embeddings))
        value = self.call(labels, embeddings, weights)
        return value * ops.where(finite, 1.0, float("nan"))

    def call(self, labels, embeddings, weights):
        """The loss of one whole batch.

        Args:
            labels: int32 `(b,)`.
            embeddings: float32 `(b, d)`.
            weights: float32 `(b,)`, multiplicities.

        Returns:
            float32 scalar.
        """
        raise NotImplementedError

    def get_config(self):
        return {"name": self.name}

    def __copy__(self):
        # Keras would save and load the loss, and import TensorFlow to do so.
        result = object.__new__(type(self))
        result.__dict__.update(self.__dict__)
        return result

    # Or NumPy's numbers and arrays would multiply it entry by entry.
    __array_ufunc__ = None

    def __add__(self, other):
        return SumLoss([self, other])

    def __radd__(self, other):
        # Python's `sum` begins with 0.
        return self if isinstance(other, int) and other == 0 else SumLoss([other, self])

    def __mul__(self, weight):
        return SumLoss([self], [weight])

    __rmul__ = __mul__


class BoundLoss(EmbeddingLoss):
    """Base of the losses that read a layer of the model, given as `proxies`.

    A child names the layer's class, `layer_class`, and how a model gets one,
    `layer_hint`.

    Args:
        proxies: the layer to read; left out, `compile` of an `EmbeddingModel` or
            `ImageEmbedder` finds the model's own.
        name: str, the name in logs.

    Example:

    >>> loss = khp.losses.HIERLoss()  # Reads a `LatentHierarchy`.
    >>> isinstance(loss, khp.losses.BoundLoss), loss.layer_class.__name__
    (True, 'LatentHierarchy')
    """

    def __init__(self, proxies=None, name=None):
        super().__init__(name)
        if not isinstance(proxies, str | keras.layers.Layer | None):
            raise ValueError(
                f"`proxies` must be a layer of the model, its name, or None. Received: "
                f"{proxies!r}."
            )
        self.proxies = proxies
        # Whether `compile` chose the layer, and may choose another.
        self.bound_by_compile = False

    def get_config(self):
        config = super().get_config()
        if self.proxies is None or self.bound_by_compile:
            return config
        return {**config, "proxies": getattr(self.proxies, "name", self.proxies)}

    def variables_read(self, layer):
        """The variables of `layer` that this loss gives gradients to."""
        return layer.proxy_variables()[:1]

    def check_layer(self, layer):
        """Raises a `ValueError` if the loss cannot read `layer`."""
        if not isinstance(layer, self.layer_class):
            raise ValueError(
                f"{type(self).__name__} needs a `khp.layers."
                f"{self.layer_class.__name__}`. Received: proxies={layer!r}."
            )

    def _layer_of(self, embeddings):
        """The layer to read, beside embeddings that came through it."""
        layer = self._bound_layer()
        check_scope(layer, embeddings, type(self).__name__)
        return layer

    def _bound_layer(self):
        if self.proxies is None or isinstance(self.proxies, str):
            # A plain `keras.Model` that was loaded or cloned has the name alone.
            layer = f"model.get_layer({self.proxies!r})" if self.proxies else "layer"
            raise ValueError(
                f"{type(self).__name__} is not bound to a proxy layer. Pass "
                f"`{type(self).__name__}(proxies={layer})` with the "
                f"`khp.layers.{self.layer_class.__name__}` of your model, or build a "
                "`khp.models.EmbeddingModel`, whose `compile` binds it."
            )
        self.check_layer(self.proxies)
        if not self.proxies.built:
            raise ValueError(
                f"{type(self).__name__} reads the proxies of layer "
                f"{self.proxies.name!r}, which has none yet: call it on embeddings "
                "first."
            )
        return self.proxies


class ProxyLoss(BoundLoss):
    """Base of the losses over a layer's class proxies. A child implements `value`.

    Args:
        proxies: the `khp.layers.Proxies` to read, which must be part of the
            model. Left out, `compile` of an `EmbeddingModel` or `ImageEmbedder`
            finds the model's own; in a plain `keras.Model` it must be given.
            `compile` also takes the layer's name, which is what a saved model
            keeps.
        name: str, the name in logs.

    Example:

    A loss of your own over the proxies of the classes:

    >>> class NearestProxyLoss(khp.losses.ProxyLoss):
    ...     def value(self, labels, embeddings, weights, proxies):
    ...         similarity = khp.ops.cosine_similarity(embeddings, proxies)
    ...         own = khp.ops.at_own(similarity, labels)
    ...         return khp.ops.weighted_mean(1 - own, weights)
    >>> layer = khp.layers.Proxies(num_classes=10)
    >>> embeddings = layer(np.random.normal(size=(32, 16)).astype("float32"))
    >>> loss = NearestProxyLoss(layer, name="nearest_proxy_loss")
    >>> value = loss(np.arange(32) % 10, embeddings)
    """

    layer_class = Proxies
    layer_hint = (
        "End the model with `khp.layers.{layer}(num_classes=...)(embeddings)`; an "
        "`ImageEmbedder` gets one with `num_classes=...`."
    )
    # Centers a class that are usual; from 2 on `value` takes proxies (c, k, d), too.
    centers_per_class = 1

    def call(self, labels, embeddings, weights):
        layer = self._layer_of(embeddings)
        valid = (labels >= 0) & (labels < layer.num_classes)
        # Indexing out of range differs by backend, from a crash to a silent
        # wrong row; a NaN loss is seen on all of them.
        labels = ops.clip(labels, 0, layer.num_classes - 1)
        value = self.layer_value(labels, embeddings, weights, layer)
        return ops.where(ops.all(valid), value, float("nan"))

    def layer_value(self, labels, embeddings, weights, layer):
        """The loss over all that this loss reads of its layer."""
        value, penalty = self.class_value(labels, embeddings, weights, layer)
        return value if penalty is None else value + penalty

    def class_value(self, labels, embeddings, weights, layer):
        """The loss over the class proxies, and what the layer adds to it, or None."""
        drawn = layer.drawn(labels, self)
        counts = {} if drawn.counts is None else {"counts": drawn.counts}
        value = self.value(drawn.labels, embeddings, weights, drawn.proxies, **counts)
        return value, drawn.penalty

    def value(self, labels, embeddings, weights, proxies, counts=None):
        """The loss over one set of proxies.

        Args:
            labels: int32 `(b,)` in `[0, c)`.
            embeddings: float32 `(b, d)`.
            weights: float32 `(b,)`, multiplicities.
            proxies: float32 `(c, d)`; with several centers a class `(c, k, d)`.
            counts: float32 `(c,)`, for how many classes each proxy stands, where
                `khp.layers.SampledProxies` has drawn some of them; None, the default,
                for one each. A loss that does not take it reads such a layer with
                `correction=False`.

        Returns:
            float32 scalar.
        """
        raise NotImplementedError

    def check_layer(self, layer):
        super().check_layer(layer)
        layer.check_reader(self)
        if layer.centers_per_class > 1 and self.centers_per_class == 1:
            from keras_hierproxy.losses import registry

            others = registry.over_proxies().values()
            fit = [each.__name__ for each in others if each.centers_per_class > 1]
            raise ValueError(
                f"{type(self).__name__} reads one proxy a class, but layer "
                f"{layer.name!r} has centers_per_class={layer.centers_per_class}. Use "
                f"{' or '.join(fit)}, or centers_per_class=1."
            )


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class SumLoss(EmbeddingLoss):
    """A weighted sum of losses, `a + 0.5 * b`.

    In an `EmbeddingModel` or `ImageEmbedder` each term is logged under its name,
    before its weight.

    Args:
        terms: list of losses of this package; sums among them are flattened.
        weights: list of floats, by default 1 each.
        name: str.

    Example:

    >>> loss = khp.losses.ProxyAnchorLoss() + 0.5 * khp.losses.MultiSimilarityLoss()
    >>> [term.name for term in loss.terms], loss.weights
    (['proxy_anchor_loss', 'multi_similarity_loss'], [1.0, 0.5])
    """

    made_of_losses = True

    def __init__(self, terms, weights=None, name="sum_loss"):
        super().__init__(name)
        weights = [1.0] * len(terms) if weights is None else weights
        if not terms or len(weights) != len(terms):
            raise ValueError(
                "A sum needs at least one loss and as many weights as losses. "
                f"Received: {len(terms)} losses and {len(weights)} weights."
            )
        self.terms, self.weights = [], []
        for term, weight in zip(terms, weights, strict=True):
            _check_term(term, weight)
            inner = term if isinstance(term, SumLoss) else None
            self.terms += inner.terms if inner else [term]
            scales = inner.weights if inner else [1.0]
            self.weights += [float(weight) * scale for scale in scales]
        # One `keras.metrics.Mean` a term, set by the model that logs them.
        self.trackers = []

    def call(self, labels, embeddings, weights):
        values = [term.safe_call(labels, embeddings, weights) for term in self.terms]
        for tracker, value in zip(self.trackers, values, strict=False):
            tracker.update_state(value, sample_weight=ops.shape(embeddings)[0])
        return sum(w * value for w, value in zip(self.weights, values, strict=True))

    def get_config(self):
        terms = [keras.saving.serialize_keras_object(term) for term in self.terms]
        return {**super().get_config(), "terms": terms, "weights": self.weights}

    @classmethod
    def from_config(cls, config):
        terms = [keras.saving.deserialize_keras_object(t) for t in config["terms"]]
        return cls(**{**config, "terms": terms})

    def with_terms(self, terms):
        """A copy of the sum over other losses, term by term."""
        result = copy.copy(self)
        result.terms = terms
        return result


def _check_term(term, weight):
    if not isinstance(term, EmbeddingLoss):
        raise ValueError(
            "Only losses of keras_hierproxy add up to one loss; they see the whole "
            f"batch, others see a sample at a time. Received: {term!r}. Pass objects, "
            "such as `khp.losses.ProxyAnchorLoss()`; one of your own is a subclass of "
            "`khp.losses.EmbeddingLoss`, with `call(labels, embeddings, weights)`."
        )
    try:
        checks.real("weight", weight, least=0)
    except ValueError as error:
        raise ValueError(
            f"A loss is scaled by a number: {error} It is that of {term.name}."
        ) from None


def _as_embeddings(y_pred):
    embeddings = ops.convert_to_tensor(y_pred)
    if len(embeddings.shape) != 2:
        raise ValueError(
            "Embeddings must have shape (batch, dimension). Received shape "
            f"{tuple(embeddings.shape)}; pool or flatten the model's output first."
        )
    return ops.cast(embeddings, "float32")


def _as_labels(y_true, embeddings):
    if not keras.ops.is_tensor(y_true) and np.asarray(y_true).dtype.kind in "OSU":
        raise ValueError(
            "Labels must be integer class ids. Received names; pass "
            "`np.unique(y, return_inverse=True)[1]`."
        )
    labels = _column_to_vector(ops.convert_to_tensor(y_true))
    if len(labels.shape) != 1:
        raise ValueError(
            "Labels must be class ids of shape (batch,). Received shape "
            f"{tuple(labels.shape)}; for one-hot labels pass `y.argmax(-1)`, for "
            "labels of several levels their first column, `y[:, 0]`."
        )
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if "int" not in dtype and not between_replicas():
        raise ValueError(
            f"Labels must be integer class ids. Received dtype {dtype}; pass "
            "`y.astype('int32')`."
        )
    if _differ(labels.shape[0], embeddings.shape[0]):
        raise ValueError(
            "Labels must be one class id for each embedding. Received "
            f"{labels.shape[0]} labels for {embeddings.shape[0]} embeddings."
        )
    return ops.cast(labels, "int32")


def _never_empty(labels, embeddings, weights):
    """A batch of no sample as one of a sample of weight 0, which is as good as absent.

    Reductions over nothing differ by loss and backend, from NaN to a crash.
    """
    size = embeddings.shape[0]
    if size is not None and size > 0:
        return labels, embeddings, weights
    # A number where it is known: compiled JAX takes no sizes that it computes.
    missing = 1 if size == 0 else ops.maximum(1 - ops.shape(embeddings)[0], 0)
    return (
        ops.concatenate([labels, ops.zeros((missing,), "int32")]),
        ops.concatenate([embeddings, ops.zeros((missing, ops.shape(embeddings)[1]))]),
        ops.concatenate([weights, ops.zeros((missing,))]),
    )


def _as_weights(sample_weight, labels):
    if sample_weight is None:
        return ops.ones(ops.shape(labels), dtype="float32")
    weights = _column_to_vector(ops.convert_to_tensor(sample_weight))
    if len(weights.shape) != 1 or _differ(weights.shape[0], labels.shape[0]):
        raise ValueError(
            "`sample_weight` must be one number a sample, shape (batch,). Received "
            f"shape {tuple(weights.shape)} for {labels.shape[0]} labels."
        )
    return ops.cast(weights, "float32")


def _column_to_vector(x):
    """`(b, 1)` to `(b,)`; anything else as it is."""
    return x[:, 0] if len(x.shape) == 2 and x.shape[1] == 1 else x


def _differ(size, other):
    """Whether two sizes, None where a graph does not know them, cannot be equal."""
    return None not in (size, other) and size != other
