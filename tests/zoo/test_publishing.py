"""Presets on their way to the hubs, up to the upload; and opened by keras-hub."""

import pathlib
import shutil
import types

import huggingface_hub
import kagglehub
import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import keras_hub, tiny
from tests.models.test_image_embedder import vision_transformer
from tests.zoo.conftest import CARD

once = pytest.mark.host


@pytest.fixture
def preset(saved, tmp_path):
    return pathlib.Path(shutil.copytree(saved, tmp_path / "preset"))


@pytest.fixture
def hub(monkeypatch):
    """Hugging Face's hub with one new repository: its files, by name."""
    files = {}

    def create_repo(repo_id, exist_ok):
        assert exist_ok
        return types.SimpleNamespace(repo_id=repo_id)

    def upload_file(path_or_fileobj, path_in_repo, repo_id):
        files[path_in_repo] = path_or_fileobj

    def upload_folder(repo_id, folder_path):
        assert repo_id == "someone/reads"
        for file in pathlib.Path(folder_path).iterdir():
            files[file.name] = file.read_bytes()

    def file_exists(repo_id, filename):
        return filename in files

    for function in (create_repo, upload_file, upload_folder, file_exists):
        monkeypatch.setattr(huggingface_hub, function.__name__, function)
    return files


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@once
def test_hugging_face(preset, hub):
    before = contents(preset)
    khp.models.upload_preset("hf://someone/reads", preset)
    assert hub == before and hub["README.md"].decode() == CARD
    assert contents(preset) == before
    # The second time the repository has a card; ours replaces it.
    (preset / "README.md").write_text("# Better")
    khp.models.upload_preset("hf://someone/reads", preset)
    assert hub["README.md"] == b"# Better"


@once
def test_without_a_card(preset, hub):
    (preset / "README.md").unlink()
    khp.models.upload_preset("hf://someone/reads", preset)
    assert b'from_preset("hf://someone/reads")' in hub["README.md"]
    assert not (preset / "README.md").exists()
    # The card of a repository that has one stays.
    hub["README.md"] = b"# Reads"
    khp.models.upload_preset("hf://someone/reads", preset)
    assert hub["README.md"] == b"# Reads"


@once
def test_kaggle(preset, monkeypatch):
    uploaded = {}

    def upload(handle, folder):
        assert handle == "someone/reads/keras/conv4"
        uploaded.update(contents(pathlib.Path(folder)))

    monkeypatch.setattr(kagglehub, "model_upload", upload)
    khp.models.upload_preset("kaggle://someone/reads/keras/conv4", str(preset))
    assert uploaded == contents(preset)
    assert uploaded.keys() > {"config.json", "metadata.json", "README.md"}


@once
def test_nothing_that_cannot_be_loaded_is_published(preset, hub):
    (preset / "task.weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="task.weights.h5"):
        khp.models.upload_preset("hf://someone/reads", preset)
    assert not hub
    with pytest.raises(ValueError, match="no preset and no folder"):
        khp.models.upload_preset("hf://someone/reads", preset / "nowhere")


@once
def test_another_uri(preset):
    with pytest.raises(ValueError, match="uploaded to 'hf://user/model'"):
        khp.models.upload_preset("someone/reads", preset)


def test_keras_hub_opens_our_presets(tmp_path):
    converter = keras_hub.layers.ViTImageConverter(image_size=(16, 16), scale=1 / 255)
    backbone = vision_transformer("ViTBackbone", "mlp_dim")
    embedder = khp.models.ImageEmbedder(backbone, 4, converter, embedding_dim=8)
    embedder.save_to_preset(tmp_path)
    again = keras_hub.models.Backbone.from_preset(str(tmp_path))
    images = tiny.IMAGES / np.float32(255)
    expected = keras.ops.convert_to_numpy(backbone(images))
    actual = keras.ops.convert_to_numpy(again(images))
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    classifier = keras_hub.models.ImageClassifier.from_preset(
        str(tmp_path), num_classes=3
    )
    assert classifier.predict(tiny.IMAGES, verbose=0).shape == (12, 3)
    weights = tiny.values(backbone.weights)
    for path, value in tiny.values(classifier.backbone.weights).items():
        np.testing.assert_array_equal(value, weights[path], err_msg=path)
