"""What a recipe may say, and what is said of one that is wrong."""

import re

import pytest

from keras_hierproxy import recipes

pytestmark = pytest.mark.host


def wrong(path, *changes):
    """The lines of the error, without the file's name."""
    with pytest.raises(ValueError) as error:
        recipes.load(path, changes)
    lines = str(error.value).splitlines()
    assert not any("pydantic" in line or "Input should" in line for line in lines)
    assert all(line.startswith((f"{path}: ", "--set ")) for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_a_recipe(tiny_recipe):
    recipe = recipes.load(tiny_recipe)
    assert recipe.name == "tiny"
    (term,) = recipe.loss
    assert (term.name, term.margin, term.weight) == ("proxy_anchor", 0.1, 1.0)
    # What the file leaves out has the library's value, and is stated.
    assert recipe.data.augment[0].model_dump() == {
        "name": "RandomResizedCrop",
        "scale": [0.5, 1.0],
        "ratio": [3 / 4, 4 / 3],
        "flip": True,
        "interpolation": "bicubic",
    }
    assert recipe.training.seeds == [3]


def test_what_is_written_into_a_run_is_the_same_recipe(tiny_recipe):
    recipe = recipes.load(tiny_recipe, ["loss.alpha=16"])
    content = recipe.model_dump(mode="json", exclude_none=True)
    assert recipes.from_dict(content, "run.json") == recipe


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ('loss.margin="0.1"', 'loss.proxy_anchor.margin: must be a number. Rec.*"0.1"'),
        ("training.epochs=1.5", "training.epochs: must be a whole number.*: 1.5"),
        ("training.epochs=true", "training.epochs: must be a whole number.*: true"),
        ("training.epochs=0", "training.epochs: must be at least 1. Received: 0"),
        ("training.epochs=", "training.epochs: is missing."),
        ("training.seeds=[]", "training.seeds: must have at least 1 entries."),
        ("training.seeds=[-1]", "training.seeds.0: must be at least 0. Received: -1"),
        ("model.last_norm=1", "model.last_norm: must be true or false. Received: 1"),
        ("data.name=3", "data.name: must be text in quotes. Received: 3"),
        ("data.validation=1", "data.validation: must be below 1.* Received: 1"),
        ("optimizer.epsilon=0", "optimizer.epsilon: must be above 0.* Received: 0"),
        ("optimizer.epsilon=nan", "optimizer.epsilon: must be a finite number."),
        ("loss=3", "loss: must be a list. Received: 3"),
        ("proxies=3", "proxies: must be a table. Received: 3"),
        ("loss=[{margin=0.1}]", "loss.0: has no name."),
        ("loss.margn=1", "loss.proxy_anchor.margn: is unknown. Did you mean margin?"),
        ("optimzer.lr=1", "optimzer: is unknown. Did you mean optimizer?"),
        ('loss.name="proxyanchor"', "name: must be one of .* Did you mean proxy_anch"),
        ('training.precision="float16"', "training.precision: must be one of float32,"),
        ("data.augment.scal=[1,1]", "data.augment.RandomResizedCrop.scal: is unknown."),
        ("data.augment.flip=1", "RandomResizedCrop.flip: must be true or false."),
        ("data.augment.scale=1", "scale: must be a list of 2 numbers. Received: 1"),
        ("data.augment.scale=[0.5,2.0]", "RandomResizedCrop: scale must be .* most 1"),
        ('data.augment.name="RandomCrop"', "RandomCrop is unknown. Did you mean Rand"),
        ('data.name="cup"', "data.name: 'cup' is neither a data set.* mean 'cub'"),
        ('ours=["loss.mrgin"]', "ours: loss.mrgin: is unknown. Did you mean margin?"),
    ],
)
def test_what_no_recipe_may_say(change, line, tiny_recipe):
    (received,) = wrong(tiny_recipe, change)
    assert re.search(line, received), received


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (["data.images_per_class=5"], "data.images_per_class"),
        (["data.images_per_class="], "data.images_per_class"),
        (['data.sampler="random"'], "data.images_per_class"),
        (["data.super_classes=2"], "data.super_classes"),
        (['data.name="glyphs"'], "data.image_size"),
        (['data.name="cub"', 'data.test_split="val"'], "data.test_split"),
        (["model.geometry.curvature=0.1"], "model.geometry.curvature"),
        (['model.geometry.name="poincare_ball"'], "model.geometry.curvature"),
        (['model.backbone.preset="resnet_50_imagenet"'], "model.backbone.preset"),
        (
            [
                "model.fit_to_ink=32",
                'model.backbone.architecture="ResNetBackbone"',
                'model.backbone.preset="resnet_50_imagenet"',
            ],
            "model.fit_to_ink",
        ),
        (["model.backbone.arguments.width=3"], "model.backbone.arguments.width"),
        (['model.backbone.architecture="DeiTBackbone"'], "model.backbone.scale"),
        (["model.backbone.scale=[1.0]"], "model.backbone.scale"),
        (
            ['model.backbone.architecture="efficientnet_lite"'],
            "model.backbone.arguments.filters",
        ),
        (["proxies.latent=8"], "proxies.latent"),
        (["proxies.centers_per_class=2"], "proxies.centers_per_class"),
        (["proxies.hierarchy.learned=true"], "proxies.hierarchy.warmup_epochs"),
        (["optimizer.learning_rate.latent=0.1"], "optimizer.learning_rate.latent"),
        (["optimizer.learning_rate.proxies="], "optimizer.learning_rate.proxies"),
        (['optimizer.schedule.name="step"'], "optimizer.schedule.epochs"),
        (["optimizer.schedule.epochs=2"], "optimizer.schedule.epochs"),
        (["optimizer.warmup_epochs=2"], "optimizer.warmup_epochs"),
        (["training.seeds=[1,1]"], "training.seeds"),
        (
            [
                'data.name="cub"',
                "data.validation=0.0",
                "training.epochs=3",
            ],
            "training.selection",
        ),
        (
            [
                'reported.source="a table"',
                "reported.k=[1,2]",
                "reported.recall=[50.0]",
            ],
            "reported.recall",
        ),
    ],
)
def test_what_does_not_go_together(changes, field, tiny_recipe):
    assert wrong(tiny_recipe, *changes)[0].startswith(f"{field}: ")


HIER = (
    "loss=[{name='hier',margin=0.1,temperature=0.1,num_neighbors=20,"
    "triplets_per_anchor=50}]"
)


def test_hier_wants_the_ball_and_its_proxies(tiny_recipe):
    fields = [line.split(":")[0] for line in wrong(tiny_recipe, HIER)]
    assert fields == [
        "model.geometry.name",
        "proxies.latent",
        "optimizer.learning_rate.proxies",
        "optimizer.learning_rate.latent",
    ]


@pytest.mark.parametrize("data", ["cub", "cars"])
def test_labels_of_one_level_are_no_hierarchy(data, tiny_recipe):
    changes = [f'data.name="{data}"', "proxies.hierarchy.learned=false"]
    (line,) = wrong(tiny_recipe, *changes)
    assert line.startswith("proxies.hierarchy.learned: must be true: the labels of")


def test_all_that_is_wrong_is_said_at_once(tiny_recipe):
    lines = wrong(tiny_recipe, "training.epochs=0", "loss.margin=true")
    assert len(lines) == 2


def test_a_file_that_is_no_recipe(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("a = = 1")
    with pytest.raises(ValueError, match="broken.toml is no TOML file"):
        recipes.load(path)
    with pytest.raises(FileNotFoundError, match="no recipe hier_resnet50_cu.*Did you"):
        recipes.load("hier_resnet50_cu")
