"""A zoo of one little preset, in the place of the shipped one."""

import json
import shutil

import keras
import pytest

import keras_hierproxy as khp
from keras_hierproxy import shipped
from tests.models.test_image_embedder import conv4_embedder

NAME = "hierproxy_tiny"
CARD = f"---\nlicense: apache-2.0\n---\n\n# {NAME}\n\nReads **tiny** images.\n"
FACTS = {
    "method": "HPL",
    "architecture": "Conv-4",
    "data": "noise",
    "image_shape": [16, 16, 3],
    "parameters": 1234567,
    "size": 2345678,
    "recipe": "hierproxy_cnn_glyphs",
    "images_per_second": {"value": 4321, "machine": "1 core"},
    "recall@1": [
        {
            "test_set": "noise",
            "arguments": "--data noise",
            "value": 0.123,
            "mean": 0.12,
            "least": 0.11,
            "most": 0.13,
            "seeds": [0, 1],
        }
    ],
}


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """The preset of an embedder with a preprocessor, and a card."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("presets") / "saved"
    conv4_embedder(preprocessor=keras.layers.Rescaling(1.0)).save_to_preset(folder)
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.fixture
def little_zoo(saved, tmp_path, monkeypatch):
    """The folder of the one preset, `hierproxy_tiny`; recipes are those shipped."""
    zoo = tmp_path / "zoo"
    folder = zoo / "presets" / NAME
    shutil.copytree(saved, folder)
    shutil.copytree(shipped.folder() / "recipes", zoo / "recipes")
    files = {file.name: shipped.sha256(file) for file in folder.iterdir()}
    registry = {"presets": {NAME: {**FACTS, "files": files}}}
    (zoo / shipped.REGISTRY).write_text(json.dumps(registry))
    monkeypatch.setattr(khp.shipped, "folder", lambda: zoo)
    return folder
