"""The files of the zoo: in `zoo/` of a checkout, inside the package in a wheel.

presets/<name>/      trained embedders, in keras-hub's folder format, with a model card
recipes/<name>.toml  training runs that state every setting
registry.json        what is known of each preset, and the SHA-256 of its files
"""

import hashlib
import pathlib

from keras_hierproxy import json_files

_PACKAGE = pathlib.Path(__file__).resolve().parent
REGISTRY = "registry.json"
_MEND = "Install keras_hierproxy again, or restore zoo/ in a checkout."


def folder():
    """The folder that holds them all."""
    installed = _PACKAGE / "_zoo"
    return installed if installed.is_dir() else _PACKAGE.parent / "zoo"


def presets():
    """What is known of each shipped preset, a dict of dicts by name."""
    from keras_hierproxy import schemas

    return _read_registry(schemas.Registry)


def names():
    """The names of the shipped presets; for those who need no more, without pydantic.

    Returns:
        Sorted list of str.
    """
    return sorted(_read_registry())


def _read_registry(schema=None):
    path = folder() / REGISTRY
    try:
        return dict(json_files.read(path, schema, _MEND)["presets"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The zoo's list {path} cannot be read ({error})") from error


def preset_folder(name):
    """The folder of a shipped preset, after its files were found undamaged.

    Args:
        name: str, of `presets()`.

    Returns:
        `pathlib.Path`.

    Raises:
        ValueError: a file is missing, or is not the one that was shipped.
    """
    path = folder() / "presets" / name
    for file, expected in presets()[name]["files"].items():
        if not (path / file).is_file():
            problem = "is missing"
        elif sha256(path / file) != expected:
            problem = "is not the file that was shipped: its SHA-256 is another"
        else:
            continue
        raise ValueError(
            f"The shipped preset {name!r} is damaged: {path / file} {problem}. {_MEND}"
        )
    return path


def sha256(path):
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
