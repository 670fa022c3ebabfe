"""What is built from a recipe."""

import keras
import numpy as np
import pytest

from keras_hierproxy import layers, losses, recipes
from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.models import ImageEmbedder, conv4
from keras_hierproxy.regularizers import SoftOrthogonality
from tests import keras_hub, tiny

RNG = np.random.default_rng(0)
LABELS = np.stack([np.arange(24) // 3, np.arange(24) // 6], axis=1)
TRAIN = RetrievalDataset(
    RNG.integers(0, 256, (24, 16, 16, 3)).astype("uint8"), LABELS, name="toys"
)
TRANSFORMER = (
    'model.backbone.architecture="DeiTBackbone"',
    "model.backbone.arguments={patch_size=8,num_layers=1,num_heads=2,hidden_dim=8,"
    "intermediate_dim=8}",
    "model.backbone.scale=[0.00784313725490196]",
    "model.backbone.offset=[-1.0]",
    'model.pooling="token"',
    'model.freeze=["patch_embedding"]',
    "model.last_norm=true",
)
BALL = (
    'model.geometry.name="poincare_ball"',
    "model.geometry.curvature=0.1",
    "model.geometry.clip_radius=2.3",
)
HIER = (
    "loss=[{name='proxy_anchor',margin=0.1,alpha=32.0},{name='hier',weight=0.5,"
    "margin=0.1,temperature=0.1,num_neighbors=6,triplets_per_anchor=2}]",
    "proxies.latent=8",
    "optimizer.learning_rate.latent=5e-3",
    *BALL,
)


@pytest.fixture
def build(tiny_recipe):
    """A function of overrides that returns a recipe, its batches and embedder."""

    def build(*changes, **options):
        # A table in a file cannot be set as a whole.
        text = tiny_recipe.read_text()
        inline = "arguments = { filters = 4 }\n"
        if any(change.startswith("model.backbone.arguments") for change in changes):
            text = text.replace(inline, "")
        tiny_recipe.write_text(text)
        recipe = recipes.load(tiny_recipe, changes)
        batches = recipes.batches(recipe, TRAIN, seed=0)
        steps = len(batches)
        embedder = recipes.build_embedder(recipe, TRAIN, 0, steps, **options)
        return recipe, batches, embedder

    return build


def trained(batches, embedder, epochs=1, **options):
    embedder.run_eagerly = tiny.EAGERLY
    history = embedder.fit(batches, epochs=epochs, verbose=0, **options).history
    assert np.isfinite(history["loss"]).all()
    points = embedder.embed(TRAIN.images)
    assert points.shape == (24, embedder.embedding_dim) and np.isfinite(points).all()
    return history


def test_proxy_anchor(build):
    recipe, batches, embedder = build("loss.margin=0.2", "loss.alpha=16")
    assert isinstance(embedder.loss, losses.ProxyAnchorLoss)
    assert (embedder.loss.margin, embedder.loss.alpha) == (0.2, 16)
    assert embedder.proxies.num_classes == 8 and embedder.latent is None
    assert embedder.geometry == Sphere() and embedder.preprocessor is None
    assert len(batches) == 2 and batches.batch_size == 12
    labels = batches[0][1]
    assert (np.bincount(labels)[labels] == 2).all()
    kernel = embedder.get_layer("head").get_weights()[0]
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(4), atol=1e-5)
    trained(batches, embedder)


def test_hpl_learned_with_orthogonal_proxies(build):
    recipe, batches, embedder = build(
        "proxies.hierarchy={learned=true,level_sizes=[3],level_weights=[1.0,0.25],"
        "warmup_epochs=0,every=1}",
        "proxies.orthogonality={strength=0.5,per_proxy=true}",
    )
    assert isinstance(embedder.loss, losses.HierProxyLoss)
    assert embedder.loss.level_weights == [1.0, 0.25]
    assert embedder.proxies.level_sizes == (3,)
    regularizer = embedder.proxies.regularizer
    assert isinstance(regularizer, SoftOrthogonality)
    assert (regularizer.strength, regularizer.per_proxy) == (0.5, True)
    (update,) = recipes.callbacks(recipe)
    assert (update.warmup_epochs, update.every) == (0, 1)
    history = trained(batches, embedder, callbacks=[update])
    assert "orthogonality_excess" in history
    assert keras.ops.convert_to_numpy(embedder.proxies.is_ready())


@pytest.mark.host
def test_hpl_by_the_labels(build):
    recipe, _, embedder = build("proxies.hierarchy.learned=false")
    np.testing.assert_array_equal(embedder.proxies.parents(1), TRAIN.taxonomy[:, 0])
    assert not recipes.callbacks(recipe)
    flat = RetrievalDataset(TRAIN.images, LABELS[:, 0], name="flat")
    message = "proxies.hierarchy.learned: must be true, since the labels of 'flat'"
    with pytest.raises(ValueError, match=message):
        recipes.build_embedder(recipe, flat, 0, 2)


def test_hier_with_a_transformer(build, tmp_path):
    _, batches, embedder = build(*TRANSFORMER, *HIER)
    assert embedder.geometry == PoincareBall(0.1, 2.3)
    assert isinstance(embedder.latent, layers.LatentHierarchy)
    assert embedder.latent.num_proxies == 8
    anchor, hier = embedder.loss.terms
    assert list(embedder.loss.weights) == [1.0, 0.5]
    assert (hier.num_neighbors, hier.triplets_per_anchor) == (6, 2)
    scaled = embedder.preprocessor(TRAIN.images[:1])
    expected = TRAIN.images[:1] / 127.5 - 1
    scaled = keras.ops.convert_to_numpy(scaled)
    np.testing.assert_allclose(scaled, expected, atol=1e-5)
    trained(batches, embedder)

    embedder.save(tmp_path / "embedder.keras")
    again = keras.models.load_model(tmp_path / "embedder.keras")
    assert again.frozen == ("patch_embedding",) and again.last_norm
    points = embedder.embed(TRAIN.images)
    np.testing.assert_allclose(again.embed(TRAIN.images), points, atol=1e-5)


def test_half_precision(build):
    _, batches, embedder = build('training.precision="mixed_float16"')
    assert keras.config.dtype_policy().name == "float32"
    assert embedder.backbone.compute_dtype == "float16"
    assert embedder.proxies.compute_dtype == "float32"
    assert isinstance(embedder.optimizer, keras.optimizers.LossScaleOptimizer)
    trained(batches, embedder)


def test_half_precision_of_a_preset(build, tmp_path):
    """Keras's own models keep the policy that they were saved with, but for this."""
    _, _, saved = build()
    saved.save_to_preset(tmp_path / "preset")
    preset = f'model.backbone.preset="{tmp_path / "preset"}"'
    parts = [preset, "model.backbone.architecture=", "model.backbone.arguments="]
    for precision, dtype in (("mixed_bfloat16", "bfloat16"), ("float32", "float32")):
        changes = [*parts, f'training.precision="{precision}"']
        _, batches, embedder = build(*changes)
        assert {each.compute_dtype for each in embedder.backbone.layers[1:]} == {dtype}
        assert embedder.head.compute_dtype == dtype
        assert embedder.proxies.compute_dtype == "float32"
    trained(batches, embedder)


def rate(embedder, variable, step):
    """The learning rate of a variable at a step."""
    rate = embedder.optimizer._optimizer_map(variable)._learning_rate
    rate = rate(keras.ops.convert_to_tensor(step)) if callable(rate) else rate
    return float(keras.ops.convert_to_numpy(rate))


@pytest.mark.host
def test_epochs_become_steps(build):
    _, _, embedder = build(
        "training.epochs=9",
        "optimizer.warmup_epochs=1",
        'optimizer.schedule.name="step"',
        "optimizer.schedule.epochs=2",
        "optimizer.schedule.gamma=0.5",
        "optimizer.epsilon=1e-4",
        "optimizer.clipvalue=10.0",
    )
    kernel = embedder.backbone.trainable_variables[0]
    proxies = embedder.proxies.proxies
    # Two steps an epoch: the backbone stands still for two, and rates halve at four.
    rates = [rate(embedder, kernel, step) for step in (0, 1, 2, 3, 4, 8)]
    assert rates == pytest.approx([0, 0, 1e-3, 1e-3, 5e-4, 2.5e-4])
    assert rate(embedder, proxies, 0) == pytest.approx(1e-2)
    adam = embedder.optimizer._optimizer_map(proxies)
    assert (adam.epsilon, adam.clipvalue, adam.weight_decay) == (1e-4, 10, 1e-4)


@pytest.mark.host
def test_a_cosine_ends_with_the_run(build):
    _, _, embedder = build('optimizer.schedule.name="cosine"')
    proxies = embedder.proxies.proxies
    rates = [rate(embedder, proxies, step) for step in (0, 2, 4)]
    assert rates == pytest.approx([1e-2, 5e-3, 0], abs=1e-8)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A backbone in keras-hub's format, with its preparation of images."""
    folder = tmp_path_factory.mktemp("preset")
    backbone = keras_hub.models.DeiTBackbone(
        (16, 16, 3), 8, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8
    )
    backbone.save_to_preset(str(folder))
    converter = keras_hub.layers.DeiTImageConverter(image_size=(32, 32), scale=1 / 255)
    converter.save_to_preset(str(folder))
    return folder, backbone


def test_the_weights_of_a_preset(preset, build):
    folder, trained_backbone = preset
    changes = (*TRANSFORMER, f'model.backbone.preset="{folder}"')
    _, _, embedder = build(*changes, "model.backbone.scale=", "model.backbone.offset=")
    assert embedder.preprocessor.scale == pytest.approx(1 / 255)
    # Images have the recipe's size, not the preset's.
    assert embedder.preprocessor.image_size is None
    for ours, theirs in zip(
        embedder.backbone.weights, trained_backbone.weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    _, _, embedder = build(*changes)
    assert embedder.preprocessor.offset == -1.0


@pytest.mark.parametrize("image_size", [16, 24])
def test_a_preset_without_a_head_gets_one(image_size, tiny_recipe, tmp_path):
    """And takes images of the size that the recipe states."""
    backbone = conv4((16, 16, 3), filters=2)
    whole = ImageEmbedder(backbone, embedding_dim=None)
    whole.save_to_preset(tmp_path)
    tree = recipes.load(tiny_recipe).model_dump(exclude_none=True)
    tree["data"]["image_size"] = image_size
    tree["model"] = {"backbone": {"preset": str(tmp_path)}}
    tree["model"]["geometry"] = {"name": "sphere"}
    recipe = recipes.Recipe.model_validate(tree)
    shape = (24, image_size, image_size, 3)
    images = RNG.integers(0, 256, shape).astype("uint8")
    train = RetrievalDataset(images, LABELS, name="a")
    embedder = recipes.build_embedder(recipe, train, 0, 2)
    assert embedder.input_shape == (None, *shape[1:])
    assert embedder.head.units == embedder.embedding_dim == 128
    for ours, theirs in zip(embedder.backbone.weights, backbone.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)
        )
    embedder.run_eagerly = tiny.EAGERLY
    trained = embedder.fit(recipes.batches(recipe, train, 0), verbose=0).history
    assert np.isfinite(trained["loss"]).all()


@pytest.mark.host
def test_without_weights_nothing_is_fetched(build):
    changes = (*TRANSFORMER, 'model.backbone.preset="hf://nobody/nothing"')
    _, _, embedder = build(*changes, load_weights=False)
    assert embedder.backbone.hidden_dim == 8


@pytest.mark.host
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ('model.backbone.architecture="ResNetBackbon"', "model.backbone.scale=[1]"),
            "architecture: ResNetBackbon is unknown. Did you mean ResNetBackbone",
        ),
        (
            (*TRANSFORMER, "model.backbone.arguments.num_layer=3"),
            "arguments.num_layer: is unknown. Did you mean num_layers",
        ),
        (('model.freeze=["patch_embedding"]',), "'conv4' has no patch embedding"),
        (('model.pooling="token"',), "`pooling` must be one of"),
    ],
)
def test_what_does_not_fit_the_backbone(changes, message, build):
    with pytest.raises(ValueError, match=message):
        build(*changes)


@pytest.mark.nightly
def test_a_network_for_photos_scales_them_itself(build, monkeypatch):
    images = RNG.integers(0, 256, (24, 32, 32, 3)).astype("uint8")
    monkeypatch.setitem(globals(), "TRAIN", RetrievalDataset(images, LABELS, name="a"))
    changes = ('model.backbone.architecture="efficientnet_lite"', "data.image_size=32")
    arguments = "model.backbone.arguments={variant=1}"
    _, batches, embedder = build(*changes, arguments)
    assert embedder.preprocessor is None
    assert embedder.backbone.name == "efficientnet_lite1"
    trained(batches, embedder)
    with pytest.raises(ValueError, match="variant"):
        build(*changes, "model.backbone.arguments={variant=9}")


def test_letters_are_cut_to_their_ink(build):
    _, batches, embedder = build("model.fit_to_ink=32")
    assert embedder.preprocessor.image_size == 32
    assert embedder.backbone.input_shape == (None, 32, 32, 3)
    trained(batches, embedder)
    _, batches, embedder = build("model.fit_to_ink=32", *TRANSFORMER)
    ink, scaling = embedder.preprocessor.layers
    assert isinstance(ink, layers.FitToInk)
    assert (scaling.scale, scaling.offset) == (0.00784313725490196, -1.0)
    trained(batches, embedder)
    # Where a letter stands makes no difference.
    letter = np.zeros((1, 16, 16, 3), "uint8")
    letter[0, 2:6, 1:4] = 255
    moved = np.roll(letter, (7, 9), axis=(1, 2))
    np.testing.assert_allclose(embedder.embed(letter), embedder.embed(moved), atol=1e-4)
