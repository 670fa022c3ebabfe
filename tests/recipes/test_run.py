"""`hierproxy train --recipe`."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from keras_hierproxy import models, recipes, runs
from keras_hierproxy.runs.dry_run import _PUBLISHED
from tests.official_layouts import write_cub
from tests.photos import write_photos

CLASSES = [f"{kind}/{name}" for kind in ("bag", "hat", "shoe") for name in "abcd"]
REPORTED = """
[reported]
source = "a [table]"
k = [1, 3]
recall = [50.0, 60.0]
"""
# What no backend has a reason to treat in its own way.
once = pytest.mark.host


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("data") / "photos", CLASSES)


@pytest.fixture
def recipe(tiny_recipe, photos):
    """A recipe for the photos, which reports numbers."""
    text = tiny_recipe.read_text().replace("photos/", str(photos))
    tiny_recipe.write_text(text + REPORTED)
    return tiny_recipe


def plain(stdout):
    """What stands in tables, without lines and line ends."""
    return re.sub(r"[│\s]+", " ", stdout)


def read(folder, name):
    return json.loads((Path(folder) / name).read_text())


def test_a_run_by_a_recipe(call, recipe):
    options = ("--recipe", recipe, "--set", "loss.margin=0.2", "--epochs", 1)
    code, stdout, stderr = call("train", *options)
    assert code == 0, stderr
    assert stdout.endswith("report.html:\nruns/tiny-3\n")
    folder = Path("runs/tiny-3")
    written = read(folder, "run.json")
    whole = recipes.from_dict(written["recipe"], "run.json")
    assert whole == recipes.load(recipe, ["loss.margin=0.2", "training.epochs=1"])
    assert written["place"]["seed"] == 3

    metrics = read(folder, "metrics.json")
    beside = metrics["reported"]
    assert beside["reported"] == {"recall@1": 0.5, "recall@3": 0.6}
    assert beside["obtained"] == {
        name: metrics["test"][name] for name in ("recall@1", "recall@3")
    }
    assert "Reported: a [table]" in stdout
    obtained = 100 * metrics["test"]["recall@1"]
    row = f"recall@1 50.0 {obtained:.1f} {obtained - 50:+.1f} recall@3 60.0"
    assert row in plain(stdout)

    # It is a run like any other.
    code, stdout, _ = call("evaluate", folder, "-o", "again")
    assert code == 0
    again = read("again", "metrics.json")["test"]["recall@1"]
    assert again == pytest.approx(metrics["test"]["recall@1"])
    code, _, stderr = call("tree", folder)
    assert code == 2 and "has no hierarchy to draw" in stderr

    # And goes on, to more epochs than the recipe has.
    options = ("--resume", "-o", folder, "--epochs", 3)
    code, stdout, stderr = call("train", *options)
    assert code == 0, stderr
    assert re.findall(r"^epoch (\d)/3", stdout, re.M) == ["2", "3"]
    assert recipes.load(folder) == recipes.change(whole, ["training.epochs=3"], "")

    code, _, stderr = call("train", "--resume", "-o", folder, "--recipe", recipe)
    assert code == 2 and "was started with loss.proxy_anchor.margin=0.2." in stderr


@once
def test_a_refreshed_hierarchy_is_told(call, recipe):
    hierarchy = "{level_sizes=[3],level_weights=[1.0,0.5],learned=true"
    hierarchy += ",warmup_epochs=1,every=1}"
    options = ("--set", f"proxies.hierarchy={hierarchy}")
    code, stdout, stderr = call("train", "--recipe", recipe, *options, "--epochs", 3)
    assert code == 0, stderr
    told = re.findall(r"^(epoch \d|hierarchy refreshed in [\d.]+ s)", stdout, re.M)
    told = [line.split(" in ")[0] for line in told]
    refreshed = "hierarchy refreshed"
    assert told == ["epoch 1", refreshed, "epoch 2", refreshed, "epoch 3"]


@once
def test_ctrl_c_and_resume(call, recipe, monkeypatch):
    options = ("train", "--recipe", recipe, "--set", 'optimizer.schedule.name="cosine"')
    assert call(*options, "-o", "whole")[0] == 0
    count = runs.EpochLines.on_train_batch_end

    def stop_in_the_second(lines, batch, logs=None):
        count(lines, batch, logs)
        if lines.name == "epoch 2/2":
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(runs.EpochLines, "on_train_batch_end", stop_in_the_second)
        code, stdout, _ = call(*options, "-o", "cut")
    assert code == 0 and "Stopped early" in stdout
    assert read("cut", "metrics.json")["epochs"] == 1
    code, _, stderr = call("train", "--resume", "-o", "cut")
    assert code == 0, stderr
    assert read("cut", "metrics.json") == read("whole", "metrics.json")


@once
def test_another_seed_is_another_run(call, recipe):
    options = ("train", "--recipe", recipe, "--epochs", 1, "--seed")
    for seed in (4, 5):
        assert call(*options, seed)[0] == 0
    first, second = (read(f"runs/tiny-{seed}", "metrics.json") for seed in (4, 5))
    assert first["test_before"] != second["test_before"]


@once
def test_the_last_epoch_of_all_classes(call, recipe, tmp_path):
    write_cub(tmp_path, num_classes=12)
    changes = ('data.name="cub"', "data.validation=0.0", 'training.selection="last"')
    options = [part for change in changes for part in ("--set", change)]
    with pytest.warns(UserWarning, match="This is a part of it"):
        code, stdout, stderr = call(
            *("train", "--recipe", recipe, "--root", tmp_path, *options)
        )
    assert code == 0, stderr
    assert "Epoch 2 of 2, the last, as the recipe says." in stdout
    assert "validation" not in stdout
    names = {path.name for path in Path("runs/tiny-3").iterdir()}
    assert "last.weights.h5" in names and "recall.png" not in names
    metrics = read("runs/tiny-3", "metrics.json")
    assert metrics["selected_epoch"] == 2 and "val_recall@1" not in metrics
    code, stdout, stderr = call("train", "--resume", "-o", "runs/tiny-3")
    assert code == 0, stderr
    assert read("runs/tiny-3", "metrics.json")["test"] == metrics["test"]


@once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--loss", "hpl"),
            r"--loss does not go with --recipe.*Change loss.name \(.* with",
        ),
        (("--batch-size", "8"), "Change data.batch_size with --set. Received: 8"),
        (("--set", "loss.margin=x"), "x is no TOML value"),
        (("--epochs", "1", "--set", "optimizer.warmup_epochs=1"), "optimizer.warmup_e"),
    ],
)
def test_what_does_not_go_with_a_recipe(options, message, call, recipe, monkeypatch):
    monkeypatch.setattr(models.ImageEmbedder, "fit", None)
    code, _, stderr = call("train", "--recipe", recipe, *options)
    assert code == 2 and re.search(message, stderr)


TINY_TRANSFORMER = (
    "model.backbone.arguments.num_layers=1",
    "model.backbone.arguments.num_heads=2",
    "model.backbone.arguments.hidden_dim=8",
    "model.backbone.arguments.intermediate_dim=8",
    "data.image_size=32",
    "data.batch_size=8",
    "proxies.latent=8",
    "loss.hier.max_triplets=8",
    "model.embedding_dim=8",
)


@pytest.mark.nightly
def test_dry_run(call):
    options = [part for change in TINY_TRANSFORMER for part in ("--set", change)]
    code, stdout, stderr = call(
        "train", "--recipe", "hier_deit_small_in_shop", "--dry-run", *options
    )
    assert code == 0, stderr
    stdout = plain(stdout)
    assert "DeiTBackbone, weights of deit_small_distilled" in stdout
    assert "in_shop: 25,882 images of 3,997 classes" in stdout
    assert "8 images, 2 of a class, balanced" in stdout
    assert "3,235 an epoch, 150 epochs" in stdout
    assert "proxies 31,976 at a rate of 0.1 " in stdout
    assert "latent 64 at a rate of 0.0005" in stdout
    assert " an epoch about " in stdout
    assert "Tried here with random weights and images, 8 in a step;" in stdout
    assert not list(Path().iterdir())


@once
@pytest.mark.parametrize("name", [*_PUBLISHED, "glyphs", "omniglot", "photos/"])
def test_every_data_set_can_be_tried(name, tiny_recipe):
    changes = [f'data.name="{name}"', "model.embedding_dim=2"]
    if name == "glyphs":
        changes.append("data.image_size=")
    plan = runs.dry_run(recipes.load(tiny_recipe, changes), runs.Place())
    assert plan.published == (name in _PUBLISHED or name == "glyphs")
    assert plan.steps == round(plan.images / 12)
    if name == "sop":
        # 15% are for validation.
        assert plan.classes == 11_318 - 1_698
        assert plan.images == pytest.approx(0.85 * 59_551, rel=1e-3)
    assert plan.step_seconds > 0 and plan.images_per_second > 0
    assert plan.memory_of_a_step >= plan.memory_of_weights > 0


@once
def test_a_large_batch_is_tried_as_a_small_one(tiny_recipe):
    changes = ['data.name="cub"', "data.batch_size=64", "data.image_size=320"]
    plan = runs.dry_run(recipes.load(tiny_recipe, changes), runs.Place())
    assert plan.trial_batch == 2
    assert plan.scale == 32
    # A step has a part that grows with the batch, and one that does not.
    one, all_of_it = plan.steps * plan.step_seconds, plan.seconds_per_epoch
    assert one < all_of_it <= 32 * one
    few = ['data.name="cub"', "data.batch_size=240"]
    with pytest.raises(ValueError, match="240 // 2 = 120 classes in a batch, of 85"):
        runs.dry_run(recipes.load(tiny_recipe, few), runs.Place())
