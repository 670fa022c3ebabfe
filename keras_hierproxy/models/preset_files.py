"""The files of a preset: where they are, and whether they are whole and harmless."""

import json
import os
import re

import h5py
import keras
import keras_hub
from keras_hub.src.utils.preset_utils import (
    BUILTIN_PRESETS,
    METADATA_FILE,
    get_file,
)

import keras_hierproxy
from keras_hierproxy import shipped

_HANDLES = ("hf://", "kaggle://", "modelscope://", "gs://")
# What deserializing these would run: Python code, a pickle, a graph of TensorFlow.
_RUNS_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer")
_HDF5_BEGINS_WITH = b"\x89HDF\r\n\x1a\n"
# Pickles, and PyTorch's files, zip archives with pickles in them.
_PICKLES_BEGIN_WITH = (b"\x80", b"PK\x03\x04")


class PresetFiles:
    """The files of a preset, downloaded when they are asked for.

    Args:
        preset: str or path, as of `ImageEmbedder.from_preset`.

    Attributes:
        name: str, the preset as it was asked for.
        location: str, what keras-hub finds it by: a folder, one of its names, or a
            handle.

    Raises:
        ValueError: there is no such preset, or a shipped one is damaged.
    """

    def __init__(self, preset):
        self.name = str(preset)
        self.location = _locate(preset)

    def path(self, file):
        """The path of a file on this machine, or None if the preset has none.

        Raises:
            ConnectionError: it could not be downloaded.
        """
        try:
            return get_file(self.location, file)
        except FileNotFoundError as error:
            # keras-hub says so, too, of what Hugging Face's client cannot reach, and
            # of what Kaggle does not let this user read.
            offline = type(error.__cause__).__name__ == "LocalEntryNotFoundError"
            if offline or "not accessible" in str(error):
                raise self._not_downloaded(error.__cause__ or error) from error
            return None
        except Exception as error:
            # Without an error of the network it is about the handle's form, or about
            # a package that is not installed.
            about_call = isinstance(error, ValueError | ImportError)
            if about_call and not isinstance(error.__context__, OSError):
                raise
            raise self._not_downloaded(error) from error

    def read(self, file):
        """What a file of JSON holds, a dict, or None if the preset has none.

        Raises:
            ValueError: it is damaged, or holds what would run code when it is loaded.
        """
        path = self.path(file)
        if path is None:
            return None
        try:
            with open(path, encoding="utf-8") as opened:
                content = json.load(opened)
        except ValueError as error:
            raise self.damaged(path, f"no JSON, {first_line(error)}") from error
        if not isinstance(content, dict):
            raise self.damaged(path, "no JSON object")
        refuse_code(content, path)
        return content

    def weights(self, file):
        """The path of a file of weights that can be opened, or None.

        Raises:
            ValueError: it is damaged, truncated, or no HDF5 file.
        """
        path = self.path(file)
        if path is None:
            return None
        with open(path, "rb") as opened:
            start = opened.read(len(_HDF5_BEGINS_WITH))
        if start.startswith(_PICKLES_BEGIN_WITH):
            raise ValueError(
                f"{path} is a pickle, which can run any code when it is loaded, and "
                "is refused. Weights are HDF5 files, as `save_to_preset` writes them."
            )
        if start != _HDF5_BEGINS_WITH:
            raise self.damaged(path, "no HDF5 file")
        try:
            h5py.File(path).close()
        except OSError as error:
            raise self.damaged(path, first_line(error)) from error
        return path

    def damaged(self, path, problem):
        """The error of a file that cannot be what was saved."""
        return ValueError(
            f"{path} of the preset {self.name!r} is damaged: {problem}. Copy or "
            "download the preset again."
        )

    def newer_versions(self):
        """Which versions it was saved with that are newer than those here, in words.

        Returns:
            `(text, major)`: a sentence or `""`, and whether one is newer by so much
            that another format must be expected: by the first number of its version,
            or of keras_hierproxy, whose first is 0, by the second.
        """
        saved = self.read(METADATA_FILE) or {}
        newer, major = [], False
        for package, version in versions().items():
            there, here = (
                [int(number) for number in re.findall(r"\d+", str(each))[:3]]
                for each in (saved.get(f"{package}_version"), version)
            )
            if there > here:
                newer.append(
                    f"{package} {saved[f'{package}_version']} (here {version})"
                )
                counted = 2 if package == "keras_hierproxy" else 1
                major = major or there[:counted] > here[:counted]
        if not newer:
            return "", False
        return f" It was saved with {', '.join(newer)}: upgrade.", major

    def _not_downloaded(self, error):
        known = ""
        check = "Is the handle right, and the model yours to read? "
        if self.name in BUILTIN_PRESETS:
            known, check = "is known to keras-hub, but ", ""
        return ConnectionError(
            f"The preset {self.name!r} {known}could not be downloaded "
            f"({type(error).__name__}: {first_line(error)}). {check}Is this machine "
            f"online? Shipped with keras_hierproxy, without any download: "
            f"{_names_shipped()}."
        )


def _locate(preset):
    name = str(preset)
    # A path is a folder; a string may be the name of one, too.
    if isinstance(preset, str) and name in shipped.presets():
        return str(shipped.preset_folder(name))
    if os.path.isdir(name) or name in BUILTIN_PRESETS or name.startswith(_HANDLES):
        return name
    close = shipped.did_you_mean(name, [*shipped.presets(), *BUILTIN_PRESETS])
    raise ValueError(
        f"There is no preset and no folder {name!r}.{close} Shipped with "
        f"keras_hierproxy: {_names_shipped()}. Else name a folder, a "
        "preset of keras-hub (`keras_hub.models.Backbone.presets` lists them), or a "
        "handle such as 'hf://user/model' or 'kaggle://user/model/keras/variation'."
    )


def _names_shipped():
    return ", ".join(sorted(shipped.presets())) or "none"


def versions():
    """Of the packages that decide what a preset's configuration means."""
    return {
        "keras_hierproxy": keras_hierproxy.__version__,
        "keras": keras.__version__,
        "keras_hub": keras_hub.__version__,
    }


def first_line(error):
    """The first line of an error's text that tells something, for a sentence."""
    # Where Keras tells what it was about to do, the reason comes at the end.
    text = str(error).rpartition("Exception encountered: ")[2].strip()
    lines = text.splitlines() or [type(error).__name__]
    return lines[0].rstrip(" .")


def refuse_code(config, what):
    """Raises a `ValueError` if a configuration holds what would run code.

    Args:
        config: nested dicts and lists.
        what: str, whose it is, for the error.
    """
    for found in _class_names(config):
        if found in _RUNS_CODE:
            raise ValueError(
                f"{what} holds a {found.strip('_')}, which would run code of its own "
                "when it is loaded. Presets hold layers of Keras, keras-hub and "
                "keras_hierproxy, and classes that are registered with "
                "`keras.saving.register_keras_serializable`: for scaling "
                "`keras.layers.Rescaling` or `keras_hub.layers.ImageConverter`, else "
                "a registered layer in the place of the function."
            )


def _class_names(config):
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config["class_name"]
        for value in config.values():
            yield from _class_names(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _class_names(value)
