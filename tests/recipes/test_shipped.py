"""The recipes in `zoo/recipes`."""

import numpy as np
import pytest

from keras_hierproxy import recipes, zoo
from keras_hierproxy.datasets import RetrievalDataset
from tests import keras_hub

pytestmark = pytest.mark.host

DATA = {"CUB": "cub", "Cars": "cars", "SOP": "sop", "Inshop": "in_shop"}
# The authors' name of a backbone, this package's, and that of reported.toml.
BACKBONES = (
    ("Resnet50", "resnet50", "r50"),
    ("Deit", "deit_small", "deit"),
    ("DINO", "dino_small", "dino"),
    ("ViT", "vit_small", "vit"),
)
RUNS = [(theirs, data) for theirs in BACKBONES for data in DATA]


@pytest.mark.parametrize("name", recipes.names())
def test_each_loads_and_says_where_its_settings_are_from(name):
    recipe = recipes.load(name)
    assert recipe.name == name and recipe.description and recipe.source
    if recipe.reported is None:
        assert recipe.ours


def test_those_of_the_papers_are_there():
    names = zoo.list_recipes()
    assert set(names) == set(recipes.names())
    hier = [name for name in names if name.startswith("hier_")]
    assert len(hier) == len(RUNS)
    for method in ("so_deit_small_", "hpl_resnet50_", "proxy_anchor_resnet50_"):
        assert any(name.startswith(method) for name in names)


def rates_of(run):
    """By group, of one device that has the whole batch."""
    rate = run["lr"] * run["batch_per_gpu"] * run["gpus"] / 180
    return {
        "backbone": rate,
        "head": rate * run.get("fc_lr_scale", 1),
        "proxies": rate * 10_000,
        "latent": rate * 50,
    }


@pytest.mark.parametrize(
    ("backbone", "data"), RUNS, ids=[f"{b[1]}-{d}" for b, d in RUNS]
)
def test_hier_is_what_its_authors_ran(backbone, data, golden):
    theirs, ours, _ = backbone
    run = golden("hier_settings")[f"{theirs}_{data}"]
    recipe = recipes.load(f"hier_{ours}_{DATA[data]}")
    rates = recipe.optimizer.learning_rate.model_dump()
    assert rates == pytest.approx(rates_of(run))
    warmup = 0 if recipe.name == "hier_resnet50_cub" else run["warmup_epochs"]
    assert recipe.optimizer.warmup_epochs == warmup
    assert recipe.optimizer.weight_decay == run["weight_decay"]
    assert (recipe.optimizer.epsilon, recipe.optimizer.clipvalue) == (1e-4, 10)
    schedule = recipe.optimizer.schedule
    assert schedule.epochs == run.get("lr_decay")
    assert schedule.gamma == run.get("lr_decay_gamma")
    assert schedule.name == ("step" if "lr_decay" in run else "constant")

    assert recipe.data.name == DATA[data]
    assert recipe.data.batch_size == run["batch_per_gpu"] * run["gpus"]
    assert recipe.data.images_per_class == run["images_per_class"]
    (crop,) = recipe.data.augment
    assert crop.scale == [0.08 if theirs == "Resnet50" else 0.2, 1.0]
    assert (crop.interpolation, crop.flip) == ("bicubic", True)

    model = recipe.model
    assert model.embedding_dim == run["embedding_dim"]
    assert model.last_norm and model.head_initializer == "orthogonal"
    frozen = ["batch_norm"] if run.get("bn_freeze") else []
    assert model.freeze == (frozen if theirs == "Resnet50" else ["patch_embedding"])
    assert model.geometry.curvature == run["curvature"]
    assert model.geometry.clip_radius == run["clip_radius"]

    assert recipe.proxies.latent == run["latent_proxies"]
    anchor, hier = recipe.loss
    assert (anchor.weight, anchor.margin, anchor.alpha) == (
        run["metric_loss_weight"],
        0.1,
        32,
    )
    assert (hier.weight, hier.margin, hier.num_neighbors) == (
        run["hier_loss_weight"],
        run["margin"],
        run["num_neighbors"],
    )
    assert recipe.training.epochs == run["epochs"]
    assert recipe.training.precision == "mixed_float16"


@pytest.mark.parametrize(
    ("backbone", "data"), RUNS, ids=[f"{b[1]}-{d}" for b, d in RUNS]
)
def test_what_is_reported_is_what_the_paper_says(backbone, data, golden):
    _, ours, arch = backbone
    key = DATA[data].replace("_", "")
    size = 512 if arch == "r50" else 128
    (row,) = (
        row
        for row in golden("reported")["row"]
        if (row["method"], row["arch"], row["dim"]) == ("HIER", arch, size)
    )
    recipe = recipes.load(f"hier_{ours}_{DATA[data]}")
    assert recipe.reported.recall == row[key]
    ks = {"cub": [1, 2, 4], "cars": [1, 2, 4], "sop": [1, 10, 100]}
    assert recipe.reported.k == ks.get(key, [1, 10, 20])


@pytest.mark.parametrize("name", recipes.names())
def test_its_preset_is_one_of_keras_hub_or_of_ours(name):
    backbone = recipes.load(name).model.backbone
    if backbone.preset is None or "://" in backbone.preset:
        return
    if backbone.preset in zoo.list_presets():
        return
    if backbone.architecture is None:
        presets = zoo.list_presets()
    else:
        presets = getattr(keras_hub.models, backbone.architecture).presets
    assert backbone.preset in presets


@pytest.mark.parametrize(
    "name",
    [
        "hier_resnet50_cub",
        "hier_deit_small_sop",
        "hier_dino_small_cub",
        "hier_vit_small_cub",
        "so_deit_small_cub",
        "hpl_resnet50_in_shop",
        "proxy_anchor_resnet50_cub",
    ],
)
def test_it_is_built_at_a_fraction_of_its_depth(name):
    architecture = recipes.load(name).model.backbone.architecture
    shallow = "num_layers=1"
    if getattr(keras_hub.models, architecture) is keras_hub.models.ResNetBackbone:
        shallow = "stackwise_num_blocks=[1,1,1,1]"
    # A processor takes long for half precision.
    changes = [f"model.backbone.arguments.{shallow}", 'training.precision="float32"']
    recipe = recipes.load(name, changes)
    images = np.broadcast_to(np.uint8(0), (400, 224, 224, 3))
    labels = np.arange(400)[:, None] // [2, 20, 100]
    train = RetrievalDataset(images, labels)
    steps = len(recipes.batches(recipe, train, seed=0))
    embedder = recipes.build_embedder(recipe, train, 0, steps, load_weights=False)
    assert embedder.output_shape == (None, recipe.model.embedding_dim)
    frozen = [layer for layer in embedder.backbone._flatten_layers() if layer.weights]
    frozen = [layer for layer in frozen if not layer.trainable]
    assert bool(frozen) == bool(recipe.model.freeze)


@pytest.mark.parametrize(
    "name", ["hier_resnet50_cub", "hier_deit_small_cub", "hier_dino_small_cub"]
)
def test_the_stated_architecture_is_that_of_the_preset(name):
    backbone = recipes.load(name).model.backbone
    architecture = getattr(keras_hub.models, backbone.architecture)
    metadata = architecture.presets[backbone.preset]["metadata"]
    # The preset's positions are those of its own images.
    shape = backbone.arguments.get("position_embedding_shape", (224, 224, 3))
    arguments = {**backbone.arguments, "image_shape": tuple(shape)}
    assert architecture(**arguments).count_params() == metadata["params"]
