"""Reads presets: builds what their files describe, and runs no code out of them."""

import contextlib
import importlib
import inspect
import json
import pathlib
import tempfile

import keras
import keras_hub

# keras-hub picks a task's class by its backbone's; ours takes every backbone.
from keras_hub.src.utils.preset_utils import (
    CONFIG_FILE,
    IMAGE_CONVERTER_CONFIG_FILE,
    METADATA_FILE,
    MODEL_WEIGHTS_FILE,
    SHARDED_MODEL_WEIGHTS_CONFIG_FILE,
    TASK_CONFIG_FILE,
    TASK_WEIGHTS_FILE,
    KerasPresetLoader,
    find_subclass,
    get_preset_loader,
    list_subclasses,
)

import keras_hierproxy
from keras_hierproxy import json_files, schemas, shipped
from keras_hierproxy.files import replacing_folder
from keras_hierproxy.keras_internals import safely
from keras_hierproxy.models import keras_files
from keras_hierproxy.models.preset_files import PresetFiles, first_line, versions
from keras_hierproxy.models.saved_objects import (
    check_finite,
    check_size,
    refuse_code,
)
from keras_hierproxy.models.weight_files import WeightsSize

_OF_KERAS_HUB = ("keras_hub", "keras_nlp", "keras_cv")
_INPUTS_BESIDES_IMAGES = {
    keras_hub.tokenizers.Tokenizer: "text",
    keras_hub.layers.AudioConverter: "sound",
}


def load(task_class, preset, load_weights, **kwargs):
    """The embedder in a preset.

    Args:
        task_class: `ImageEmbedder`, or a subclass.
        preset, load_weights, **kwargs: of `ImageEmbedder.from_preset`.
    """
    _check_arguments(task_class, kwargs)
    saved = _saved_model(preset)
    if saved is not None:
        return _of_saved_model(task_class, saved, load_weights, **kwargs)
    files = PresetFiles(preset)
    with safely():
        config = _config(files)
        task = _own_task(files, task_class)
        if kwargs.get("proxies") is not None:
            kwargs.setdefault("num_classes", kwargs["proxies"].num_classes)
        if task is None:
            embedder = _around_backbone(
                task_class, files, config, load_weights, **kwargs
            )
        else:
            embedder = _whole(task_class, files, task, load_weights, **kwargs)
    if load_weights:
        check_finite(embedder, f"The preset {files.name!r}")
    embedder.pretrained = load_weights
    return embedder


def save(embedder, folder, save_task):
    """Saves an embedder as a preset, unless `load` would refuse it.

    Args:
        embedder: an `ImageEmbedder`.
        folder: path.
        save_task: what writes keras-hub's files, a function of a folder.
    """
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
        save_task(str(unfinished))
        path = unfinished / METADATA_FILE
        metadata = json.loads(path.read_text("utf-8"))
        metadata["keras_hierproxy_version"] = keras_hierproxy.__version__
        path.write_text(json.dumps(metadata, indent=4), "utf-8")


def _saved_model(preset):
    """The `.keras` file of a run, or the path itself if it is one; or None."""
    if isinstance(preset, str) and preset in shipped.presets():
        return None
    path = pathlib.Path(preset)
    if path.suffix == ".keras" and path.is_file():
        return path
    path = path / "model.keras"
    return path if path.is_file() else None


def _of_saved_model(task_class, path, load_weights, **kwargs):
    """The embedder in a `.keras` file, with the arguments of a preset's."""
    embedder = keras_files.load(path)
    if not isinstance(embedder, task_class):
        raise ValueError(
            f"{path} holds a {type(embedder).__name__}, and no {task_class.__name__}. "
            f"Load it with `keras.models.load_model({str(path)!r})`."
        )
    with tempfile.TemporaryDirectory() as folder:
        embedder.save_to_preset(folder)
        return load(task_class, folder, load_weights, **kwargs)


def _whole(task_class, files, task, load_weights, **kwargs):
    """An embedder that `save_to_preset` wrote."""
    if load_weights:
        _check_head(task["config"], **kwargs)
        head = files.weights(TASK_WEIGHTS_FILE)
        if head is None:
            raise _incomplete(files, TASK_WEIGHTS_FILE)
        _, backbone = _backbone_weights(files)
        _check_size(files, TASK_CONFIG_FILE, _network(task), head + backbone)
    with _naming(files, CONFIG_FILE):
        loader = get_preset_loader(files.location)
    try:
        embedder = loader.load_task(task_class, False, False, **kwargs)
    except Exception:
        # Where the file is at fault, not the arguments, it fails without them, too.
        with _naming(files, TASK_CONFIG_FILE):
            loader.load_task(task_class, False, False)
        raise
    if load_weights:
        with _naming(files, TASK_WEIGHTS_FILE):
            embedder.load_task_weights(files.path(TASK_WEIGHTS_FILE))
        _load_backbone_weights(embedder.backbone, files)
    return embedder


def _network(task):
    """What is built when a task is loaded: a preprocessor is when it is called."""
    config = task["config"]
    if "build_config" in str(config["preprocessor"]):
        return task
    return {**task, "config": {**config, "preprocessor": None}}


def _around_backbone(task_class, files, config, load_weights, **kwargs):
    """An embedder with the backbone of a preset of another task, or of none."""
    loader, backbone_class = _check_backbone(files, config)
    if "preprocessor" not in kwargs:
        with _naming(files, IMAGE_CONVERTER_CONFIG_FILE):
            kwargs["preprocessor"] = _image_converter(files, loader, backbone_class)
    backbone_kwargs, kwargs = loader.get_backbone_kwargs(**kwargs)
    # Weights in other formats than Keras's are converted while the backbone is built.
    is_keras = isinstance(loader, KerasPresetLoader)
    if load_weights and is_keras:
        _check_size(files, CONFIG_FILE, config, _backbone_weights(files)[1])
    with _naming(files, CONFIG_FILE):
        backbone = loader.load_backbone(
            backbone_class, load_weights and not is_keras, **backbone_kwargs
        )
    embedder = task_class(backbone=backbone, **kwargs)
    if load_weights and is_keras:
        _load_backbone_weights(backbone, files)
    return embedder


def _load_backbone_weights(backbone, files):
    file, _ = _backbone_weights(files)
    with _naming(files, file):
        backbone.load_weights(files.path(file))


def _backbone_weights(files):
    """The file of a backbone's weights, and their `WeightsSize`."""
    size = files.weights(MODEL_WEIGHTS_FILE)
    if size is not None:
        return MODEL_WEIGHTS_FILE, size
    file = SHARDED_MODEL_WEIGHTS_CONFIG_FILE
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


def _own_task(files, task_class):
    """What `task.json` holds if it is of an `ImageEmbedder`, or None."""
    task = files.read(TASK_CONFIG_FILE, schemas.Serialized)
    if task is None:
        if "keras_hierproxy_version" in (files.read(METADATA_FILE) or {}):
            raise _incomplete(files, TASK_CONFIG_FILE)
        return None
    path = files.path(TASK_CONFIG_FILE)
    name = task["registered_name"] or task["class_name"]
    found = keras.saving.get_registered_object(name)
    if isinstance(found, type) and issubclass(found, task_class):
        if files.newer_versions()[1]:
            raise _unreadable(files, TASK_CONFIG_FILE, "its format may be another")
        with _naming(files, TASK_CONFIG_FILE):
            json_files.check(task["config"], path, schemas.EmbedderConfig)
        return task
    if isinstance(found, type) and issubclass(found, keras_hub.models.Task):
        is_ours = issubclass(task_class, found)
    else:
        # keras-hub may have it in another version; its backbone is all that is read.
        is_ours = not name.startswith(_OF_KERAS_HUB)
    # Else it would become an embedder with a head that has learned nothing.
    if is_ours:
        raise _unreadable(
            files, TASK_CONFIG_FILE, f"{name} is no {task_class.__name__}"
        )
    return None


def _check_backbone(files, config):
    """The loader and the class of a backbone, if it is one of images."""
    if "registered_name" in config:  # in Keras's format
        path = files.path(CONFIG_FILE)
        with _naming(files, CONFIG_FILE):
            json_files.check(config, path, schemas.Serialized)
    name = str(config.get("registered_name"))
    if name.startswith("keras_cv"):
        _import_keras_cv(files, name)
    with _naming(files, CONFIG_FILE):
        loader = get_preset_loader(files.location)
        backbone_class = loader.check_backbone_class()
    if not (
        isinstance(backbone_class, type) and issubclass(backbone_class, keras.Model)
    ):
        raise ValueError(
            f"The preset {files.name!r} holds a {name}, which is no model: an "
            "`ImageEmbedder` or a backbone of images is needed."
        )
    for kind, inputs in _INPUTS_BESIDES_IMAGES.items():
        if any(each.backbone_cls is backbone_class for each in list_subclasses(kind)):
            raise ValueError(
                f"The preset {files.name!r} holds a {backbone_class.__name__}, which "
                f"takes {inputs}: a backbone that takes images alone is needed, such "
                "as 'vit_base_patch16_224_imagenet'."
            )
    return loader, backbone_class


def _import_keras_cv(files, name):
    """Registers keras-cv's classes."""
    if name.endswith(">ResNetV2Backbone"):
        raise ValueError(
            f"The preset {files.name!r} holds keras-cv's ResNetV2Backbone, which "
            "cannot be built on Keras 3.15. Take its ResNetBackbone, or keras-hub's."
        )
    try:
        importlib.import_module("keras_cv")
    except ImportError as error:
        raise ImportError(
            f"The preset {files.name!r} holds a backbone of keras-cv. Install it with "
            "`pip install 'keras-hierproxy[keras-cv]'`."
        ) from error


def _image_converter(files, loader, backbone_class):
    """What a preset does to images before its backbone, or None."""
    if isinstance(loader, KerasPresetLoader):
        if files.read(IMAGE_CONVERTER_CONFIG_FILE) is None:
            return None
    converter_class = keras_hub.layers.ImageConverter
    try:
        converter_class = find_subclass(files.name, converter_class, backbone_class)
    except ValueError:
        pass  # The backbone has no class of its own: the general one.
    return loader.load_image_converter(converter_class)


def _check_arguments(task_class, kwargs):
    # The last two keras-hub passes on to the backbone.
    known = {*inspect.signature(task_class).parameters, "dtype", "image_shape"}
    unknown = sorted(set(kwargs) - known)
    if unknown or "backbone" in kwargs:
        raise ValueError(
            "`from_preset` takes the arguments of the constructor but `backbone`, "
            f"which is the preset's. Received: {', '.join(unknown or ['backbone'])}."
            + "".join(shipped.did_you_mean(name, known) for name in unknown[:1])
        )


def _check_head(saved, embedding_dim=None, **_):
    if embedding_dim not in (None, saved["embedding_dim"]):
        raise ValueError(
            f"The preset's trained head has embedding_dim={saved['embedding_dim']}. "
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
