"""Image embedder: backbone, pooling, head, geometry, proxies."""

import keras
import keras_hub

# keras-hub picks a task's class by its backbone's; ours takes every backbone.
from keras_hub.src.utils.preset_utils import get_preset_loader

from keras_hierproxy.layers import (
    GeneralizedMeanPooling2D,
    HierProxies,
    ProjectToGeometry,
)
from keras_hierproxy.models.embedder import Embedder


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class ImageEmbedder(Embedder, keras_hub.models.Task):
    """Embeds images: a `keras_hub.models.Task` over any image backbone.

    Images pass through the preprocessor, the backbone, pooling, a dense head and
    the projection to the geometry; the proxies stand at the end, for the losses.

    Args:
        backbone: a `keras_hub.models.Backbone`, or any `keras.Model` from images to
            a feature map `(batch, h, w, c)`, tokens `(batch, n, c)` or a vector
            `(batch, c)`: `khp.models.conv4()`, those of `keras.applications`.
        num_classes: int, classes to train on; None for an embedder without proxies,
            which embeds and trains with losses over pairs.
        preprocessor: layer or function of a batch of images, applied before the
            model by `fit`, `evaluate`, `predict` and `embed`; None for a backbone
            that takes images as they are.
        embedding_dim: int, d; 128.
        pooling: `"avg"`, `"max"` or `"gem"` (`GeneralizedMeanPooling2D`) over a
            feature map; `"avg"`, `"max"` or `"token"` (the first) over tokens. By
            default `"auto"`: `"avg"` for maps, `"token"` for tokens.
        geometry: `khp.geometry.Sphere()` by default.
        proxies: a `khp.layers.Proxies` or `HierProxies` instead of the default
            `HierProxies(num_classes)`: with a taxonomy, several centers a class, or
            a regularizer.
        name: str.

    Input shape: images `(batch, height, width, channels)`, values in [0, 255].
    Output shape: `(batch, embedding_dim)`, float32 points of the geometry.

    Attributes:
        backbone, preprocessor: as given.
        proxies: the layer of proxies, or None.
        geometry: where the embeddings live.

    Example:

    >>> data = khp.datasets.load("glyphs")
    >>> embedder = khp.models.ImageEmbedder(
    ...     khp.models.conv4(), num_classes=data.train.num_classes
    ... )
    >>> embedder.compile(loss=khp.losses.HierProxyLoss())
    >>> evaluation = khp.callbacks.RetrievalEvaluation(data.validation)
    >>> embedder.fit(data.train.batches(128), epochs=10, callbacks=[evaluation])
    >>> embedder.embed(data.test.images).shape[1]
    128
    """

    def __init__(
        self,
        backbone,
        num_classes=None,
        preprocessor=None,
        embedding_dim=128,
        pooling="auto",
        geometry=None,
        proxies=None,
        name=None,
        **kwargs,
    ):
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.embedding_dim = embedding_dim
        self.pooling = pooling
        self.proxies = _resolve_proxies(proxies, num_classes)
        self.num_classes = None if self.proxies is None else self.proxies.num_classes
        self.pretrained = False
        self.fresh_proxies = False

        inputs = backbone.input
        features = backbone(inputs)
        x = _pool(features, pooling, backbone)
        dtype = backbone.dtype_policy
        x = keras.layers.Dense(embedding_dim, dtype=dtype, name="head")(x)
        outputs = ProjectToGeometry(geometry, name="projection")(x)
        if self.proxies is not None:
            outputs = self.proxies(outputs)
        # Training wants a loss; there is none to compile with by default.
        kwargs.setdefault("compile", False)
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)

    def _preprocess(self):
        return self.preprocessor

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "embedding_dim": self.embedding_dim,
            "pooling": self.pooling,
            "geometry": keras.saving.serialize_keras_object(self.geometry),
            "proxies": keras.saving.serialize_keras_object(self.proxies),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["geometry"] = keras.saving.deserialize_keras_object(config["geometry"])
        # A layer where `from_preset` was given one, else what was saved.
        proxies = config.pop("proxies")
        fresh = not isinstance(proxies, dict)
        if not fresh:
            fresh = proxies["config"]["num_classes"] != config["num_classes"]
            proxies = None if fresh else keras.saving.deserialize_keras_object(proxies)
        embedder = super().from_config({**config, "proxies": proxies})
        embedder.fresh_proxies = fresh
        return embedder

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """An embedder from a preset: a folder, or a name or handle keras-hub knows.

        A preset that `save_to_preset` wrote gives the whole embedder. If
        `num_classes` differs from the preset's, or `proxies` are passed, the trained
        backbone and head are kept and only the proxies start anew. A keras-hub
        preset of an image backbone gives the backbone and its preprocessor; head
        and proxies are new.

        Args:
            preset: str, a folder, a keras-hub name, or a `kaggle://` or `hf://`
                handle.
            load_weights: bool, False for the architecture alone.
            **kwargs: arguments of the constructor that replace the preset's, such
                as `num_classes` (None for no proxies), `proxies`, `embedding_dim`.

        Returns:
            An `ImageEmbedder`.
        """
        loader = get_preset_loader(str(preset))
        loader.check_backbone_class()
        if "proxies" in kwargs:
            kwargs.setdefault("num_classes", kwargs["proxies"].num_classes)
        embedder = loader.load_task(cls, load_weights, load_weights, **kwargs)
        embedder.pretrained = load_weights
        return embedder

    def load_task_weights(self, filepath):
        skipped = list(self.backbone._flatten_layers())
        if self.fresh_proxies and self.proxies is not None:
            skipped.append(self.proxies)
        keras.saving.load_weights(self, filepath, objects_to_skip=skipped)


def _resolve_proxies(proxies, num_classes):
    if proxies is None:
        if num_classes is None:
            return None
        return HierProxies(num_classes, name="proxies")
    if num_classes not in (None, proxies.num_classes):
        raise ValueError(
            "`num_classes` and `proxies.num_classes` must agree where both are given. "
            f"Received: {num_classes} and {proxies.num_classes}."
        )
    return proxies


def _pool(features, pooling, backbone):
    rank = len(getattr(features, "shape", ()))
    if rank == 2:
        return features
    choices = {3: ("token", "avg", "max"), 4: ("avg", "max", "gem")}.get(rank)
    if choices is None:
        raise ValueError(
            "An image backbone must return a feature map (batch, h, w, c), tokens "
            f"(batch, n, c) or a vector (batch, c). Received from {backbone.name!r}: "
            f"{features!r}."
        )
    pooling = choices[0] if pooling == "auto" else pooling
    if pooling not in choices:
        raise ValueError(
            f"`pooling` must be 'auto' or one of {', '.join(map(repr, choices))} for "
            f"features of shape {features.shape}. Received: pooling={pooling!r}."
        )
    if pooling == "token":
        return features[:, 0]
    layers = {
        (3, "avg"): keras.layers.GlobalAveragePooling1D,
        (3, "max"): keras.layers.GlobalMaxPooling1D,
        (4, "avg"): keras.layers.GlobalAveragePooling2D,
        (4, "max"): keras.layers.GlobalMaxPooling2D,
        (4, "gem"): GeneralizedMeanPooling2D,
    }
    data_format = getattr(backbone, "data_format", None)
    return layers[rank, pooling](
        data_format=data_format, dtype=backbone.dtype_policy, name="pooler"
    )(features)
