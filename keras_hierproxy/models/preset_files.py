"""The files of a preset: where they are, and whether they are whole and harmless."""

import functools
import os
import re

import keras

import keras_hierproxy
from keras_hierproxy import json_files, schemas, shipped
from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.models import hub, hugging_face
from keras_hierproxy.models.saved_objects import refuse_code
from keras_hierproxy.models.weight_files import measure

# As keras-hub calls them: `config.json` and its weights are the backbone's, and all
# that is not the backbone's is the task's.
CONFIG_FILE = "config.json"
MODEL_WEIGHTS_FILE = "model.weights.h5"
SHARDED_WEIGHTS_FILE = "model.weights.json"
TASK_CONFIG_FILE = "task.json"
TASK_WEIGHTS_FILE = "task.weights.h5"
PREPROCESSOR_FILE = "preprocessor.json"
IMAGE_CONVERTER_FILE = "image_converter.json"
METADATA_FILE = "metadata.json"

_ADVICE = "Copy or download the preset again."
_HANDLES = ("hf://", "kaggle://", "modelscope://", "gs://")


class PresetFiles:
    """The files of a preset, downloaded when they are asked for.

    Args:
        preset: str or path, as of `ImageEmbedder.from_preset`.

    Attributes:
        name: str, the preset as it was asked for.
        location: str, a folder, a name that keras-hub knows, or a handle.

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
        if os.path.isdir(self.location):
            path = os.path.join(self.location, file)
            return path if os.path.exists(path) else None
        is_hf = self.location.startswith(hugging_face.PREFIX)
        try:
            return (hugging_face if is_hf else hub).get_file(self.location, file)
        except FileNotFoundError as error:
            # It is said, too, of what Hugging Face's client cannot reach, and of what
            # Kaggle does not let this user read.
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

    def read(self, file, schema=dict):
        """What a file of JSON holds, a dict, or None if the preset has none.

        Args:
            file: str, its name.
            schema: as of `json_files.read`.

        Raises:
            ValueError: it is damaged, or holds what would run code when it is loaded.
        """
        path = self.path(file)
        if path is None:
            return None
        content = json_files.read(path, schema, _ADVICE, what=self._called(path))
        refuse_code(content, path)
        return content

    def weights(self, file):
        """The size of the weights in a file that can be opened, or None.

        Raises:
            ValueError: it is damaged, truncated, no HDF5 file, or refers to others.
        """
        path = self.path(file)
        if path is None:
            return None
        return measure(path, functools.partial(self.damaged, path))

    def damaged(self, path, problem):
        """The error of a file that cannot be what was saved."""
        return json_files.DamagedFile(self._called(path), problem, _ADVICE)

    def newer_versions(self):
        """Which versions it was saved with that are newer than those here, in words.

        Returns:
            `(text, major)`: a sentence or `""`, and whether one is newer by so much
            that another format must be expected: by the first number of its version,
            or of keras_hierproxy, whose first is 0, by the second.
        """
        saved = self.read(METADATA_FILE, schemas.PresetMetadata) or {}
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

    def _called(self, path):
        return f"{path} of the preset {self.name!r}"

    def _not_downloaded(self, error):
        known = ""
        check = "Is the handle right, and the model yours to read? "
        if "://" not in self.name:
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
    _refuse_others(name)
    if os.path.isdir(name) or name.startswith(_HANDLES):
        return name
    builtin, advice = (), ""
    try:
        builtin = hub.builtin_presets(f"A name of keras-hub such as {name!r}")
    except ImportError as error:
        advice = f" {error}"
    if name in builtin:
        return name
    close = did_you_mean(name, [*shipped.presets(), *builtin])
    raise ValueError(
        f"There is no preset and no folder {name!r}.{close}{advice} Shipped with "
        f"keras_hierproxy: {_names_shipped()}. Else name a folder, a "
        "preset of keras-hub, or a handle such as 'hf://user/model' or "
        "'kaggle://user/model/keras/variation'. Those of keras-hub are listed by "
        "`keras_hub.models.Backbone.presets`."
    )


def _refuse_others(name):
    """Raises for what else of ours is a folder, and says how it is loaded."""
    if os.path.exists(os.path.join(name, "embeddings.json")):
        raise ValueError(
            f"{name!r} holds embeddings, not a preset. Read them with "
            "`khp.embeddings.load(folder)`."
        )
    if os.path.exists(os.path.join(name, "run.json")):
        raise ValueError(
            f"{name!r} is the folder of a run that has not ended, not a preset: it has "
            "no model.keras yet. End it with `hierproxy train --resume`."
        )
    if os.path.isfile(name):
        raise ValueError(
            f"{name!r} is a file: a preset is a folder. A model is loaded from a file "
            "whose name ends in .keras."
        )


def _names_shipped():
    return ", ".join(sorted(shipped.presets())) or "none"


def versions():
    """Of the packages that decide what a preset's configuration means."""
    found = {
        "keras_hierproxy": keras_hierproxy.__version__,
        "keras": keras.__version__,
        "keras_hub": hub.version(),
    }
    return {package: each for package, each in found.items() if each is not None}


def first_line(error):
    """The first line of an error's text that tells something, for a sentence."""
    # Where Keras tells what it was about to do, the reason comes at the end.
    text = str(error).rpartition("Exception encountered: ")[2].strip()
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if not lines:
        return type(error).__name__
    # A line that only announces the next says nothing by itself.
    told = lines[0]
    for line in lines[1:]:
        if not told.endswith(":"):
            break
        told = f"{told} {line}"
    return told.rstrip(" .")
