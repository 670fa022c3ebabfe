"""Trained models in their files."""

import functools
import hashlib
import pathlib

from keras_hierproxy import shipped
from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.json_files import DamagedFile
from keras_hierproxy.models import ImageEmbedder, keras_files
from keras_hierproxy.models.embedder import Embedder
from keras_hierproxy.models.saved_objects import check_finite
from keras_hierproxy.models.weight_files import measure
from keras_hierproxy.recipes.preset_images import PRETRAINED
from keras_hierproxy.runs.record import ADVICE, read_record


def load_embedder(path):
    """The embedder in a run's folder, a `.keras` file or a preset's folder.

    Args:
        path: of one of these, or else the name of a shipped preset.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or another kind of model.
    """
    path = _place(path)
    try:
        return _load(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(
            f"The model {path} is damaged ({error}). Copy it again."
        ) from error


def _load(path):
    if (path / "model.keras").exists():
        path = path / "model.keras"
    if path.suffix == ".keras" and path.exists():
        model = keras_files.load(path)
        if not isinstance(model, Embedder):
            raise ValueError(
                f"{path} holds a {type(model).__name__}; an `ImageEmbedder` or an "
                "`EmbeddingModel` of images is needed."
            )
        return model
    if (path / "config.json").exists():
        return ImageEmbedder.from_preset(path, num_classes=None)
    raise _nothing_at(path)


def load_weights(embedder, path):
    """Loads the weights that a run has kept, a `pathlib.Path`, into its model.

    Raises:
        ValueError: they are damaged, not finite, or of another model.
    """
    measure(path, functools.partial(DamagedFile, path, advice=ADVICE))
    try:
        embedder.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} is damaged, or of another model ({error}). {ADVICE}"
        ) from error
    check_finite(embedder, str(path))


def check_there(path):
    """Raises a `FileNotFoundError` unless there is something at a model's path."""
    path = _place(path)
    if not path.exists():
        raise _nothing_at(path)


def _nothing_at(path):
    names = shipped.presets()
    return FileNotFoundError(
        f"There is no model at {path}: expected a run's folder with model.keras, a "
        ".keras file, a preset's folder with config.json, or the name of a shipped "
        f"preset.{did_you_mean(path.name, names)} Shipped: "
        f"{', '.join(sorted(names)) or 'none'}."
    )


def _place(path):
    """A path, or the folder of the shipped preset that it is the name of."""
    path = pathlib.Path(path)
    if not path.exists() and str(path) in shipped.presets():
        return shipped.preset_folder(str(path))
    return path


def image_shape_of(embedder, path):
    """The shape in which images are read: the model's own, else that of its training.

    Args:
        embedder: of `load_embedder`.
        path: of the model.

    Returns:
        `(height, width, channels)`.
    """
    *size, channels = embedder.input_shape[1:]
    if None in size:
        record = read_record(path)
        preprocessor = getattr(embedder, "preprocessor", None)
        # Of keras-hub's image converters.
        size = getattr(preprocessor, "image_size", None) or PRETRAINED[:2]
        if record is not None:
            recipe = record.recipe
            side = recipe.data.image_size
            size = (recipe.image_shape or (side, side))[:2]
            size = [each or PRETRAINED[0] for each in size]
    return (*size, channels)


def check_images(data, embedder):
    """Raises where images do not fit; sizes only where nothing resizes them."""
    expected, received = embedder.input_shape[1:], data.images.shape[1:]
    if getattr(embedder, "preprocessor", None) is not None:
        expected = (None, None, expected[-1])
    if len(expected) != 3 or any(
        e not in (None, r) for e, r in zip(expected, received, strict=True)
    ):
        square = len(expected) == 3 and expected == (*expected[:1] * 2, received[-1])
        raise ValueError(
            f"The model takes images of shape {embedder.input_shape[1:]}; those of "
            f"{data.name!r} have shape {received}."
            + (f" Pass image_size={expected[0]}." if square else "")
        )


def model_sha256(path):
    """SHA-256 of a model's file, or of what `sha256sum` says of a preset's files."""
    path = _place(path)
    if (path / "model.keras").exists():
        path = path / "model.keras"
    if path.is_file():
        return shipped.sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    sums = [
        f"{shipped.sha256(file)}  {file.relative_to(path).as_posix()}\n"
        for file in files
    ]
    return hashlib.sha256("".join(sums).encode()).hexdigest()
