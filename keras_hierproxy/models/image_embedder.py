"""Image embedder: backbone, pooling, head, geometry, proxies."""

import keras
import keras_hub

# keras-hub picks a task's class by its backbone's; ours takes every backbone.
from keras_hub.src.utils.preset_utils import (
    TASK_CONFIG_FILE,
    check_config_class,
    check_file_exists,
    find_subclass,
    get_preset_loader,
    load_json,
)

from keras_hierproxy.geometry import Sphere, check_geometry
from keras_hierproxy.layers import (
    GeneralizedMeanPooling2D,
    HierProxies,
    LatentHierarchy,
    ProjectToGeometry,
)
from keras_hierproxy.models.embedder import Embedder
from keras_hierproxy.models.freezing import freeze


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
            that takes images as they are. A function must be registered
            (`keras.saving.register_keras_serializable`) to be saved with the
            model; presets hold layers only.
        embedding_dim: int, d; 128.
        pooling: `"avg"`, `"max"` or `"gem"` (`GeneralizedMeanPooling2D`) over a
            feature map; `"avg"`, `"max"` or `"token"` (the first) over tokens. By
            default `"auto"`: `"avg"` for maps, `"token"` for tokens.
        geometry: `khp.geometry.Sphere()` by default.
        proxies: a `khp.layers.Proxies` or `HierProxies` instead of the default
            `HierProxies(num_classes)`: with a taxonomy, several centers a class, or
            a regularizer.
        latent: a `khp.layers.LatentHierarchy` for `HIERLoss`, or None for none. By
            default `"auto"`: one of 512 latent proxies on a `PoincareBall`, none on
            the sphere.
        name: str.

    Input shape: images `(batch, height, width, channels)`, values in [0, 255].
    Output shape: `(batch, embedding_dim)`, float32 points of the geometry.

    Attributes:
        backbone, preprocessor: as given.
        proxies: the layer of proxies, or None.
        latent: the layer of latent proxies, or None.
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
        latent="auto",
        last_norm=False,
        head_initializer="glorot_uniform",
        frozen=(),
        name=None,
        **kwargs,
    ):
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.embedding_dim = embedding_dim
        self.pooling = pooling
        self.last_norm = last_norm
        self.head_initializer = keras.initializers.get(head_initializer)
        self.frozen = freeze(backbone, frozen)
        geometry = check_geometry(geometry)
        self.proxies = _resolve_proxies(proxies, num_classes)
        self.latent = _resolve_latent(latent, geometry)
        self.num_classes = None if self.proxies is None else self.proxies.num_classes
        self.pretrained = False
        self.fresh_layers = []

        inputs = backbone.input
        features = backbone(inputs)
        x = _pool(features, pooling, backbone)
        if last_norm:
            # PyTorch's epsilon, with which those who use it train.
            x = keras.layers.LayerNormalization(
                epsilon=1e-5,
                center=False,
                scale=False,
                dtype=_policy(x),
                name="last_norm",
            )(x)
        x = keras.layers.Dense(
            embedding_dim,
            kernel_initializer=self.head_initializer,
            dtype=_policy(x),
            name="head",
        )(x)
        outputs = ProjectToGeometry(geometry, name="projection")(x)
        for layer in (self.proxies, self.latent):
            outputs = outputs if layer is None else layer(outputs)
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
            "latent": keras.saving.serialize_keras_object(self.latent),
            "last_norm": self.last_norm,
            "head_initializer": keras.initializers.serialize(self.head_initializer),
            "frozen": self.frozen,
            "pretrained": self.pretrained,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        pretrained = config.pop("pretrained")
        proxies = config["proxies"]
        if isinstance(proxies, dict):
            if proxies["config"]["num_classes"] != config["num_classes"]:
                config["proxies"] = None
        # Objects where `from_preset` was given them, else what was saved.
        saved = [name for name, value in config.items() if _is_serialized(value)]
        for name in set(saved) & {"preprocessor", "geometry", "proxies", "latent"}:
            config[name] = keras.saving.deserialize_keras_object(config[name])
        embedder = super().from_config(config)
        embedder.fresh_layers = [
            layer
            for name in ("proxies", "latent")
            if name not in saved and (layer := getattr(embedder, name)) is not None
        ]
        embedder.pretrained = pretrained
        return embedder

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """An embedder from a preset: a folder, or a name or handle keras-hub knows.

        A preset that `save_to_preset` wrote gives the whole embedder. If
        `num_classes` differs from the preset's, or `proxies` are passed, the trained
        backbone and head are kept and only the proxies start anew. Any other preset
        of an image model gives its backbone and, as the preprocessor, its resizing
        and scaling of images; head and proxies are new.

        Args:
            preset: str, a folder, a keras-hub name, or a `kaggle://` or `hf://`
                handle.
            load_weights: bool, False for the architecture alone.
            **kwargs: arguments of the constructor that replace the preset's, such
                as `num_classes` (None for no proxies), `proxies`, `preprocessor`;
                without weights, or where the preset has no head, `embedding_dim`.

        Returns:
            An `ImageEmbedder`.

        Raises:
            ValueError: if there is no such preset, or if its trained head has
                another `embedding_dim`.
        """
        preset = str(preset)
        loader = get_preset_loader(preset)
        saved = _saved_config(preset, cls)
        if saved is None:
            kwargs.setdefault("preprocessor", _image_converter(preset, loader))
        elif load_weights:
            _check_head(saved, **kwargs)
        if kwargs.get("proxies") is not None:
            kwargs.setdefault("num_classes", kwargs["proxies"].num_classes)
        embedder = loader.load_task(cls, load_weights, load_weights, **kwargs)
        embedder.pretrained = load_weights
        return embedder

    def save_to_preset(self, preset_dir, max_shard_size=10):
        """Saves the embedder as a preset, a folder that `from_preset` reads.

        Args:
            preset_dir: str, the folder.
            max_shard_size: float, GB, above which a backbone's weights are split
                into several files.
        """
        preprocessor = self.preprocessor
        if preprocessor is not None and not isinstance(preprocessor, keras.Layer):
            raise ValueError(
                "A preset holds a preprocessor that is a layer. Received: "
                f"preprocessor={preprocessor!r}; wrap it in `keras.layers.Lambda`, or "
                "save the model by `embedder.save(path)`."
            )
        super().save_to_preset(str(preset_dir), max_shard_size)

    def load_task_weights(self, filepath):
        skipped = [*self.backbone._flatten_layers(), *self.fresh_layers]
        keras.saving.load_weights(self, filepath, objects_to_skip=skipped)


def _is_serialized(value):
    return isinstance(value, dict) and "class_name" in value


def _saved_config(preset, task_class):
    """The arguments of the embedder in a preset, or None if it holds none."""
    if not check_file_exists(preset, TASK_CONFIG_FILE):
        return None
    task = load_json(preset, TASK_CONFIG_FILE)
    return task["config"] if issubclass(check_config_class(task), task_class) else None


def _check_head(saved, embedding_dim=None, **_):
    if embedding_dim not in (None, saved["embedding_dim"]):
        raise ValueError(
            f"The preset's trained head has embedding_dim={saved['embedding_dim']}. "
            f"Received: embedding_dim={embedding_dim}. To train a new head, build "
            "`ImageEmbedder(ImageEmbedder.from_preset(preset).backbone, ...)`."
        )


def _image_converter(preset, loader):
    """What a preset does to images before its backbone, or None."""
    converter_class = keras_hub.layers.ImageConverter
    backbone_class = loader.check_backbone_class()
    try:
        converter_class = find_subclass(preset, converter_class, backbone_class)
    except ValueError:
        pass  # The backbone has no class of its own: the general one.
    try:
        return loader.load_image_converter(converter_class)
    except FileNotFoundError:
        return None


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


def _resolve_latent(latent, geometry):
    if not isinstance(latent, str):
        return latent
    if latent != "auto":
        raise ValueError(
            "`latent` must be 'auto', a `khp.layers.LatentHierarchy` or None. "
            f"Received: latent={latent!r}."
        )
    if geometry == Sphere():
        return None
    return LatentHierarchy(geometry=geometry, name="latent")


def _pool(features, pooling, backbone):
    choices = {2: (), 3: ("token", "avg", "max"), 4: ("avg", "max", "gem")}
    rank = len(getattr(features, "shape", ()))
    if rank not in choices:
        raise ValueError(
            "An image backbone must return a feature map (batch, h, w, c), tokens "
            f"(batch, n, c) or a vector (batch, c). Received from {backbone.name!r}: "
            f"{features!r}."
        )
    allowed = ("auto", *choices[rank])
    if pooling not in allowed:
        raise ValueError(
            f"`pooling` must be one of {allowed} for features of shape "
            f"{features.shape}. Received: pooling={pooling!r}."
        )
    if not choices[rank]:
        return features
    pooling = choices[rank][0] if pooling == "auto" else pooling
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
        data_format=data_format, dtype=_policy(features), name="pooler"
    )(features)


def _policy(features):
    """The precision of a layer after the backbone: that of what the backbone returns.

    A functional model's own policy is the global one when it is loaded.
    """
    dtype = keras.backend.standardize_dtype(features.dtype)
    return f"mixed_{dtype}" if dtype in ("float16", "bfloat16") else dtype
