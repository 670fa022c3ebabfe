"""The options of `hierproxy train` as recipes."""

import inspect
import json
import shutil

import keras
import pytest

from keras_hierproxy import losses, models, optimizers, recipes, runs, shipped
from keras_hierproxy.recipes import build, from_options, preset_images
from keras_hierproxy.runs.record import Record, read_record
from tests.official_layouts import write_cub
from tests.photos import write_photos

pytestmark = pytest.mark.host


@pytest.mark.parametrize("loss", recipes.LOSSES)
def test_every_loss_has_the_defaults_of_its_class(loss):
    recipe = from_options({"loss": loss})
    made = build.loss(recipe)
    terms = getattr(made, "terms", [made])
    for term in terms:
        term = term.base if isinstance(term, losses.HierProxyLoss) else term
        by_default = type(term)()
        config = {**by_default.get_config(), "geometry": None}
        if loss == "hyp":
            config["temperature"] = 0.2
        assert {**term.get_config(), "geometry": None} == config
    weights = list(made.weights) if len(terms) > 1 else [1.0]
    assert weights == ([1.0, 0.5] if "hier" in loss.split("-") else [1.0])


def test_what_is_trained_from_scratch_states_everything():
    recipe = from_options({})
    embedder = inspect.signature(models.ImageEmbedder).parameters
    for name in ("embedding_dim", "pooling", "last_norm", "head_initializer"):
        assert getattr(recipe.model, name) == embedder[name].default
    rates = recipe.optimizer.learning_rate.model_dump(exclude_none=True)
    assert rates == {"backbone": 1e-3, "head": 1e-3, "proxies": 1e-2}
    assert from_options({"loss": "hier"}).optimizer.learning_rate.latent == 1e-2
    grouped = inspect.signature(optimizers.grouped).parameters
    for name in ("weight_decay", "epsilon"):
        assert getattr(recipe.optimizer, name) == grouped[name].default


def test_a_preset_is_fine_tuned_as_it_is():
    recipe = from_options({"preset": "so_cnn_letters", "loss": "hier"})
    model = recipes.as_dict(recipe)["model"]
    assert set(model) == {"backbone", "geometry", "freeze"}
    rates = recipe.optimizer.learning_rate
    assert (rates.backbone, rates.head, rates.latent) == (1e-5, 1e-4, 5e-4)
    assert recipe.image_shape == (32, 32, 1)
    given = from_options({"preset": "resnet_18_imagenet", "learning_rate": 0.1})
    assert given.optimizer.learning_rate.backbone == 0.1
    assert given.image_shape == (224, 224, 3)
    assert from_options({}).image_shape is None
    sized = from_options(
        {"preset": "so_cnn_letters", "data": "omniglot", "image_size": 48}
    )
    assert sized.image_shape == (48, 48, 1)


def preset_of(shape, folder, **options):
    """The folder of a preset whose backbone takes images of a shape."""
    inputs = keras.Input(shape)
    outputs = keras.layers.Conv2D(2, 3)(inputs)
    embedder = models.ImageEmbedder(keras.Model(inputs, outputs), 2, **options)
    embedder.save_to_preset(folder)
    return str(folder)


def test_a_preset_in_a_folder_says_the_size_of_its_images(tmp_path):
    def shape(preset, **options):
        return from_options({"preset": preset, **options}).image_shape

    own = preset_of((24, 20, 1), tmp_path / "own")
    assert shape(own) == (24, 20, 1)
    assert shape(own, data="omniglot", image_size=48) == (48, 48, 1)
    assert shape(preset_of((None, None, 3), tmp_path / "any")) == (224, 224, 3)
    shipped_one = shutil.copytree(
        shipped.preset_folder("so_cnn_letters"), tmp_path / "copy"
    )
    assert shape(str(shipped_one)) == (32, 32, 1)
    for name in shipped.presets():
        folder = str(shipped.preset_folder(name))
        assert preset_images.image_shape(folder) == preset_images.image_shape(name)


@pytest.mark.parametrize("data", ["photos/", "photos.csv", "fashion_products", "cub"])
def test_photos_start_from_imagenet(data):
    recipe = from_options({"data": data})
    assert recipe.model.backbone.preset == recipes.PHOTOS in shipped.presets()
    assert recipe.image_shape == (128, 128, 3) and recipe.data.batch_size == 32
    rates = recipe.optimizer.learning_rate
    assert rates.backbone < rates.head < rates.proxies
    assert recipe.model.freeze == ["batch_norm"]
    # Named, it is the same; unless it is not wanted.
    assert from_options({"data": data, "preset": recipes.PHOTOS}) == recipe
    scratch = from_options({"data": data, "from_scratch": True})
    assert scratch.model.backbone.preset is None and scratch.image_shape is None
    assert scratch.data.batch_size == 128 and scratch.model.freeze == []
    assert from_options({"data": data, "image_size": 48}).image_shape == (48, 48, 3)


def test_letters_start_from_nothing():
    for data in ("glyphs", "omniglot", "letters"):
        recipe = from_options({"data": data})
        assert recipe == from_options({"data": data, "from_scratch": True})
        assert recipe.model.backbone.preset is None


def test_runs_of_before_started_from_nothing():
    recipe = recipes.of_run({"settings": {"data": "photos/"}}, "run.json")
    assert recipe == from_options({"data": "photos/", "from_scratch": True})


def test_photos_are_read_in_the_size_that_was_asked_for(tmp_path):
    write_photos(tmp_path / "photos", "abcdefgh", side=40)
    data = f"{tmp_path}/photos"
    recipe = from_options({"data": data, "image_size": 40, "loss": "proxy-anchor"})
    splits = runs.load_data(recipe.data, runs.Place(), recipe.image_shape)
    embedder = recipes.build_embedder(recipe, splits.train, 0, 2)
    assert embedder.input_shape == (None, 40, 40, 3) and embedder.pretrained
    assert embedder.embedding_dim == 128
    again = models.ImageEmbedder.from_preset(recipes.PHOTOS)
    one, other = (each.backbone.get_weights()[0] for each in (embedder, again))
    assert (one == other).all()


@pytest.mark.parametrize(
    ("options", "batch"),
    [
        ({"loss": "hpl"}, (128, "random", None)),
        ({"loss": "triplet"}, (128, "balanced", 4)),
        ({"loss": "hier"}, (128, "balanced", 2)),
        ({"loss": "hyp"}, (128, "balanced", 2)),
        ({"loss": "hpl", "images_per_class": 3}, (126, "balanced", 3)),
        ({"loss": "triplet", "batch_size": 18}, (16, "balanced", 4)),
    ],
)
def test_batches_hold_whole_classes(options, batch):
    data = from_options(options).data
    assert (data.batch_size, data.sampler, data.images_per_class) == batch


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "cub", "train_groups": ["a"]}, "^--train-groups does not go with"),
        ({"image_size": 32}, "^--image-size does not go with glyphs"),
        ({"level_sizes": [3, 9]}, "^--level-sizes go from fine to coarse"),
        ({"loss": "hpl-taxonomy", "data": "cub"}, "loss hpl` learns a hierarchy"),
        ({"loss": "mse"}, "--loss takes any of hpl, .* Received: mse"),
        ({"data": "glyhps"}, "neither a data set .* Did you mean 'glyphs'"),
        ({"data": "a/", "image_size": 16}, "^--image-size must be at least 32 for eff"),
        (
            {"data": "a/", "preset": "so_cnn_letters", "from_scratch": True},
            "^--from-scratch does not go with --preset.*Received: --preset so_cnn_lett",
        ),
        ({"batch_size": 2, "images_per_class": 4}, "^--images-per-class must divide"),
    ],
)
def test_what_is_wrong_is_said_of_the_option(options, message):
    with pytest.raises(ValueError, match=message):
        from_options(options)


def test_settings_are_changed_as_those_of_a_recipe():
    recipe = from_options({"loss": "hier"}, ["loss.hier.margin=0.3", "loss.alpha=16"])
    assert (recipe.loss[1].margin, recipe.loss[0].alpha) == (0.3, 16)
    assert recipe.ours == ["loss.hier.margin", "loss.alpha"]
    recipe = from_options({}, ["proxies.orthogonality={strength=1.0,per_proxy=true}"])
    assert recipe.proxies.orthogonality.strength == 1
    with pytest.raises(ValueError, match="hierarchy.lerned: is unknown. Did you mean"):
        from_options({}, ["proxies.hierarchy.lerned=true"])


def test_a_run_is_repeated_by_its_folder(call, tmp_path):
    write_photos(tmp_path / "photos", "abcdefghi", images_per_class=4, side=16)
    options = ("--data", "photos", "--image-size", 16, "--batch-size", 8)
    options += ("--from-scratch",)
    changes = ("--set", "loss.margin=0.2")
    told = (*options, *changes, "--epochs", 1)
    assert call("train", *told, "-o", "zero")[0] == 0
    # Another seed is part of what is repeated.
    told = ("--recipe", "zero", "--seed", 5, "-o", "first")
    code, _, stderr = call("train", *told)
    assert code == 0, stderr
    assert recipes.load("first").training.seeds == [5]
    (tmp_path / "elsewhere").mkdir()
    for recipe in ("first", "first/run.json"):
        again = f"again{len(recipe)}"
        code, _, stderr = call("train", "--recipe", recipe, "-o", again)
        assert code == 0, stderr
        first, second = (
            json.loads((tmp_path / folder / "metrics.json").read_text())
            for folder in ("first", again)
        )
        assert first["test"] == second["test"]
    assert recipes.load("first").loss[0].margin == 0.2
    # Told again as a whole, or not at all.
    told = ("train", *options, *changes, "--seed", 5, "--resume", "-o", "first")
    code, stdout, _ = call(*told, "--epochs", 2)
    assert code == 0 and "epoch 2/2" in stdout
    code, _, stderr = call("train", "--loss", "hier", "--resume", "-o", "first")
    assert code == 2 and "was started with" in stderr


def test_any_run_can_be_tried(call):
    options = ("--data", "photos/", "--loss", "hpl-taxonomy", "--image-size", 32)
    code, stdout, stderr = call(
        "train",
        *options,
        "--batch-size",
        8,
        "--set",
        "model.embedding_dim=2",
        "--dry-run",
    )
    assert code == 0, stderr
    assert "photos-hpl-taxonomy: hpl-taxonomy on photos" in stdout


PRESET = (
    'model.backbone.architecture="ResNetBackbone"',
    "model.backbone.arguments=",
    'model.backbone.preset="resnet_18_imagenet"',
    'data.name="cub"',
    "data.image_size=",
)


@pytest.mark.filterwarnings("ignore:.*This is a part of it")
def test_a_recipe_with_a_preset_is_read_in_its_size(tiny_recipe, tmp_path):
    text = tiny_recipe.read_text().replace("arguments = { filters = 4 }\n", "")
    tiny_recipe.write_text(text)
    changes = [each for each in PRESET if "arguments" not in each]
    recipe = recipes.load(tiny_recipe, changes)
    write_cub(tmp_path, num_classes=12)
    place = runs.Place(root=str(tmp_path))
    data = runs.load_data(recipe.data, place, recipe.image_shape)
    assert data.train.images.shape[1:] == (224, 224, 3)


def test_a_preset_as_it_is_needs_no_more(tiny_recipe):
    stated = ["model.embedding_dim=", "model.pooling=", "model.last_norm="]
    with pytest.raises(ValueError) as error:
        recipes.load(tiny_recipe, stated)
    lines = [line.split(": ", 1)[1] for line in str(error.value).splitlines()]
    assert lines == [f"{change[:-1]}: is missing." for change in stated]
    with pytest.raises(ValueError, match="architecture: is missing: conv4 or eff"):
        recipes.load(tiny_recipe, ["model.backbone.architecture="])


def test_a_preset_for_losses_over_pairs_has_no_proxies():
    from tests.small_run import make_data

    train = make_data(shape=(32, 32, 1)).train
    recipe = from_options({"preset": "so_cnn_letters", "loss": "sup-con"})
    embedder = recipes.build_embedder(recipe, train, 0, 2)
    assert embedder.proxies is None
    assert isinstance(embedder.loss, losses.SupConLoss)


def test_folders_whose_names_are_no_text(tmp_path):
    folder = tmp_path / "photos\udcff"
    recipe = from_options({"data": f"{folder}/", "preset": f"{folder}-preset"})
    place = runs.Place(root=str(folder))
    Record(recipe, place).write(tmp_path)
    assert read_record(tmp_path).recipe == recipe == recipes.load(tmp_path)
    assert read_record(tmp_path).place == place
