"""Presets that are damaged, foreign, of newer versions, or would run code."""

import json
import pathlib
import pickle
import shutil

import h5py
import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import keras_hub, tiny
from tests.models.test_image_embedder import conv4_embedder, resnet

pytestmark = pytest.mark.host
ImageEmbedder = khp.models.ImageEmbedder


@pytest.fixture
def preset(saved, tmp_path):
    """A copy of an embedder's preset, to be spoilt."""
    return pathlib.Path(shutil.copytree(saved, tmp_path / "preset"))


def change(path, **changes):
    """Puts values into a file of JSON, at keys such as `config__name`."""
    content = json.loads(path.read_text())
    for key, value in changes.items():
        *steps, last = key.split("__")
        place = content
        for step in steps:
            place = place[step]
        place[last] = value
    path.write_text(json.dumps(content))


def refused(preset, *parts, **options):
    """The error of loading, which says what each of `parts` does."""
    with pytest.raises(ValueError) as caught:
        ImageEmbedder.from_preset(preset, **options)
    for part in parts:
        assert str(part) in str(caught.value)
    return caught.value


def test_what_is_whole_is_loaded(preset):
    """Else the tests below would show nothing."""
    assert ImageEmbedder.from_preset(preset).num_classes == tiny.NUM_CLASSES


# Damaged


@pytest.mark.parametrize("file", ["model.weights.h5", "task.weights.h5"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights(preset, file, share):
    content = (preset / file).read_bytes()
    (preset / file).write_bytes(content[: int(share * len(content))])
    refused(preset, preset / file, "is damaged", "Copy or download")


@pytest.mark.parametrize("file", ["model.weights.h5", "task.weights.h5"])
def test_weights_of_another_model(preset, file, tmp_path):
    other = khp.models.ImageEmbedder(khp.models.conv4((16, 16, 3), filters=3), 7)
    other.save_to_preset(tmp_path / "other")
    shutil.copy(tmp_path / "other" / file, preset / file)
    refused(preset, preset / file, "does not fit")


def test_weights_whose_inside_is_gone(preset):
    with h5py.File(preset / "task.weights.h5", "a") as file:
        del file["layers"]
    refused(preset, preset / "task.weights.h5", "does not fit")


@pytest.mark.parametrize(
    "file", ["config.json", "task.json", "model.weights.h5", "task.weights.h5"]
)
def test_a_missing_file(preset, file):
    (preset / file).unlink()
    refused(preset, file, str(preset))


@pytest.mark.parametrize("file", ["config.json", "task.json", "metadata.json"])
@pytest.mark.parametrize("content", ["", '{"module": "keras', "[1, 2]", "\xff\xfe"])
def test_broken_json(preset, file, content):
    (preset / file).write_bytes(content.encode("latin1"))
    refused(preset, preset / file, "is damaged: no JSON")


@pytest.mark.parametrize("content", [{}, {"registered_name": "x", "config": 3}])
def test_json_of_something_else(preset, content):
    (preset / "task.json").write_text(json.dumps(content))
    refused(preset, preset / "task.json", "is damaged")


def test_an_empty_folder_and_a_file(tmp_path):
    refused(tmp_path, "no config.json", "save_to_preset")
    (tmp_path / "file").touch()
    refused(tmp_path / "file", "is a file: a preset is a folder")


# Newer versions


@pytest.mark.parametrize("package", ["keras", "keras_hub", "keras_hierproxy"])
def test_a_newer_version(preset, package):
    change(preset / "metadata.json", **{f"{package}_version": "99.1.0"})
    refused(preset, preset / "task.json", f"{package} 99.1.0 (here ", "upgrade")


def test_a_later_release_of_the_same_format(preset):
    major, minor, *_ = keras.__version__.split(".")
    later = f"{major}.{int(minor) + 1}.0"
    change(preset / "metadata.json", keras_version=later)
    ImageEmbedder.from_preset(preset)
    # Where something does not fit, it is the reason.
    change(preset / "task.json", config__pooling_of_tomorrow="avg")
    error = refused(preset, preset / "task.json", "pooling_of_tomorrow")
    assert f"saved with keras {later} (here {keras.__version__}): upgrade" in str(error)


def test_our_own_next_versions(preset):
    major, minor, patch = map(int, khp.__version__.split("."))
    later = f"{major}.{minor}.{patch + 1}"
    change(preset / "metadata.json", keras_hierproxy_version=later)
    ImageEmbedder.from_preset(preset)
    # Before 1.0 the second number may mean another format.
    later = f"{major}.{minor + 1}.0"
    change(preset / "metadata.json", keras_hierproxy_version=later)
    refused(preset, f"keras_hierproxy {later}")


@pytest.mark.parametrize("options", [{}, {"name": "mine"}])
@pytest.mark.parametrize("of", ["proxies", "backbone", "preprocessor"])
def test_an_unknown_argument(preset, of, options):
    task = json.loads((preset / "task.json").read_text())
    config = task["config"][of]["config"]
    config = config["layers"][2]["config"] if of == "backbone" else config
    config["spin"] = 2
    (preset / "task.json").write_text(json.dumps(task))
    refused(preset, preset / "task.json", "does not fit", "spin", **options)


def test_wrong_arguments_are_not_the_presets_fault(preset):
    error = refused(preset, "must agree", num_classes=3, proxies=khp.layers.Proxies(5))
    assert "task.json" not in str(error)


def test_an_unknown_class_of_ours(preset):
    change(preset / "task.json", registered_name="keras_hierproxy>VideoEmbedder")
    refused(preset, preset / "task.json", "keras_hierproxy>VideoEmbedder")


def test_an_unknown_layer(preset):
    change(preset / "task.json", config__preprocessor__class_name="Quaternions")
    refused(preset, preset / "task.json", "Quaternions")


# Other kinds of models


def text_backbone():
    return keras_hub.models.BertBackbone(
        vocabulary_size=9, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4
    )


def test_a_model_of_text(tmp_path):
    text_backbone().save_to_preset(str(tmp_path))
    refused(tmp_path, "BertBackbone, which takes text", "images alone")


def test_a_pyramid(tmp_path):
    inputs = keras.Input((16, 16, 3))
    keras_hub.src.utils.preset_utils.get_preset_saver(str(tmp_path)).save_backbone(
        keras.Model(inputs, {"P3": inputs, "P4": inputs}, name="detector")
    )
    refused(tmp_path, "'detector'", "feature map")


def test_a_backbone_of_a_class_that_is_unknown(tmp_path):
    resnet().save_to_preset(str(tmp_path))
    change(tmp_path / "config.json", registered_name="theirs>Net")
    refused(tmp_path, tmp_path / "config.json", "theirs>Net")


def test_a_layer_alone(tmp_path):
    resnet().save_to_preset(str(tmp_path))
    change(
        tmp_path / "config.json", registered_name="keras_hierproxy>ProjectToGeometry"
    )
    refused(tmp_path, "ProjectToGeometry, which is no model")


def test_arguments_that_there_are_not(preset):
    refused(preset, "Received: colour", colour=3)
    refused(preset, "Received: backbone", backbone=resnet())


# Code


def doubled(images):
    return 2 * images


@pytest.fixture
def unsafe():
    """Keras's global setting that lets everything in."""
    with keras.src.saving.serialization_lib.SafeModeScope(None):
        keras.config.enable_unsafe_deserialization()
        yield


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Whether what a preset holds has been run."""
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists()


def touch(x):
    import os
    import pathlib

    pathlib.Path(os.environ["RAN"]).touch()
    return x


@pytest.mark.parametrize("file", ["config.json", "task.json"])
def test_lambdas_are_refused(preset, file, unsafe, ran):
    layer = keras.layers.Lambda(lambda x: __import__("tests").zoo.test_trust.touch(x))
    unwanted = keras.saving.serialize_keras_object(layer)
    where = {"task.json": "config__preprocessor", "config.json": "config__layers"}
    change(preset / file, **{where[file]: unwanted})
    refused(preset, preset / file, "Lambda", "run code")


@keras.saving.register_keras_serializable("tests")
class Witness(keras.layers.Rescaling):
    """Sees whether Keras is in safe mode when it is loaded."""

    seen = []

    @classmethod
    def from_config(cls, config):
        cls.seen.append(keras.src.saving.serialization_lib.in_safe_mode())
        return super().from_config(config)


def test_keras_is_in_safe_mode_too(tmp_path, unsafe):
    conv4_embedder(preprocessor=Witness(1.0)).save_to_preset(tmp_path)
    Witness.seen.clear()
    ImageEmbedder.from_preset(tmp_path)
    assert Witness.seen == [True]
    assert keras.src.saving.serialization_lib.in_safe_mode() is False


def test_an_image_converter_with_code(tmp_path, unsafe):
    resnet().save_to_preset(str(tmp_path))
    layer = keras.layers.Lambda(lambda x: x)
    config = keras.saving.serialize_keras_object(layer)
    (tmp_path / "image_converter.json").write_text(json.dumps(config))
    refused(tmp_path, tmp_path / "image_converter.json", "Lambda")


class Bomb:
    def __reduce__(self):
        return touch, (1,)


def test_pickles_are_refused(preset, ran):
    for file in ("model.weights.h5", "task.weights.h5"):
        (preset / file).write_bytes(pickle.dumps(Bomb()))
        refused(preset, preset / file, "is a pickle", "refused")


def test_what_would_be_refused_is_not_saved(tmp_path):
    layer = keras.layers.Lambda(doubled)
    with pytest.raises(ValueError, match="Lambda, which would run code"):
        conv4_embedder(preprocessor=layer).save_to_preset(tmp_path)
    assert not list(tmp_path.iterdir())


# The shipped ones


def test_a_shipped_name_comes_first(little_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert khp.zoo.list_presets() == ["hierproxy_tiny"]
    conv4_embedder(num_classes=3).save_to_preset("hierproxy_tiny")
    names = ["hierproxy_tiny", "./hierproxy_tiny", pathlib.Path("hierproxy_tiny")]
    found = [ImageEmbedder.from_preset(name).num_classes for name in names]
    assert found == [tiny.NUM_CLASSES, 3, 3]


def test_a_shipped_preset_that_was_tampered_with(little_zoo):
    whole = ImageEmbedder.from_preset("hierproxy_tiny")
    with h5py.File(little_zoo / "task.weights.h5", "a") as file:
        bias = file["layers/dense/vars/1"]
        bias[0] += np.float32(1)
    # By itself it is a preset like others.
    other = ImageEmbedder.from_preset(little_zoo)
    assert (whole.embed(tiny.IMAGES) != other.embed(tiny.IMAGES)).any()
    refused("hierproxy_tiny", little_zoo / "task.weights.h5", "SHA-256", "again")


def test_a_shipped_preset_that_lacks_a_file(little_zoo):
    (little_zoo / "config.json").unlink()
    refused("hierproxy_tiny", little_zoo / "config.json", "is missing")


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_damaged_registry(little_zoo, content):
    (khp.shipped.folder() / "registry.json").write_text(content)
    with pytest.raises(ValueError, match="registry.json cannot be read"):
        khp.zoo.list_presets()
