"""Reads presets: builds what their files describe, and runs no code out of them."""

import contextlib
import datetime
import inspect
import json
import math
import pathlib
import re
import tempfile

import keras
import numpy as np

from keras_hierproxy import checks, json_files, schemas, shipped
from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.files import replacing_folder
from keras_hierproxy.keras_internals import all_layers, safely
from keras_hierproxy.models import hub, keras_files
from keras_hierproxy.models.preset_files import (
    CONFIG_FILE,
    IMAGE_CONVERTER_FILE,
    METADATA_FILE,
    MODEL_WEIGHTS_FILE,
    PREPROCESSOR_FILE,
    SHARDED_WEIGHTS_FILE,
    TASK_CONFIG_FILE,
    TASK_WEIGHTS_FILE,
    PresetFiles,
    first_line,
    versions,
)
from keras_hierproxy.models.saved_objects import check_finite, check_size, refuse_code
from keras_hierproxy.models.weight_files import WeightsSize, halve, names_of_layers

# Arguments that are the backbone's.
_OF_BACKBONE = ("dtype", "image_shape")
WEIGHTS_DTYPES = ("float32", "float16")
# A policy that holds numbers as they are; others say how they were quantized.
_FLOATS = re.compile(r"(mixed_)?b?float\d+")


def load(embedder_class, preset, load_weights, **kwargs):
    """The embedder in a preset.

    Args:
        embedder_class: `ImageEmbedder`, or a subclass.
        preset, load_weights, **kwargs: of `ImageEmbedder.from_preset`.
    """
    _check_arguments(embedder_class, kwargs)
    saved = _saved_model(preset)
    if saved is not None:
        return _of_saved_model(embedder_class, saved, load_weights, **kwargs)
    files = PresetFiles(preset)
    with safely():
        config = _config(files)
        task = _own_task(files, embedder_class)
        if kwargs.get("proxies") is not None:
            kwargs.setdefault("num_classes", kwargs["proxies"].num_classes)
        if task is None:
            embedder = _around_backbone(
                embedder_class, files, config, load_weights, **kwargs
            )
        else:
            embedder = _whole(embedder_class, files, task, load_weights, **kwargs)
    if load_weights:
        check_finite(embedder, f"The preset {files.name!r}")
    embedder.pretrained = load_weights
    return embedder


def save(embedder, folder, max_shard_size, weights_dtype):
    """Saves an embedder as a preset, unless `load` would refuse it.

    Args:
        embedder: an `ImageEmbedder`.
        folder: path.
        max_shard_size, weights_dtype: as of `ImageEmbedder.save_to_preset`.
    """
    if weights_dtype not in WEIGHTS_DTYPES:
        raise ValueError(
            f"`weights_dtype` must be one of {WEIGHTS_DTYPES}. Received: "
            f"weights_dtype={weights_dtype!r}."
        )
    preprocessor = embedder.preprocessor
    if preprocessor is not None and not isinstance(preprocessor, keras.Layer):
        raise ValueError(
            "A preset holds a preprocessor that is a layer. Received: "
            f"preprocessor={preprocessor!r}; pass a layer that does the same, such as "
            "`keras.layers.Rescaling`, `keras_hub.layers.ImageConverter` or one of "
            "your own that is registered with "
            "`keras.saving.register_keras_serializable`, or save the model by "
            "`embedder.save(path)`."
        )
    refuse_code(keras.saving.serialize_keras_object(embedder), "The embedder")
    with replacing_folder(folder, last=CONFIG_FILE) as unfinished:
        _write(unfinished / TASK_CONFIG_FILE, _saved(embedder))
        embedder.save_task_weights(unfinished / TASK_WEIGHTS_FILE)
        _write(unfinished / CONFIG_FILE, _saved(embedder.backbone))
        _save_backbone_weights(embedder.backbone, unfinished, max_shard_size)
        if preprocessor is not None:
            _save_preprocessor(preprocessor, unfinished)
        if weights_dtype == "float16":
            for file in unfinished.glob("*.weights.h5"):
                halve(file)
        now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
        metadata = {f"{package}_version": each for package, each in versions().items()}
        metadata |= {"parameter_count": embedder.backbone.count_params()}
        metadata |= {"weights_dtype": weights_dtype}
        _write(unfinished / METADATA_FILE, metadata | {"date_saved": now})


def _saved(thing):
    config = keras.saving.serialize_keras_object(thing)
    config.pop("compile_config", None)
    return config


def _write(path, content):
    # Without line ends: a network has some ten thousand lines.
    path.write_text(json.dumps(content), "utf-8")


def _save_backbone_weights(backbone, folder, max_shard_size):
    num_bytes = sum(
        math.prod(variable.shape) * np.dtype("float32").itemsize
        for variable in backbone.variables
    )
    if max_shard_size is None or num_bytes <= max_shard_size * 2**30:
        backbone.save_weights(folder / MODEL_WEIGHTS_FILE)
    else:
        backbone.save_weights(
            folder / SHARDED_WEIGHTS_FILE, max_shard_size=max_shard_size
        )


def _save_preprocessor(preprocessor, folder):
    """The files that keras-hub reads; we take it from the task's."""
    # Those of keras-hub have a file for each kind.
    if hasattr(preprocessor, "save_to_preset"):
        preprocessor.save_to_preset(str(folder))
        return
    _write(folder / PREPROCESSOR_FILE, _saved(preprocessor))
    for layer in all_layers(preprocessor):
        if hasattr(layer, "save_to_preset"):
            layer.save_to_preset(str(folder))


def _saved_model(preset):
    """The `.keras` file of a run, or the path itself if it is one; or None."""
    if isinstance(preset, str) and preset in shipped.presets():
        return None
    path = pathlib.Path(preset)
    if path.suffix == ".keras" and path.is_file():
        return path
    path = path / "model.keras"
    return path if path.is_file() else None


def _of_saved_model(embedder_class, path, load_weights, **kwargs):
    """The embedder in a `.keras` file, with the arguments of a preset's."""
    embedder = keras_files.load(path)
    if not isinstance(embedder, embedder_class):
        raise ValueError(
            f"{path} holds a {type(embedder).__name__}, and no "
            f"{embedder_class.__name__}. Load it by "
            f"`keras.models.load_model({str(path)!r})`."
        )
    with tempfile.TemporaryDirectory() as folder:
        embedder.save_to_preset(folder)
        return load(embedder_class, folder, load_weights, **kwargs)


def _whole(embedder_class, files, task, load_weights, **kwargs):
    """An embedder that `save_to_preset` wrote."""
    if load_weights:
        _check_head(task["config"], **kwargs)
        head = files.weights(TASK_WEIGHTS_FILE)
        if head is None:
            raise _incomplete(files, TASK_WEIGHTS_FILE)
        _check_parts(files, task["config"])
        _, backbone = _backbone_weights(files)
        _check_size(files, TASK_CONFIG_FILE, _network(task), head + backbone)
    try:
        embedder = _built(task, **kwargs)
    except Exception:
        # Where the file is at fault, not the arguments, it fails without them, too.
        with _naming(files, TASK_CONFIG_FILE):
            _built(task)
        raise
    if load_weights:
        _build(embedder.preprocessor, embedder.input_shape)
        with _naming(files, TASK_WEIGHTS_FILE):
            embedder.load_task_weights(
                files.path(TASK_WEIGHTS_FILE), _fresh(embedder, task["config"], kwargs)
            )
        _load_backbone_weights(embedder.backbone, files)
    return embedder


def _check_parts(files, saved):
    """Raises where there are weights of a part that the embedder is said not to have.

    Keras would pass them over, and embed without a head that was trained.
    """
    layers = names_of_layers(files.path(TASK_WEIGHTS_FILE))
    for name, layer in _LAYERS.items():
        if saved[name] is None and any(each.endswith(layer) for each in layers):
            problem = f"{name} is null, and {TASK_WEIGHTS_FILE} has weights for it"
            raise _unreadable(files, TASK_CONFIG_FILE, problem)


# What Keras calls the layers of an embedder's parts in its file of weights; `proxies`
# also ends the names of those derived from `Proxies`.
_LAYERS = {"embedding_dim": "dense", "proxies": "proxies", "latent": "latent_hierarchy"}


def _fresh(embedder, saved, kwargs):
    """The layers of an embedder that a preset has no weights for."""
    head = _has_other_head(saved, kwargs)
    classes = embedder.num_classes != saved["num_classes"]
    is_fresh = {
        "head": head,
        "proxies": head or classes or "proxies" in kwargs,
        "latent": head or "latent" in kwargs,
    }
    layers = [getattr(embedder, name) for name in is_fresh if is_fresh[name]]
    return [layer for layer in layers if layer is not None]


def _has_other_head(saved, kwargs):
    """Whether embeddings have another dimension than a preset's."""
    return kwargs.get("embedding_dim", saved["embedding_dim"]) != saved["embedding_dim"]


def _build(preprocessor, shape):
    """Gives a preprocessor its variables; earlier versions did not save its shape."""
    if isinstance(preprocessor, keras.Layer) and not preprocessor.built:
        # What is wrong with it is told when its weights are loaded.
        with contextlib.suppress(Exception):
            preprocessor.build(shape)


def _network(task):
    """What is built when a task is loaded: a preprocessor is when it is called."""
    config = task["config"]
    if "build_config" in str(config["preprocessor"]):
        return task
    return {**task, "config": {**config, "preprocessor": None}}


def _built(task, **kwargs):
    """The embedder that a configuration describes, with other arguments."""
    kwargs, of_backbone = _split(kwargs)
    backbone = _with_arguments(task["config"]["backbone"], **of_backbone)
    config = {**task["config"], "backbone": backbone}
    if _has_other_head(config, kwargs):
        for name in ("proxies", "latent"):
            # Else they would be built as wide as the preset's.
            config[name] = config[name] and {**config[name], "build_config": None}
    config |= kwargs
    return keras.saving.deserialize_keras_object({**task, "config": config})


def _split(kwargs):
    """Arguments without the backbone's, and these."""
    kwargs = dict(kwargs)
    of_backbone = {name: kwargs.pop(name) for name in _OF_BACKBONE if name in kwargs}
    return kwargs, of_backbone


def _with_arguments(saved, **kwargs):
    """A saved backbone with other arguments; keras-hub's have the policy of here."""
    config = saved["config"]
    if "layers" in config:
        # Keras's own models have no such arguments, and would pass them over.
        if "image_shape" in kwargs:
            config = _for_images(config, kwargs["image_shape"])
        if kwargs.get("dtype") is not None:
            policy = keras.dtype_policies.get(kwargs["dtype"]).name
            layers = [_with_policy(each, policy) for each in config["layers"]]
            config = {**config, "layers": layers}
        return {**saved, "config": config}
    if not _holds_floats(config):
        kwargs["dtype"] = config.get("dtype")
    return {**saved, "config": {**config, **kwargs}}


def _with_policy(layer, policy):
    """The configuration of a layer of a functional model in another policy."""
    config = layer["config"]
    if "batch_shape" in config or not _holds_floats(config):
        return layer
    return {**layer, "config": {**config, "dtype": policy}}


def _holds_floats(config):
    """Whether a layer's policy says no more than in which floats it computes."""
    policy = config.get("dtype")
    name = policy.get("config", {}).get("name") if isinstance(policy, dict) else ""
    return bool(_FLOATS.fullmatch(str(name)))


def _for_images(config, shape):
    """The configuration of a functional or sequential model for images of a shape."""
    layers = list(config["layers"])
    (place,) = (i for i, each in enumerate(layers) if "batch_shape" in each["config"])
    inputs = layers[place]["config"]
    batch, *saved = inputs["batch_shape"]
    fits = isinstance(shape, list | tuple) and len(shape) == len(saved)
    if not fits or shape[-1] != saved[-1]:
        raise ValueError(
            "`image_shape` must be (height, width, channels), None for any height or "
            f"width, with the preset's {saved[-1]} channels. Received: "
            f"image_shape={shape!r}."
        )
    for side in shape[:-1]:
        if side is not None:
            checks.integer("image_shape", side, least=1)
    layers[place] = {
        **layers[place],
        "config": {**inputs, "batch_shape": [batch, *shape]},
    }
    return {**config, "layers": layers}


def _around_backbone(embedder_class, files, config, load_weights, **kwargs):
    """An embedder with the backbone of a preset of another task, or of none."""
    kwargs, of_backbone = _split(kwargs)
    if "registered_name" in config:
        _check_backbone_of_keras(files, config)
        if "preprocessor" not in kwargs:
            kwargs["preprocessor"] = _image_converter(files)
        if load_weights:
            _check_size(files, CONFIG_FILE, config, _backbone_weights(files)[1])
        with _naming(files, CONFIG_FILE):
            backbone = keras.saving.deserialize_keras_object(
                _with_arguments(config, **of_backbone)
            )
        embedder = embedder_class(backbone=backbone, **kwargs)
        if load_weights:
            _load_backbone_weights(backbone, files)
        return embedder
    # Weights in other formats than Keras's are converted while the backbone is built.
    with _naming(files, CONFIG_FILE):
        converter = hub.Converter(files.location)
    _check_inputs(files, converter.backbone_class)
    with _naming(files, CONFIG_FILE):
        if "preprocessor" not in kwargs:
            kwargs["preprocessor"] = converter.image_converter()
        backbone = converter.backbone(load_weights, **of_backbone)
    return embedder_class(backbone=backbone, **kwargs)


def _load_backbone_weights(backbone, files):
    file, _ = _backbone_weights(files)
    with _naming(files, file):
        backbone.load_weights(files.path(file))


def _backbone_weights(files):
    """The file of a backbone's weights, and their `WeightsSize`."""
    size = files.weights(MODEL_WEIGHTS_FILE)
    if size is not None:
        return MODEL_WEIGHTS_FILE, size
    file = SHARDED_WEIGHTS_FILE
    shards = files.read(file, schemas.ShardedWeights)
    if shards is None:
        raise _incomplete(files, MODEL_WEIGHTS_FILE)
    size = WeightsSize(0, 0)
    for shard in sorted(set(keras.tree.flatten(shards["weight_map"]))):
        part = files.weights(shard)
        if part is None:
            raise _incomplete(files, shard)
        size += part
    return file, size


def _check_size(files, file, config, weights):
    with _naming(files, file):
        check_size(config, weights, files.path(file))


def _config(files):
    """What `config.json` holds."""
    config = files.read(CONFIG_FILE)
    if config is None:
        raise ValueError(
            f"There is no preset at {files.name!r}: no {CONFIG_FILE}. Name the "
            "folder of one, or the handle of a model of Keras, Transformers or timm. "
            "`save_to_preset` writes such folders."
        )
    return config


def _own_task(files, embedder_class):
    """What `task.json` holds if it is of an `ImageEmbedder`, or None."""
    task = files.read(TASK_CONFIG_FILE, schemas.Serialized)
    if task is None:
        if "keras_hierproxy_version" in (files.read(METADATA_FILE) or {}):
            raise _incomplete(files, TASK_CONFIG_FILE)
        return None
    path = files.path(TASK_CONFIG_FILE)
    name = task["registered_name"] or task["class_name"]
    found = keras.saving.get_registered_object(name)
    if isinstance(found, type) and issubclass(found, embedder_class):
        if files.newer_versions()[1]:
            raise _unreadable(files, TASK_CONFIG_FILE, "its format may be another")
        with _naming(files, TASK_CONFIG_FILE):
            json_files.check(task["config"], path, schemas.EmbedderConfig)
        return task
    if hub.is_task(found):
        is_ours = False
    else:
        # keras-hub may have it in another version; its backbone is all that is read.
        is_ours = not name.startswith((*hub.PACKAGES, "keras_cv"))
    # Else it would become an embedder with a head that has learned nothing.
    if is_ours:
        raise _unreadable(
            files, TASK_CONFIG_FILE, f"{name} is no {embedder_class.__name__}"
        )
    return None


def _check_backbone_of_keras(files, config):
    """Raises unless a configuration in Keras's format is of a backbone of images."""
    path = files.path(CONFIG_FILE)
    with _naming(files, CONFIG_FILE):
        json_files.check(config, path, schemas.Serialized)
    name = config["registered_name"] or config["class_name"]
    if name.endswith(">ResNetV2Backbone") and name.startswith("keras_cv"):
        raise ValueError(
            f"The preset {files.name!r} holds keras-cv's ResNetV2Backbone, which "
            "cannot be built on Keras 3.15. Take its ResNetBackbone, or keras-hub's."
        )
    found = keras.saving.get_registered_object(name)
    if name in ("Functional", "Sequential"):
        found = keras.Model
    if found is None:
        raise _unreadable(files, CONFIG_FILE, f"{name} is not known here")
    if not (isinstance(found, type) and issubclass(found, keras.Model)):
        raise ValueError(
            f"The preset {files.name!r} holds a {name}, which is no model: an "
            "`ImageEmbedder` or a backbone of images is needed."
        )
    _check_inputs(files, found)


def _check_inputs(files, backbone_class):
    """Raises where a backbone of keras-hub takes other inputs than images."""
    if not backbone_class.__module__.startswith("keras_hub."):
        return
    inputs = hub.inputs_besides_images(backbone_class)
    if inputs is not None:
        raise ValueError(
            f"The preset {files.name!r} holds a {backbone_class.__name__}, which "
            f"takes {inputs}: a backbone that takes images alone is needed, such "
            "as 'vit_base_patch16_224_imagenet'."
        )


def _image_converter(files):
    """What a preset does to images before its backbone, or None."""
    config = files.read(IMAGE_CONVERTER_FILE)
    if config is None:
        return None
    with _naming(files, IMAGE_CONVERTER_FILE):
        return keras.saving.deserialize_keras_object(config)


def _check_arguments(embedder_class, kwargs):
    known = {*inspect.signature(embedder_class).parameters, *_OF_BACKBONE}
    unknown = sorted(set(kwargs) - known)
    if unknown or "backbone" in kwargs:
        raise ValueError(
            "`from_preset` takes the arguments of the constructor but `backbone`, "
            f"which is the preset's. Received: {', '.join(unknown or ['backbone'])}."
            + "".join(did_you_mean(name, known) for name in unknown[:1])
        )


def _check_head(saved, embedding_dim=None, **_):
    trained = saved["embedding_dim"]
    if None not in (embedding_dim, trained) and embedding_dim != trained:
        raise ValueError(
            f"The preset's trained head has embedding_dim={trained}. "
            f"Received: embedding_dim={embedding_dim}. To train a new head, build "
            "`ImageEmbedder(ImageEmbedder.from_preset(preset).backbone, ...)`."
        )


@contextlib.contextmanager
def _naming(files, file):
    """Turns what goes wrong in reading a file into an error that names it."""
    try:
        yield
    except (ConnectionError, ImportError):
        raise
    except Exception as error:
        raise _unreadable(files, file, first_line(error)) from error


def _unreadable(files, file, problem):
    here = ", ".join(f"{package} {each}" for package, each in versions().items())
    newer, _ = files.newer_versions()
    return ValueError(
        f"{files.path(file) or file} of the preset {files.name!r} does not fit what is "
        f"installed ({here}): {problem}."
        f"{newer or ' Copy or download the preset again, or upgrade these packages.'}"
    )


def _incomplete(files, file):
    return ValueError(
        f"The preset {files.name!r} lacks {file}. Copy or download it again."
    )
