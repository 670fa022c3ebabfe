"""A saved model is compiled as it was, and trains on as if it had not been saved."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny

# Keras says so of each model that was saved before its first step.
pytestmark = pytest.mark.filterwarnings("ignore:Skipping variable loading")

TAXONOMY = np.array([[0], [0], [1], [1]])


def saved_and_loaded(model, folder, **options):
    path = folder / "model.keras"
    model.save(path)
    return keras.models.load_model(path, **options)


def image_embedder(**options):
    return khp.models.ImageEmbedder(
        khp.models.conv4((16, 16, 3), filters=2),
        **{"num_classes": tiny.NUM_CLASSES, "embedding_dim": 8} | options,
    )


def make_embedding_model():
    layer = khp.layers.HierProxies(tiny.NUM_CLASSES, level_sizes=(3, 2), name="proxies")
    return tiny.embedding_model(layer), tiny.INPUTS, tiny.LABELS


def make_image_embedder():
    layer = khp.layers.HierProxies(tiny.NUM_CLASSES, level_sizes=(3, 2), name="proxies")
    return image_embedder(proxies=layer), tiny.IMAGES, tiny.IMAGE_LABELS


@pytest.fixture(params=[make_embedding_model, make_image_embedder], scope="module")
def trained(request):
    """A model in the middle of training a learned hierarchy, and its data."""
    keras.utils.set_random_seed(0)
    model, x, y = request.param()
    loss = khp.losses.HierProxyLoss() + 0.5 * khp.losses.MultiSimilarityLoss()
    model.compile(loss=loss, run_eagerly=tiny.EAGERLY)
    update = khp.callbacks.HierarchyUpdate(warmup_epochs=1, every=2)
    tiny.fit(model, x, y, epochs=2, callbacks=[update])
    return model, x, y


@pytest.fixture(scope="module")
def loaded(trained, tmp_path_factory):
    return saved_and_loaded(trained[0], tmp_path_factory.mktemp("saved"))


def test_the_model_is_the_same(trained, loaded):
    model, x, _ = trained
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.embed(x), model.embed(x))
    saved = tiny.values(model.weights)
    for path, value in tiny.values(loaded.weights).items():
        np.testing.assert_array_equal(value, saved[path], err_msg=path)
    ours, theirs = model.layers[-1], loaded.layers[-1]
    assert theirs.learned and theirs.is_ready()
    for level in (1, 2):
        np.testing.assert_array_equal(theirs.parents(level), ours.parents(level))


def test_the_loss_is_bound_to_the_loaded_layer(trained, loaded):
    model, _, _ = trained
    assert loaded.loss.terms[0].proxies is loaded.layers[-1]
    assert loaded.loss.weights == model.loss.weights
    assert loaded.loss.terms[0].get_config() == model.loss.terms[0].get_config()


def test_the_optimizer_keeps_its_state(trained, loaded):
    ours, theirs = trained[0].optimizer, loaded.optimizer
    assert len(theirs.optimizers) == len(ours.optimizers)
    assert int(keras.ops.convert_to_numpy(theirs.iterations)) > 0
    state = [keras.ops.convert_to_numpy(v) for v in ours.variables]
    assert len(theirs.variables) == len(state)
    for variable, value in zip(theirs.variables, state, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(variable), value, err_msg=variable.path
        )
    assert any(value.any() for value in state if value.ndim == 2), "moments"
    for variable in loaded.trainable_variables:
        assert float(
            keras.ops.convert_to_numpy(theirs._optimizer_map(variable).learning_rate)
        ) == pytest.approx(1e-2 if variable.path.startswith("proxies/") else 1e-3), (
            variable.path
        )


def test_training_goes_on(trained, loaded):
    (model, x, y), update = trained, khp.callbacks.HierarchyUpdate(1, 2)
    # Epoch 3 refreshes the hierarchy again.
    run = {"initial_epoch": 2, "epochs": 4, "callbacks": [update]}
    expected, actual = tiny.fit(model, x, y, **run), tiny.fit(loaded, x, y, **run)
    assert actual == expected
    assert set(actual) == {"loss", "hier_proxy_loss", "multi_similarity_loss"}
    after = tiny.values(model.weights)
    for path, value in tiny.values(loaded.weights).items():
        np.testing.assert_array_equal(value, after[path], err_msg=path)


@pytest.mark.parametrize("jit_compile", ["auto", True, False])
def test_jit_compile_stays_as_asked(jit_compile, tmp_path):
    model = tiny.compiled_model(run_eagerly=False, jit_compile=jit_compile)
    loaded = saved_and_loaded(model, tmp_path)
    assert loaded.get_compile_config()["jit_compile"] == jit_compile
    assert loaded.jit_compile == model.jit_compile


def test_a_loss_bound_by_hand_finds_its_layer_again(tmp_path):
    fine, coarse = (
        khp.layers.Proxies(4, name="fine"),
        khp.layers.Proxies(5, name="coarse"),
    )
    inputs = keras.Input((6,))
    model = khp.models.EmbeddingModel(
        inputs, coarse(fine(keras.layers.Dense(8)(inputs)))
    )
    loss = khp.losses.ProxyAnchorLoss(proxies=coarse) + khp.losses.CosFaceLoss(
        proxies=fine
    )
    model.compile("sgd", loss=loss)
    loaded = saved_and_loaded(model, tmp_path)
    assert [t.proxies for t in loaded.loss.terms] == [
        loaded.get_layer("coarse"),
        loaded.get_layer("fine"),
    ]


def test_settings_of_the_loss_are_kept(tmp_path):
    base = khp.losses.CosFaceLoss(margin=0.2)
    model = tiny.compiled_model(
        khp.losses.HierProxyLoss(base, level_weights=[1.0, 0.1])
    )
    loss = saved_and_loaded(model, tmp_path).loss
    assert (loss.base.margin, loss.level_weights) == (0.2, [1.0, 0.1])


def test_what_stood_still_still_does(tmp_path):
    model = tiny.compiled_model(khp.losses.SupConLoss())
    loaded = saved_and_loaded(model, tmp_path)
    paths = [v.path for v in loaded.trainable_variables]
    assert paths == ["dense/kernel", "dense/bias"]


def test_a_given_taxonomy(tmp_path):
    layer = khp.layers.HierProxies(tiny.NUM_CLASSES, taxonomy=TAXONOMY, name="proxies")
    model = tiny.compiled_model(khp.losses.HierProxyLoss(), layer)
    tiny.fit(model)
    loaded = saved_and_loaded(model, tmp_path)
    again = loaded.get_layer("proxies")
    assert not again.learned and again.is_ready()
    np.testing.assert_array_equal(again.parents(1), TAXONOMY[:, 0])
    # With nothing to learn, no update is added, which would raise.
    assert tiny.fit(loaded) == tiny.fit(model)


def test_without_compiling(tmp_path):
    for model in (tiny.compiled_model(), tiny.embedding_model()):
        loaded = saved_and_loaded(model, tmp_path, compile=False)
        assert not loaded.compiled
        np.testing.assert_array_equal(
            loaded.embed(tiny.INPUTS), model.embed(tiny.INPUTS)
        )


def test_a_model_that_was_never_compiled(tmp_path):
    assert not saved_and_loaded(tiny.embedding_model(), tmp_path).compiled


def test_a_compiled_model_without_an_optimizer_state(tmp_path):
    model = tiny.embedding_model()
    model.compile(optimizer=None, loss=khp.losses.ProxyAnchorLoss())
    loaded = saved_and_loaded(model, tmp_path)
    assert loaded.optimizer is None and loaded.loss.proxies is not None


def test_weights_alone(tmp_path):
    model, other = tiny.compiled_model(), tiny.compiled_model()
    tiny.fit(model)
    model.get_layer("proxies").refresh()
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    for path, value in tiny.values(model.weights).items():
        np.testing.assert_array_equal(tiny.values(other.weights)[path], value)


def test_a_configuration_of_an_earlier_version_compiles():
    model = tiny.compiled_model()
    config = model.get_compile_config()
    config["weight_paths"] = config["optimizer"].pop("weight_paths")
    other = tiny.embedding_model()
    other.compile_from_config(config)
    tiny.fit(other)
