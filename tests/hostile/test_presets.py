"""Presets from strangers."""

import functools
import json
import os
import pathlib
import pickle
import re
import shutil
import tempfile

import h5py
import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny
from tests.hostile.cases import refused, right
from tests.hostile.mutations import mutate, settle
from tests.models.test_image_embedder import conv4_embedder

pytestmark = pytest.mark.host
load = khp.models.ImageEmbedder.from_preset
FILES = ("task.json", "task.json", "config.json", "metadata.json")
NUM_MUTATIONS = int(os.environ.get("MUTATIONS", 30))


@functools.cache
def whole():
    """A preset's folder and its weights."""
    keras.utils.set_random_seed(0)
    embedder = conv4_embedder(preprocessor=keras.layers.Rescaling(1.0))
    folder = pathlib.Path(tempfile.mkdtemp(), "preset")
    embedder.save_to_preset(folder)
    return folder, embedder.get_weights()


def preset(folder):
    return pathlib.Path(shutil.copytree(whole()[0], folder / "preset"))


def is_whole(embedder):
    """Nothing in it is untrained."""
    np.testing.assert_equal(embedder.get_weights(), whole()[1])
    return True


def with_config(**values):
    """Loads a preset with other values in its task.json."""

    def action(folder):
        path = preset(folder) / "task.json"
        task = json.loads(path.read_text())
        for key, value in values.items():
            *steps, last = key.split("__")
            node = task
            for step in steps:
                node = node[step]
            node[last] = value
        path.write_text(json.dumps(task))
        return load(path.parent)

    return action


def with_weights(change, file="task.weights.h5"):
    """Loads a preset after a change to its file of weights."""

    def action(folder):
        path = preset(folder) / file
        with h5py.File(path, "a") as opened:
            change(opened)
        return load(path.parent)

    return action


def replaced(file, **options):
    del file["layers/dense/vars/0"]
    file.create_dataset("layers/dense/vars/0", **options)


def linked(link):
    def change(file):
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = link

    return change


def outside(file):
    del file["layers/dense/vars/0"]
    file.create_dataset(
        "layers/dense/vars/0", (32, 8), "f4", external=[("/etc/passwd", 0, 1024)]
    )


def virtual(file):
    del file["layers/dense/vars/0"]
    layout = h5py.VirtualLayout((32, 8), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (32, 8))
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def cyclic(file):
    file["layers/again"] = file["layers"]


def value(number):
    def change(file):
        file["layers/dense/vars/0"][0] = number

    return change


def write(name, content):
    """Loads a preset one of whose files holds other bytes."""

    def action(folder):
        (preset(folder) / name).write_bytes(content)
        return load(folder / "preset")

    return action


def pipe(folder):
    (preset(folder) / "task.json").unlink()
    os.mkfifo(folder / "preset" / "task.json")
    return load(folder / "preset")


def obj(class_name, module="keras.layers", registered_name=None, **config):
    return {
        "class_name": class_name,
        "module": module,
        "registered_name": registered_name,
        "config": config,
    }


def function(name, module="builtins"):
    return {
        "class_name": "function",
        "module": module,
        "config": name,
        "registered_name": name,
    }


PRE = "config__preprocessor"
CASES = [
    right("as it was saved", with_config(), is_whole),
    right("another name", with_config(config__name="mine"), is_whole),
    right("a cycle of groups", with_weights(cyclic), is_whole),
    refused("function", with_config(**{PRE: function("print")}), "task.json.*function"),
    refused(
        "function of os", with_config(**{PRE: function("system", "os")}), "function"
    ),
    refused(
        "function that publishes",
        with_config(**{PRE: function("keras_hub>upload_preset")}),
        "task.json.*function",
    ),
    refused("lambda", with_config(**{PRE: obj("__lambda__", value="x")}), "run code"),
    refused("Lambda", with_config(**{PRE: obj("Lambda", function="x")}), "run code"),
    refused("os.system", with_config(**{PRE: obj("system", "os")}), "not known here"),
    refused("builtins", with_config(**{PRE: obj("eval", "builtins")}), "not known"),
    refused(
        "a function for a class",
        with_config(**{PRE: obj("version", "keras_hub", "keras_hub>version")}),
        "do not agree",
    ),
    refused(
        "another class than it says",
        with_config(
            **{PRE: obj("Rescaling", registered_name="keras_hierproxy>Sphere")}
        ),
        "do not agree",
    ),
    refused("TFSMLayer", with_config(**{PRE: obj("TFSMLayer", filepath="x")}), "code"),
    refused("typespec", with_config(**{PRE: obj("__typespec__")}), "task.json"),
    refused(
        "tensor",
        with_config(config__embedding_dim=obj("__tensor__", value=8)),
        "tensor",
    ),
    refused("class name 3", with_config(**{PRE: obj(3)}), "class by 3"),
    refused(
        "an array of objects",
        with_config(
            **{f"{PRE}__config__scale": obj("__numpy__", value=[1], dtype="object")}
        ),
        "not of numbers",
    ),
    refused(
        "unknown class", with_config(registered_name="mine>Embedder"), "mine>Embedder"
    ),
    refused("no class", with_config(registered_name=None, class_name="X"), "X"),
    refused("text for a bool", with_config(config__last_norm="no"), "last_norm"),
    refused("more classes", with_config(config__num_classes=5), "that of the proxies"),
    refused(
        "no head, and weights of one",
        with_config(config__embedding_dim=None),
        "task.json.*embedding_dim is null, and task.weights.h5 has weights for it",
    ),
    refused(
        "no proxies, and weights of some",
        with_config(config__proxies=None, config__num_classes=None),
        "task.json.*proxies is null",
    ),
    refused("huge head", with_config(config__embedding_dim=10**9), "embedding_dim"),
    refused("large head", with_config(config__embedding_dim=2**14), "does not fit"),
    refused(
        "huge layer",
        with_config(config__backbone__config__layers=[obj("Dense", units=10**7)]),
        "units=10000000",
    ),
    refused("NaN", write("task.json", b'{"config": NaN}'), "task.json.*NaN"),
    refused("deep", write("task.json", b"[" * 10**5), "task.json.*nested"),
    refused("large", write("task.json", b" " * 2**24 + b"{} "), "task.json.*bytes"),
    refused("latin", write("metadata.json", b'{"a": "\xe9"}'), "metadata.json.*utf-8"),
    refused("a named pipe", pipe, "task.json.*not a file"),
    refused("pickle", write("task.weights.h5", pickle.dumps(1)), "is a pickle"),
    refused("zip", write("model.weights.h5", b"PK\x03\x04"), "is a pickle"),
    refused("text", write("model.weights.h5", b"weights"), "no HDF5"),
    refused("soft link", with_weights(linked(h5py.SoftLink("/x"))), "SoftLink"),
    refused(
        "external link",
        with_weights(linked(h5py.ExternalLink("/etc/x.h5", "/x"))),
        "task.weights.h5.*ExternalLink",
    ),
    refused("external storage", with_weights(outside), "in another place"),
    refused("virtual", with_weights(virtual), "in another place"),
    refused("no numbers", with_weights(linked("text")), "no array of numbers"),
    refused(
        "3 GB of nothing",
        with_weights(
            lambda file: replaced(
                file,
                shape=(3 * 2**28,),
                dtype="f4",
                chunks=(2**20,),
                compression="gzip",
            )
        ),
        "task.weights.h5.*3,221,",
    ),
    refused(
        "1 EB of nothing",
        with_weights(lambda file: replaced(file, shape=(2**29, 2**29), dtype="f4")),
        "task.weights.h5",
    ),
    refused("NaN weights", with_weights(value(np.nan)), "NaN or infinite"),
    refused("infinite weights", with_weights(value(np.inf)), "NaN or infinite"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_presets(case, judge):
    judge("presets", case)


@pytest.mark.parametrize("seed", range(NUM_MUTATIONS))
def test_mutated_presets(seed, judge, tmp_path):
    folder = preset(tmp_path)
    name = mutate(folder / FILES[seed % len(FILES)], seed)
    message = re.escape(str(folder))
    settle(judge, "presets", name, lambda: load(folder), message, is_whole)


def test_what_is_loaded_embeds():
    assert load(whole()[0]).embed(tiny.IMAGES).shape == (12, 8)
