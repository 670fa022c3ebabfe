"""Keras's and Python's own ways to copy: clones, configurations, pickles."""

import copy
import gc
import inspect
import pickle

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny

BALL = khp.geometry.PoincareBall()


def embedder(**options):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, 4)(inputs)
    backbone = keras.Model(inputs, keras.layers.BatchNormalization()(x), name="net")
    return khp.models.ImageEmbedder(backbone, num_classes=4, embedding_dim=8, **options)


def compiled(model):
    model.compile(loss=khp.losses.HierProxyLoss(), run_eagerly=tiny.EAGERLY)
    return model


def points(model, x=tiny.IMAGES):
    x = keras.ops.convert_to_tensor(x.astype("float32"))
    return keras.ops.convert_to_numpy(model(x))


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


def as_array(images):
    return np.asarray(images)


EMBEDDERS = {
    "plain": {},
    "preprocessor": {"preprocessor": keras.layers.Rescaling(1 / 255)},
    "function": {"preprocessor": as_array},
    "taxonomy": {"proxies": khp.layers.HierProxies(4, taxonomy=[[0], [0], [1], [1]])},
    "frozen": {"frozen": ["batch_norm"], "last_norm": True, "pooling": "avg_max"},
    "ball": {"geometry": BALL, "latent": khp.layers.LatentHierarchy(8, BALL)},
}


@pytest.mark.parametrize("name", EMBEDDERS)
def test_clone_of_an_embedder(name):
    original = embedder(**EMBEDDERS[name])
    clone = keras.models.clone_model(original)
    assert type(clone) is khp.models.ImageEmbedder and not clone.compiled
    assert clone.geometry == original.geometry and clone.name == original.name
    assert clone.preprocessor is original.preprocessor
    assert clone.proxies in clone.layers and clone.proxies is not original.proxies
    assert clone.get_config().keys() == original.get_config().keys()
    trained = [weight.path for weight in clone.trainable_weights]
    assert trained == [weight.path for weight in original.trainable_weights]
    assert np.abs(points(clone) - points(original)).max() > 1e-3


def test_clone_of_a_compiled_embedder():
    original = compiled(embedder(preprocessor=keras.layers.Rescaling(1 / 255)))
    clone = keras.models.clone_model(original)
    before = points(original)
    assert np.isfinite(tiny.fit(clone, tiny.IMAGES, tiny.IMAGE_LABELS)["loss"])
    np.testing.assert_array_equal(points(original), before)
    assert clone.embed(tiny.IMAGES).shape == (12, 8)


def test_clone_with_two_losses_over_layers():
    original = embedder(**EMBEDDERS["ball"])
    original.compile(loss=khp.losses.ProxyAnchorLoss() + khp.losses.HIERLoss())
    clone = keras.models.clone_model(original)
    assert [term.proxies for term in clone.loss.terms] == [clone.proxies, clone.latent]


def test_clone_of_a_subclass_with_a_constructor_of_its_own():
    class Narrow(khp.models.ImageEmbedder):
        def __init__(self, width, **options):
            inputs = keras.Input((16, 16, 3))
            backbone = keras.Model(inputs, keras.layers.Conv2D(width, 3)(inputs))
            super().__init__(backbone, num_classes=4, **options)

    # As Keras makes it of every functional model: plain, and its loss says what to do.
    clone = keras.models.clone_model(compiled(Narrow(2)))
    assert clone.compiled and not isinstance(clone, khp.models.ImageEmbedder)
    with pytest.raises(ValueError, match="not bound to a proxy layer"):
        clone.fit(tiny.IMAGES, tiny.IMAGE_LABELS, verbose=0)


def test_a_plain_model_that_is_loaded_says_which_layer_to_give(tmp_path):
    proxies = khp.layers.Proxies(4, name="mine")
    layers = [keras.Input((6,)), keras.layers.Dense(8), proxies]
    model = keras.Sequential(layers)
    model.compile("sgd", loss=khp.losses.ProxyAnchorLoss(proxies=proxies))
    model.save(tmp_path / "plain.keras")
    loaded = keras.models.load_model(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match=r"proxies=model.get_layer\('mine'\)"):
        loaded.fit(tiny.INPUTS, tiny.LABELS, verbose=0)


def test_clone_through_a_function_of_its_layers():
    def without_norm(layer):
        config = layer.get_config()
        return layer.__class__.from_config({**config, "trainable": layer.name != "net"})

    clone = keras.models.clone_model(embedder(), clone_function=without_norm)
    assert not clone.backbone.trainable and clone.backbone in clone.layers


def test_clone_is_saved_and_cloned_again(tmp_path):
    clone = keras.models.clone_model(keras.models.clone_model(embedder()))
    gc.collect()
    clone.save(tmp_path / "clone.keras")
    loaded = keras.models.load_model(tmp_path / "clone.keras")
    np.testing.assert_allclose(points(loaded), points(clone), atol=1e-6)


@pytest.mark.parametrize("made", [tiny.embedding_model, tiny.compiled_model])
def test_clone_of_an_embedding_model(made):
    original = made()
    clone = keras.models.clone_model(original)
    assert type(clone) is khp.models.EmbeddingModel
    if original.compiled:
        assert clone.loss.proxies is clone.layers[-1] is not original.layers[-1]
    else:
        assert np.abs(points(clone, tiny.INPUTS) - points(original, tiny.INPUTS)).any()


def test_a_sequential_backbone():
    layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3)]
    model = compiled(khp.models.ImageEmbedder(keras.Sequential(layers), num_classes=4))
    tiny.fit(model, tiny.IMAGES, tiny.IMAGE_LABELS)
    # Its optimizer's state too, without which loading would fail.
    np.testing.assert_allclose(points(pickled(model)), points(model), atol=1e-6)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_copies_of_models(copied):
    cases = [(embedder(), tiny.IMAGES), (tiny.embedding_model(), tiny.INPUTS)]
    for model, x in cases:
        again = copied(compiled(model))
        np.testing.assert_allclose(points(again, x), points(model, x), atol=1e-6)
        assert again.loss.proxies in again.layers


LATENT = khp.layers.LatentHierarchy(8, BALL, name="latent")
THINGS = [
    *(loss() for loss in vars(khp.losses).values() if inspect.isclass(loss)
      and loss.__module__.startswith("keras_hierproxy.losses.")
      and loss.__name__ not in ("BoundLoss", "EmbeddingLoss", "ProxyLoss", "SumLoss")),
    khp.losses.ProxyAnchorLoss() + 0.5 * khp.losses.MultiSimilarityLoss(),
    khp.losses.HierProxyLoss(khp.losses.CosFaceLoss(), [1.0, 0.25]),
    khp.losses.SupConLoss(geometry=BALL),
    khp.layers.Proxies(4, 2, regularizer=khp.regularizers.SoftOrthogonality(0.1)),
    khp.layers.HierProxies(4, level_sizes=(2,)),
    khp.layers.HierProxies(4, taxonomy=[[0], [0], [1], [1]]),
    khp.layers.SampledProxies(4, 2, level_sizes=(2,), seed=1),
    LATENT,
    khp.layers.ProjectToGeometry(BALL),
    khp.layers.GeneralizedMeanPooling2D(),
    khp.layers.FitToInk(),
    khp.regularizers.SoftOrthogonality(0.1),
    khp.geometry.Sphere(),
    BALL,
    embedder(),
    embedder(geometry=BALL, preprocessor=khp.layers.FitToInk(16)),
    tiny.embedding_model(),
    khp.optimizers.grouped(tiny.embedding_model(), warmup_steps=3),
    khp.optimizers.RowWise(keras.optimizers.AdamW(1e-3, weight_decay=0.1)),
    khp.optimizers.GroupRate(1e-3, keras.optimizers.schedules.CosineDecay(1.0, 9)),
]  # fmt: skip


def test_every_registered_class_is_here():
    registered = {
        cls
        for name, cls in keras.saving.get_custom_objects().items()
        if name.startswith("keras_hierproxy>") and inspect.isclass(cls)
        and cls.__module__.startswith("keras_hierproxy.")
    }  # fmt: skip
    tried = {type(thing) for thing in THINGS}
    missing = {cls.__name__ for cls in registered - tried}
    assert len(registered) > 20 and not missing


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: type(thing).__name__)
def test_from_config_leaves_its_argument_alone(thing):
    config = thing.get_config()
    given = copy.deepcopy(config)
    first, second = type(thing).from_config(given), type(thing).from_config(given)
    assert given == config
    assert first.get_config() == second.get_config() == config
