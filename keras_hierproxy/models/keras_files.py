"""Models in `.keras` files, which may come from strangers."""

import io
import pathlib
import zipfile
import zlib

import keras

from keras_hierproxy import json_files, schemas
from keras_hierproxy.keras_internals import safely
from keras_hierproxy.models.preset_files import first_line
from keras_hierproxy.models.saved_objects import (
    check_finite,
    check_size,
    refuse_code,
)
from keras_hierproxy.models.weight_files import measure

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = (_CONFIG, _WEIGHTS, "metadata.json")
# Of layers that keep more than numbers.
_ASSETS = "assets/"
# What an archive may unpack to, for each byte it has. Keras compresses nothing.
_MOST_EXPANSION = 20
_ADVICE = "Copy it again."


def load(path):
    """The model in a `.keras` file, not compiled.

    Nothing in the file is run, whatever Keras's global `safe_mode` is: functions and
    classes are those of Keras and those that are registered here. Memory is taken in
    proportion to the file.

    Args:
        path: of the file.

    Returns:
        `keras.Model`.

    Raises:
        ValueError: it is damaged, would run code, names classes that are not
            registered, or holds weights that are NaN.
    """
    path = pathlib.Path(path)
    # Keras says of a file that was cut short that it is not found.
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no complete .keras file. {_ADVICE}")
    try:
        _check(path)
        with safely():
            model = keras.models.load_model(path, compile=False)
    except (json_files.DamagedFile, ImportError, MemoryError):
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise _damaged(path, first_line(error)) from error
    except Exception as error:
        if str(path) in str(error):
            raise
        raise ValueError(
            f"{path} does not fit what is installed (keras {keras.__version__}): "
            f"{first_line(error)}. {_ADVICE}"
        ) from error
    check_finite(model, str(path))
    return model


def _check(path):
    with zipfile.ZipFile(path) as archive:
        _check_members(path, archive)
        what = f"{_CONFIG} of {path}"
        with archive.open(_CONFIG) as file:
            content = file.read(json_files.MOST_BYTES + 1)
        config = json_files.parse(content, what, schemas.Serialized, _ADVICE)
        config.pop("compile_config", None)  # which is not loaded
        refuse_code(config, what, functions=True)
        # Backwards in what is compressed each time would begin anew.
        content = io.BytesIO(archive.read(_WEIGHTS))
        weights = measure(
            f"{_WEIGHTS} of {path}",
            lambda problem: _damaged(path, f"{_WEIGHTS}: {problem}"),
            content,
        )
        check_size(config, weights, what)


def _check_members(path, archive):
    members = archive.infolist()
    names = [member.filename for member in members]
    for name in (_CONFIG, _WEIGHTS):
        if name not in names:
            raise _damaged(path, f"there is no {name} in it")
    for name in names:
        inside = name.startswith(_ASSETS) and ".." not in name.split("/")
        if names.count(name) > 1 or not (name in _MEMBERS or inside):
            raise _damaged(path, f"it holds {name!r}, which no .keras file does")
    num_bytes, unpacked = path.stat().st_size, sum(m.file_size for m in members)
    if unpacked > _MOST_EXPANSION * num_bytes:
        raise _damaged(
            path, f"its {num_bytes:,} bytes would unpack to {unpacked:,}, as no model"
        )


def _damaged(path, problem):
    return json_files.DamagedFile(path, problem, _ADVICE)
