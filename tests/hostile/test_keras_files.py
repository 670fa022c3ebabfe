"""`.keras` files from strangers."""

import functools
import io
import json
import os
import pathlib
import re
import tempfile
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras.src.saving.serialization_lib import SafeModeScope

from keras_hierproxy.runs import load_embedder
from tests.hostile.cases import refused, right
from tests.hostile.mutations import mutate, settle
from tests.hostile.test_presets import function, is_whole, obj, whole
from tests.models.test_image_embedder import conv4_embedder

pytestmark = pytest.mark.host
NUM_MUTATIONS = int(os.environ.get("MUTATIONS", 15))


@keras.saving.register_keras_serializable("tests")
def twice(images):
    return images * 2


@functools.cache
def members():
    """What stands in a `.keras` file, by name."""
    keras.utils.set_random_seed(0)
    embedder = conv4_embedder(preprocessor=keras.layers.Rescaling(1.0))
    embedder.set_weights(whole()[1])
    path = pathlib.Path(tempfile.mkdtemp(), "model.keras")
    embedder.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def load(folder, changes=None, compression=zipfile.ZIP_STORED):
    """The model of a file some of whose members are other ones, None for none."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in {**members(), **(changes or {})}.items():
            if content is not None:
                archive.writestr(name, content)
    return load_embedder(path)


def with_members(changes, **options):
    return lambda folder: load(folder, changes, **options)


def with_config(**values):
    def action(folder):
        config = json.loads(members()["config.json"])
        config["config"] |= values
        return load(folder, {"config.json": json.dumps(config)})

    return action


def with_preprocessor(preprocessor):
    # Serialized in the test: Keras imports TensorFlow for it.
    return lambda folder: with_config(
        preprocessor=keras.saving.serialize_keras_object(preprocessor)
    )(folder)


def with_weights(change):
    def action(folder):
        content = io.BytesIO(members()["model.weights.h5"])
        with h5py.File(content, "a") as file:
            change(file)
        return load(folder, {"model.weights.h5": content.getvalue()})

    return action


def unsafe(action):
    """With Keras's global setting that lets code in."""

    def run(folder):
        with SafeModeScope(None):
            keras.config.enable_unsafe_deserialization()
            return action(folder)

    return run


def cut(folder):
    load(folder)
    path = folder / "model.keras"
    path.write_bytes(path.read_bytes()[:-100])
    return load_embedder(path)


def infinite(file):
    file["layers/dense/vars/0"][0] = np.inf


LAMBDA = keras.layers.Lambda(lambda x: x)
CASES = [
    right("as it was saved", with_members({}), is_whole),
    right("a file of an editor", with_members({"metadata.json": "{}"}), is_whole),
    right("compressed", with_members({}, compression=zipfile.ZIP_DEFLATED), is_whole),
    right("a registered function", with_preprocessor(twice), is_whole),
    refused("lambda", with_preprocessor(LAMBDA), "run code"),
    refused("lambda, unsafe", unsafe(with_preprocessor(LAMBDA)), "run code"),
    refused(
        "function of os", with_config(preprocessor=function("system", "os")), "system"
    ),
    refused(
        "function that publishes",
        with_config(preprocessor=function("keras_hub>upload_preset")),
        "not registered",
    ),
    refused("os.system", with_config(preprocessor=obj("system", "os")), "not known"),
    refused("TorchModule", with_config(preprocessor=obj("TorchModuleWrapper")), "code"),
    refused("huge", with_config(embedding_dim=10**9), "config.json.*embedding_dim"),
    refused("no config", with_members({"config.json": None}), "no config.json"),
    refused("no weights", with_members({"model.weights.h5": None}), "no model.weights"),
    refused("a list", with_members({"config.json": "[]"}), "config.json.*object"),
    refused("deep", with_members({"config.json": "[" * 10**5}), "config.json.*nested"),
    refused("NaN", with_members({"config.json": "[NaN]"}), "config.json.*NaN"),
    refused("a pickle", with_members({"model.weights.h5": b"\x80\x04"}), "is a pickle"),
    refused("no HDF5", with_members({"model.weights.h5": b"x"}), "no HDF5"),
    refused("a path", with_members({"../evil": "x"}), r"holds '../evil'"),
    refused("in assets", with_members({"assets/../../evil": "x"}), "holds 'assets"),
    refused("absolute", with_members({"/etc/evil": "x"}), "holds '/etc/evil'"),
    refused("another file", with_members({"run.py": "x"}), "holds 'run.py'"),
    refused(
        "a bomb",
        with_members({"assets/zeros": bytes(2**26)}, compression=zipfile.ZIP_DEFLATED),
        "model.keras.*unpack",
    ),
    refused("cut short", cut, "no complete .keras file"),
    refused("NaN weights", with_weights(infinite), "NaN or infinite"),
    refused(
        "external link",
        with_weights(lambda f: f.__setitem__("x", h5py.ExternalLink("/etc/x", "/"))),
        "ExternalLink",
    ),
    refused(
        "1 EB of nothing",
        with_weights(lambda f: f.create_dataset("x", (2**29, 2**29), "f4")),
        "model.weights.h5",
    ),
    refused(
        "another model",
        with_members({"config.json": json.dumps(obj("Dense", units=2))}),
        "config.json|Dense",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_keras_files(case, judge):
    judge("keras files", case)


@pytest.mark.parametrize("seed", range(NUM_MUTATIONS))
def test_mutated_keras_files(seed, judge, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(members()["config.json"])
    name = mutate(path, seed)
    settle(
        judge,
        "keras files",
        name,
        lambda: load(tmp_path, {"config.json": path.read_bytes()}),
        re.escape(str(tmp_path / "model.keras")),
        is_whole,
    )
