"""The zoo as Python and as a command."""

import json
import re
import subprocess
import sys

import pytest

import keras_hierproxy as khp
from keras_hierproxy import recipes
from tests.command_line import PROJECT
from tests.photos import write_photos
from tests.zoo.conftest import FACTS, NAME

pytestmark = pytest.mark.host


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def test_names_and_facts(little_zoo):
    assert khp.zoo.list_presets() == [NAME]
    recipes = khp.zoo.list_recipes()
    assert recipes == sorted(recipes) and "hierproxy_cnn_glyphs" in recipes
    described = khp.zoo.describe(NAME)
    assert described.pop("files").keys() >= {"config.json", "task.weights.h5"}
    assert described == {"name": NAME, "kind": "preset", **FACTS}
    described = khp.zoo.describe("hier_resnet50_cub")
    assert described["kind"] == "recipe" and described["data"]["name"] == "cub"
    assert khp.zoo.load_recipe("hier_resnet50_cub").data.name == "cub"
    json.dumps(described)


def test_a_name_that_there_is_not(little_zoo):
    message = (
        f"'hierproxy_tinny'. Did you mean '{NAME}'.*Presets: {NAME}. `hierproxy zoo"
    )
    with pytest.raises(ValueError, match=message):
        khp.zoo.describe("hierproxy_tinny")
    with pytest.raises(ValueError, match="Did you mean 'hier_resnet50_cub'"):
        khp.zoo.describe("hier_resnet50_cup")


@pytest.mark.host(on="jax")
def test_listing_needs_neither_keras_hub_nor_pydantic():
    code = (
        "import sys, keras_hierproxy as khp; khp.zoo.list_presets();"
        "khp.zoo.list_recipes(); print({'keras_hub', 'pydantic'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True
    )
    assert found.stdout.strip() == "set()", found.stderr


def test_list(call, little_zoo):
    code, stdout, _ = call("zoo", "list")
    assert code == 0
    cells = [NAME, "1.23 M", "2.3 MB", "4,321", "0.123 noise"]
    assert re.search(" +".join(cells) + r" *\n +HPL on noise", stdout)


def test_list_of_recipes(call, little_zoo):
    code, stdout, _ = call("zoo", "list", "--recipes")
    assert code == 0
    assert re.search(
        r"hier_deit_small_cub +75.2 *\n +HIER with DeiT-S on CUB-200-2011 *\n", stdout
    )
    for name in khp.zoo.list_recipes():
        assert name in stdout


def test_a_backend_that_is_missing_is_told_in_a_line(call, monkeypatch):
    def import_zoo():
        raise ModuleNotFoundError("Keras is set to another.", name="tensorflow")

    monkeypatch.setattr("hierproxy.zoo.import_zoo", import_zoo)
    # As in a process where Keras cannot be imported.
    monkeypatch.setitem(sys.modules, "keras_hierproxy.recipes", None)
    code, _, stderr = call("zoo", "show", "so_cnn_letters", "--recipe")
    assert code == 2 and stderr == "Error: Keras is set to another.\n"


def test_show_a_card(call, little_zoo):
    code, stdout, _ = call("zoo", "show", NAME)
    assert code == 0
    # Without the front matter and the signs of Markdown.
    assert stdout.split() == [NAME, "Reads", "tiny", "images."]


def test_show_a_recipe(call, little_zoo):
    code, stdout, _ = call("zoo", "show", "hier_deit_small_cub")
    assert code == 0
    assert "source: Kim et al." in stdout
    rows = {
        setting: (value.strip(), origin)
        for setting, value, origin in re.findall(
            r"^ *(\S+\.\S+) +(\S.*?) +(ours|source) *$", stdout, re.M
        )
    }
    assert rows["loss.hier.temperature"] == ("0.1", "source")
    assert rows["data.image_size"] == ("224", "ours")
    assert rows["model.backbone.preset"][0].startswith('"deit_small_distilled')
    # What its file does not state is not shown as stated.
    assert "data.quarter_turns" not in rows
    assert "Reported: Recall@1 75.2, Recall@2 84.2, Recall@4 90.0 (Kim" in stdout


def test_every_setting_of_ours_is_shown_as_ours(call, little_zoo):
    code, stdout, _ = call("zoo", "show", "hierproxy_cnn_glyphs", "--recipe")
    assert code == 0
    origins = re.findall(r"(ours|source) *$", stdout, re.M)
    assert len(origins) > 20 and set(origins) == {"ours"}


def test_show_what_there_is_not(call, little_zoo):
    code, _, stderr = call("zoo", "show", "hierproxy_tinny")
    (line,) = stderr.splitlines()
    assert code == 2 and f"Did you mean '{NAME}'?" in line


def test_train_is_that_of_the_presets_recipe(call, little_zoo, monkeypatch):
    seen = []
    load = recipes.load

    def note(name, changes=()):
        # Describing a recipe loads it, too, without changes.
        return seen.append((name, changes)) if changes else load(name)

    monkeypatch.setattr(recipes, "load", note)
    for command in (
        ("zoo", "train", NAME),
        ("zoo", "train", "hierproxy_cnn_glyphs"),
        ("train", "--recipe", "hierproxy_cnn_glyphs"),
    ):
        # Nothing more than this is wanted of it.
        with pytest.raises(AttributeError, match="NoneType"):
            call(*command, "--set", "loss.margin=0.2", "--seed", 3)
    changes = ["loss.margin=0.2", "training.seeds=[3]"]
    assert seen[0] == ("hierproxy_cnn_glyphs", changes)
    assert seen == [seen[0]] * 3


def test_train_what_others_trained(call):
    name = "efficientnet_lite0_imagenet"
    code, _, stderr = call("zoo", "train", name)
    assert code == 2
    assert f"{name} has no recipe" in stderr and f"train --preset {name}" in stderr


def test_evaluate_and_embed_by_name(call, little_zoo, tmp_path):
    write_photos(tmp_path / "photos", "abcdef", side=16)
    code, stdout, _ = call("evaluate", NAME, "--data", "photos")
    assert code == 0 and "queries" in stdout
    code, _, _ = call("embed", "photos", NAME, "-o", "stored")
    assert code == 0
    model = json.loads((tmp_path / "stored/embeddings.json").read_text())["model"]
    assert model["path"] == NAME and len(model["sha256"]) == 64
    code, _, stderr = call("evaluate", "hierproxy_tinny", "--data", "photos")
    assert code == 2 and f"Did you mean '{NAME}'?" in stderr
    (little_zoo / "task.weights.h5").write_bytes(b"")
    code, _, stderr = call("evaluate", NAME, "--data", "photos")
    assert code == 2 and "SHA-256" in stderr


def test_training_reads_images_in_the_presets_size(call, little_zoo, tmp_path):
    write_photos(tmp_path / "photos", "abcdefghi", images_per_class=3, side=40)
    options = ("--data", "photos", "--preset", NAME, "--epochs", 1)
    code, stdout, stderr = call("train", *options, "--batch-size", 9, "-o", "run")
    assert code == 0, stderr
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["recipe"]["model"]["backbone"] == {"preset": NAME, "arguments": {}}
    code, _, stderr = call("train", *options, "--image-size", 24, "-o", "other")
    assert code == 2 and "takes images of shape (n, 16, 16, 3)" in stderr
    assert "--image-size 16." in stderr
