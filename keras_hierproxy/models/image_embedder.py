"""Image embedder: backbone, pooling, head, geometry, proxies."""

import dataclasses
import inspect

import keras

from keras_hierproxy import checks
from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.geometry import Sphere, check_geometry
from keras_hierproxy.keras_internals import RemembersSource, all_layers
from keras_hierproxy.layers import (
    GeneralizedMeanPooling2D,
    HierProxies,
    LatentHierarchy,
    ProjectToGeometry,
    Proxies,
)
from keras_hierproxy.models import hub
from keras_hierproxy.models.cloning import clonable
from keras_hierproxy.models.embedder import Embedder
from keras_hierproxy.models.freezing import freeze
from keras_hierproxy.models.saved_objects import register_classes
from keras_hierproxy.models.saving import refuse_hdf5_config


@dataclasses.dataclass
class _Parts:
    """What an embedder consists of, each in the place where it is used.

    Keras tracks the layers that are attributes of a model, before all others and in
    another order on each backend: these are in its graph already, and the preprocessor
    is no part of what is trained.
    """

    backbone: keras.Model
    preprocessor: object
    head: keras.Layer | None
    proxies: keras.Layer | None
    latent: keras.Layer | None


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class ImageEmbedder(Embedder, RemembersSource, keras.Model):
    """Embeds images: a functional `keras.Model` around any image backbone.

    Images pass through the preprocessor, the backbone, pooling, a dense head (where
    there is one) and the projection to the geometry; the proxies stand at the end, for
    the losses.

    Args:
        backbone: a `keras_hub.models.Backbone`, or any `keras.Model` from images to
            a feature map `(batch, h, w, c)`, tokens `(batch, n, c)` or a vector
            `(batch, c)`: `khp.models.conv4()`, those of `keras.applications`, of
            keras-cv (its ResNet, MobileNetV3, DenseNet, CSPDarkNet, VGG16,
            EfficientNetLite, V1 and V2, YOLOV8 and, with a fixed `input_shape`,
            ViTDet and MiT; its ResNetV2 cannot be built on Keras 3.15). Of a pyramid
            with names for its stages, such as keras-hub's HGNetV2, the last stage is
            taken.
        num_classes: int, classes to train on; None for an embedder without proxies,
            which embeds and trains with losses over pairs.
        preprocessor: layer or function of a batch of images, applied before the
            model by `fit`, `evaluate`, `predict` and `embed`; None for a backbone
            that takes images as they are. A function must be registered
            (`keras.saving.register_keras_serializable`) to be saved with the
            model; presets hold layers only. Images in [0, 1], or in [-1, 1], under
            one that takes [0, 255] get a warning.
        embedding_dim: int, d; 128, which is little to store and to search. None for
            no head: what is pooled is the embedding, and d the backbone's channels.
        pooling: `"avg"`, `"max"`, `"avg_max"` (the sum of both, as in the published
            runs of Proxy-Anchor and HIER with ResNet-50) or `"gem"`
            (`GeneralizedMeanPooling2D`) over a feature map; `"avg"`, `"max"` or
            `"token"` (the first, which is the class token of ViT, DeiT and DINO) over
            tokens. By default `"auto"`: `"avg"` for maps and for tokens of
            keras-hub's backbones without a class token (Swin, ViT with
            `use_class_token=False`), `"token"` for other tokens.
        geometry: `khp.geometry.Sphere()` by default.
        proxies: a `khp.layers.Proxies` or `HierProxies` instead of the default
            `HierProxies(num_classes)`: with a taxonomy, several centers a class, or
            a regularizer.
        latent: a `khp.layers.LatentHierarchy` for `HIERLoss`, or None for none. By
            default `"auto"`: one of 512 latent proxies on a `PoincareBall`, none on
            the sphere.
        last_norm: bool, whether what is pooled passes a layer normalization without
            weights after it, as in the published runs of Proxy-Anchor with
            ResNet-50; False by default, as in most networks.
        head_initializer: of the head's weights, name or initializer; by default
            `"glorot_uniform"`, Keras's own.
        frozen: parts of the backbone that never train: `"patch_embedding"`,
            `"batch_norm"`, or the name of a layer, which stands still with all before
            it; one or a list of them. By default none.
        name: str.

    Input shape: images `(batch, height, width, channels)`, values in [0, 255].
    Output shape: `(batch, embedding_dim)`, float32 points of the geometry.

    Attributes:
        backbone, preprocessor: as given.
        embedding_dim: int, d, also where there is no head.
        head: the dense layer, or None.
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
    >>> history = embedder.fit(
    ...     data.train.batches(128), epochs=1, verbose=0, callbacks=[evaluation]
    ... )
    >>> embedder.embed(data.test.images).shape[1]
    128
    """

    @clonable
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
        # Keras would pass them over in silence.
        unknown = sorted(set(kwargs) - {"trainable"})
        if unknown:
            raise TypeError(
                f"ImageEmbedder() got unexpected arguments: {', '.join(unknown)}."
                + did_you_mean(unknown[0], inspect.signature(ImageEmbedder).parameters)
            )
        inputs = _images(backbone)
        _check_preprocessor(preprocessor)
        if embedding_dim is not None:
            embedding_dim = checks.integer("embedding_dim", embedding_dim, least=1)
        last_norm = checks.flag("last_norm", last_norm)
        head_initializer = keras.initializers.get(head_initializer)
        frozen = freeze(backbone, frozen)
        geometry = check_geometry(geometry)
        proxies = _resolve_proxies(proxies, num_classes)
        latent = _resolve_latent(latent, geometry)

        x = _pool(_features(backbone), pooling, backbone)
        if last_norm:
            # PyTorch's epsilon, with which those who use it train.
            x = keras.layers.LayerNormalization(
                epsilon=1e-5,
                center=False,
                scale=False,
                dtype=_policy(x),
                name="last_norm",
            )(x)
        head = None
        if embedding_dim is not None:
            head = keras.layers.Dense(
                embedding_dim,
                kernel_initializer=head_initializer,
                dtype=_policy(x),
                name="head",
            )
            x = head(x)
        outputs = ProjectToGeometry(geometry, name="projection")(x)
        for layer in (proxies, latent):
            outputs = outputs if layer is None else layer(outputs)
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)
        self.dtype_policy = backbone.dtype_policy
        self._parts = _Parts(backbone, preprocessor, head, proxies, latent)
        self.num_classes = None if proxies is None else proxies.num_classes
        self.embedding_dim = x.shape[-1]
        self.pooling = pooling
        self.last_norm = last_norm
        self.head_initializer = head_initializer
        self.frozen = frozen

    @property
    def backbone(self):
        return self._parts.backbone

    @property
    def preprocessor(self):
        return self._parts.preprocessor

    def __setattr__(self, name, value):
        # No setter of the property: PyTorch's modules take any layer that is assigned
        # for a part of themselves, and look at no property.
        if name == "preprocessor":
            _check_preprocessor(value)
            self._parts.preprocessor = value
        else:
            super().__setattr__(name, value)

    @property
    def head(self):
        return self._parts.head

    @property
    def proxies(self):
        return self._parts.proxies

    @property
    def latent(self):
        return self._parts.latent

    def _init_from_graph(self, source, inputs, outputs, name=None):
        """An embedder over layers of its own that were cloned from another's."""
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.dtype_policy = source.dtype_policy
        layers = {layer.name: layer for layer in self.layers}
        backbone, head, proxies, latent = (
            None if part is None else layers[part.name]
            for part in (source.backbone, source.head, source.proxies, source.latent)
        )
        # The preprocessor is not in the graph, and not trained. What was trained before
        # are the other's weights.
        self._parts = _Parts(backbone, source.preprocessor, head, proxies, latent)
        for setting in ("num_classes", "embedding_dim", "pooling", "last_norm"):
            setattr(self, setting, getattr(source, setting))
        self.head_initializer = source.head_initializer
        self.frozen = source.frozen

    def quantize(self, mode=None, config=None, filters=None, **kwargs):
        """Quantizes the network's weights, as `keras.Model.quantize`.

        The preprocessor and the proxies are left as they are. With `"int8"`, the
        weights of dense layers and of attention become a quarter of their size;
        what is saved afterwards is loaded as it is.

        Args:
            mode, config, filters: as in Keras.
        """
        super().quantize(mode, config=config, filters=filters, **kwargs)

    def _preprocess(self):
        return self.preprocessor

    def _check_inputs(self, x):
        # Keras's own errors name layers of the backbone.
        shape, takes = getattr(x, "shape", None), self.input.shape
        if shape is None or _fits(shape, takes):
            return
        expected = ", ".join("any" if side is None else str(side) for side in takes[1:])
        received = f"Received: shape {tuple(shape)}"
        if self.preprocessor is not None:
            received += ", after the preprocessor"
        raise ValueError(
            f"{self.name!r} takes images of shape (n, {expected}): number, height, "
            f"width, channels. {received}. " + _remedy(shape, takes)
        )

    def get_config(self):
        refuse_hdf5_config()
        return {
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "preprocessor": keras.saving.serialize_keras_object(self.preprocessor),
            "name": self.name,
            "num_classes": self.num_classes,
            "embedding_dim": None if self.head is None else self.embedding_dim,
            "pooling": self.pooling,
            "geometry": keras.saving.serialize_keras_object(self.geometry),
            "proxies": keras.saving.serialize_keras_object(self.proxies),
            "latent": keras.saving.serialize_keras_object(self.latent),
            "last_norm": self.last_norm,
            "head_initializer": keras.initializers.serialize(self.head_initializer),
            "frozen": self.frozen,
            "pretrained": self.pretrained,
            "head_quantization": getattr(self.head, "quantization_mode", None),
        }

    @classmethod
    def from_config(cls, config):
        register_classes(config, "The embedder")
        # Keras takes the entries out of what it is given, and of what is nested in it.
        config = keras.tree.map_structure(lambda leaf: leaf, config)
        pretrained = config.pop("pretrained")
        head_quantization = config.pop("head_quantization", None)
        proxies = config["proxies"]
        if isinstance(proxies, dict):
            if proxies["config"]["num_classes"] != config["num_classes"]:
                config["proxies"] = None
        # Objects where `from_preset` was given them, else what was saved.
        for name in _SERIALIZED:
            if _is_serialized(config[name]):
                config[name] = keras.saving.deserialize_keras_object(config[name])
        embedder = cls(**config)
        embedder.pretrained = pretrained
        if head_quantization is not None and embedder.head is not None:
            embedder.head.quantize(head_quantization)
        return embedder

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """An embedder from a preset: shipped, a folder, of keras-hub, or on a hub.

        A preset that `save_to_preset` wrote, as the shipped ones are, gives the whole
        embedder. If `num_classes` differs from the preset's, or `proxies` are passed,
        the trained backbone and head are kept, embeddings stay the same, and only the
        proxies start anew. A preset without a head, such as
        `"efficientnet_lite0_imagenet"`, gets a new one by `embedding_dim`. Any other
        preset of an image model gives its backbone and, as the preprocessor, its
        resizing and scaling of images; head and proxies are new.

        Loading runs no code of the preset's: Keras's `safe_mode` is on whatever its
        global setting is, `Lambda` layers and pickles are refused. The files of
        shipped presets are compared with their checksums.

        Args:
            preset: a name of `khp.zoo.list_presets()`; the str or `pathlib.Path` of a
                folder; a name of keras-hub, such as
                `"deit_small_distilled_patch16_224_imagenet"`; or a handle:
                `"hf://user/model"` (also of a model of Transformers or timm, as far
                as keras-hub converts it), `"kaggle://user/model/keras/variation"`.
                They are tried in this order; a `pathlib.Path` is always a folder.
            load_weights: bool, False for the architecture alone.
            **kwargs: arguments of the constructor that replace the preset's, such
                as `num_classes` (None for no proxies), `proxies`, `preprocessor`;
                without weights, or where the preset has no head, `embedding_dim`
                (None leaves a head out, and new proxies are as wide as what is
                pooled). `dtype` and `image_shape`, `(height, width, channels)` with
                None for any, are the backbone's.

        Returns:
            An `ImageEmbedder`.

        Raises:
            ValueError: if there is no such preset; if a file is damaged, missing, of
                a newer version or would run code; if it is a preset of another kind
                of model; if its trained head has another `embedding_dim`.
            ConnectionError: if it is known, but could not be downloaded.

        Example:

        >>> for name in khp.zoo.list_presets():  # shipped, no download
        ...     embedder = khp.models.ImageEmbedder.from_preset(name, num_classes=20)
        ...
        """
        # Only for those who load: it checks by pydantic.
        from keras_hierproxy.models import presets

        return presets.load(cls, preset, load_weights, **kwargs)

    def save_to_preset(self, preset_dir, max_shard_size=10, weights_dtype="float32"):
        """Saves the embedder as a preset, a folder that `from_preset` reads.

        The folder is in keras-hub's format: `keras_hub.models.Backbone.from_preset`
        and its image classifiers open those with a backbone of keras-hub. Optimizer
        and loss are not in it; the proxies are. To publish it, put a model card
        (`README.md`) into it and call `khp.models.upload_preset`.

        Args:
            preset_dir: str, the folder.
            max_shard_size: float, GB, above which a backbone's weights are split
                into several files; None for never.
            weights_dtype: `"float32"`, or `"float16"` to store floats in half of the
                space: they are rounded to 11 bits, what is smaller than 3e-8 becomes
                0, and `from_preset` gives float32 again. How little that changes is
                for you to measure.

        Raises:
            ValueError: if `from_preset` would refuse it: the preprocessor is a
                function, or there is a `Lambda` layer; if a weight is too large for
                float16, beyond 65504.
        """
        from keras_hierproxy.models import presets

        presets.save(self, preset_dir, max_shard_size, weights_dtype)

    def save_task_weights(self, filepath):
        """Saves all weights but the backbone's, and no optimizer."""
        # Keras counts a compiled model's optimizer, whose state is larger than it.
        skipped = all_layers(self.backbone)
        if getattr(self, "optimizer", None) is not None:
            skipped.append(self.optimizer)
        keras.saving.save_weights(self, filepath, objects_to_skip=skipped)

    def load_task_weights(self, filepath, fresh=()):
        """Loads what `save_task_weights` wrote, but for layers that start anew.

        Args:
            filepath: str or path.
            fresh: those layers.
        """
        skipped = [*all_layers(self.backbone), *fresh]
        keras.saving.load_weights(self, filepath, objects_to_skip=skipped)


# What `get_config` serializes.
_SERIALIZED = {"backbone", "preprocessor", "geometry", "proxies", "latent"}


def _fits(shape, takes):
    return len(shape) == len(takes) and all(
        None in (side, wanted) or side == wanted
        for side, wanted in zip(shape[1:], takes[1:], strict=True)
    )


def _remedy(shape, takes):
    """How images of one shape are brought to another."""
    if len(shape) != len(takes):
        return (
            "Pass `images[..., None]` for gray images without channels, "
            "`image[None]` for a single one."
        )
    if None not in (shape[3], takes[3]) and shape[3] != takes[3]:
        mode = "grayscale" if takes[3] == 1 else "rgb"
        return f'Load them with `color_mode="{mode}"`.'
    return f"Load them with `image_size={tuple(takes[1:3])}`."


def _is_serialized(value):
    return isinstance(value, dict) and "class_name" in value


def _check_preprocessor(preprocessor):
    if preprocessor is not None and not callable(preprocessor):
        raise ValueError(
            "`preprocessor` must be a layer, a function of a batch of images, or "
            f"None. Received: {preprocessor!r}."
        )


def _resolve_proxies(proxies, num_classes):
    if proxies is None:
        if num_classes is None:
            return None
        return HierProxies(num_classes, name="proxies")
    if not isinstance(proxies, Proxies):
        raise ValueError(
            "`proxies` must be a `khp.layers.Proxies`, such as `HierProxies`, or None. "
            f"Received: proxies={proxies!r}."
        )
    if num_classes not in (None, proxies.num_classes):
        raise ValueError(
            "`num_classes` and `proxies.num_classes` must agree where both are given. "
            f"Received: {num_classes} and {proxies.num_classes}."
        )
    return proxies


def _resolve_latent(latent, geometry):
    if latent is None or isinstance(latent, LatentHierarchy):
        return latent
    if not isinstance(latent, str) or latent != "auto":
        raise ValueError(
            "`latent` must be 'auto', a `khp.layers.LatentHierarchy` or None. "
            f"Received: latent={latent!r}."
        )
    if geometry == Sphere():
        return None
    return LatentHierarchy(geometry=geometry, name="latent")


def _images(backbone):
    """The one input of a backbone; those of keras-hub may hold it in a dict."""
    if not isinstance(backbone, keras.Model) or not hasattr(backbone, "inputs"):
        raise ValueError(
            "`backbone` must be a built `keras.Model` of images, such as "
            "`khp.models.conv4()`. Received: "
            f"backbone={backbone!r}; for a name there is `ImageEmbedder.from_preset`."
        )
    inputs = keras.tree.flatten(backbone.inputs)
    if len(inputs) != 1:
        raise ValueError(
            "An image backbone must have one input, the images. Received: "
            f"{backbone.name!r} with {len(inputs)}: "
            f"{', '.join(each.name for each in inputs)}."
        )
    return inputs[0]


def _features(backbone):
    # A `Sequential` has no input until it is called.
    is_sequential = isinstance(backbone, keras.Sequential)
    features = backbone(backbone.inputs[0] if is_sequential else backbone.input)
    stages = getattr(backbone, "stage_names", None)
    return features[stages[-1]] if stages and isinstance(features, dict) else features


def _pool(features, pooling, backbone):
    choices = {2: (), 3: ("token", "avg", "max"), 4: ("avg", "max", "avg_max", "gem")}
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
    if pooling == "auto":
        pooling = "token" if rank == 3 and _has_class_token(backbone) else "avg"
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
    if rank == 3:
        # A transformer's is that of its images.
        data_format = "channels_last"
    options = {"data_format": data_format, "dtype": _policy(features)}
    if pooling == "avg_max":
        parts = [layers[rank, part](**options)(features) for part in ("avg", "max")]
        return keras.layers.Add(dtype=options["dtype"], name="pooler")(parts)
    return layers[rank, pooling](**options, name="pooler")(features)


def _has_class_token(backbone):
    is_swin = hub.is_a(backbone, "SwinTransformerBackbone")
    return getattr(backbone, "use_class_token", not is_swin)


def _policy(features):
    """The precision of a layer after the backbone: that of what the backbone returns.

    A functional model's own policy is the global one when it is loaded.
    """
    dtype = keras.backend.standardize_dtype(features.dtype)
    return f"mixed_{dtype}" if dtype in ("float16", "bfloat16") else dtype
