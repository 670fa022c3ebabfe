import warnings

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.models import embedder


def build(*args, dimension=6, **kwargs):
    layer = khp.layers.Proxies(*args, **kwargs)
    layer.build((None, dimension))
    return layer


def test_passes_embeddings_through():
    layer = khp.layers.Proxies(5)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(x)), x)
    outputs = layer(keras.Input((6,)))
    assert outputs.shape == (None, 6) and outputs.dtype == "float32"


@pytest.mark.parametrize("centers", [1, 3])
def test_owns_class_major_proxies(centers):
    layer = build(5, centers_per_class=centers)
    assert layer.proxies.shape == (5 * centers, 6)
    assert [v.path for v in layer.trainable_variables] == [layer.proxies.path]
    rows = np.arange(5 * centers).repeat(6).reshape(-1, 6)
    layer.proxies.assign(rows)
    proxies = keras.ops.convert_to_numpy(layer.class_proxies())
    if centers == 1:
        np.testing.assert_array_equal(proxies, rows)
    else:
        assert proxies.shape == (5, centers, 6)
        np.testing.assert_array_equal(proxies[2, :, 0], [6, 7, 8])


def test_he_normal_by_default():
    deviation = np.array(build(2000, dimension=50).proxies).std()
    assert deviation == pytest.approx((2 / 2000) ** 0.5, rel=0.03)


def test_regularizer_reaches_the_model():
    regularizer = khp.regularizers.SoftOrthogonality(0.5)
    layer = build(5, regularizer=regularizer)
    (penalty,) = layer.losses
    penalty = keras.ops.convert_to_numpy(penalty)
    expected = keras.ops.convert_to_numpy(regularizer(layer.proxies.value))
    np.testing.assert_allclose(penalty, expected, rtol=1e-6)
    assert penalty > 0


def test_config_round_trip():
    layer = build(
        5,
        centers_per_class=2,
        initializer=keras.initializers.RandomNormal(stddev=0.3, seed=1),
        regularizer=khp.regularizers.SoftOrthogonality(0.1, per_proxy=True),
        name="items",
    )
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is khp.layers.Proxies
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(np.array(again.proxies), np.array(layer.proxies))
    assert again.regularizer.per_proxy


@pytest.mark.parametrize("num_classes", [0, -3, 2.0, "10", True, None])
def test_wrong_num_classes(num_classes):
    with pytest.raises(ValueError, match="`num_classes` must be a positive int"):
        khp.layers.Proxies(num_classes)


@pytest.mark.parametrize("centers", [0, 1.5, False])
def test_wrong_centers_per_class(centers):
    with pytest.raises(ValueError, match="`centers_per_class` must be a positive int"):
        khp.layers.Proxies(10, centers_per_class=centers)


def test_num_classes_may_be_a_numpy_int():
    assert build(np.int64(4)).get_config()["num_classes"] == 4


@pytest.mark.parametrize("shape", [(7, 7, 6), ()])
def test_wrong_input_shape(shape):
    with pytest.raises(ValueError, match=r"\(batch, dimension\)"):
        khp.layers.Proxies(5)(keras.Input(shape))


def test_float32_under_any_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = keras.Input((6,))
    x = keras.layers.Dense(4)(inputs)
    layer = khp.layers.Proxies(5)
    model = keras.Model(inputs, layer(x))
    assert x.dtype == "bfloat16"
    assert model.output.dtype == layer.proxies.dtype == "float32"
    outputs = model(np.ones((2, 6), "float32"))
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    again = khp.layers.Proxies.from_config(layer.get_config())
    assert again.compute_dtype == "float32"


def test_variables_are_stored_by_name():
    layer, again = build(5), build(5)
    store = {}
    layer.save_own_variables(store)
    assert store.keys() == {"proxies"}
    again.load_own_variables(store)
    np.testing.assert_array_equal(np.array(again.proxies), np.array(layer.proxies))


@pytest.mark.parametrize(("num_classes", "dimension"), [(6, 6), (5, 7)])
def test_loading_another_shape(num_classes, dimension):
    store = {}
    build(5).save_own_variables(store)
    other = build(num_classes, dimension=dimension)
    with pytest.raises(ValueError, match=r"saved with proxies of shape \(5, 6\)"):
        other.load_own_variables(store)


def test_compile_tells_once_of_a_table_that_is_slow(monkeypatch):
    monkeypatch.setattr(embedder, "_DENSE_UP_TO", 29)

    def warnings_of(layer, *losses):
        inputs = keras.Input((6,))
        model = khp.models.EmbeddingModel(inputs, layer(inputs))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for loss in losses:
                model.compile(loss=loss)
        told = [str(each.message) for each in caught]
        return [each for each in told if each.startswith("Each step")]

    loss = khp.losses.ProxyNCALoss()
    (told,) = warnings_of(khp.layers.Proxies(5, name="items"), loss, loss)
    assert "all 5 x 6 proxies of layer 'items'" in told
    assert "`khp.layers.SampledProxies(5)`" in told
    assert not warnings_of(khp.layers.SampledProxies(5, 5), loss)
    assert not warnings_of(khp.layers.Proxies(4), loss)
    # Which stands still.
    assert not warnings_of(khp.layers.Proxies(5), khp.losses.SupConLoss())
