import keras
import numpy as np
import pytest
from keras import ops

import keras_hierproxy as khp
from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.layers import LatentHierarchy


def to_numpy(x):
    return ops.convert_to_numpy(x)


def built(*arguments, dimension=64, **options):
    layer = LatentHierarchy(*arguments, **options)
    layer.build((None, dimension))
    return layer


def test_embeddings_pass_through_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    points = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    passed = LatentHierarchy(7)(points)
    assert keras.backend.standardize_dtype(passed.dtype) == "float32"
    np.testing.assert_array_equal(to_numpy(passed), points)


@pytest.mark.parametrize(
    "geometry, radius", [(None, 2.3), (PoincareBall(1.0, 0.9), 0.9), (Sphere(), 1.0)]
)
def test_start(geometry, radius):
    layer = built(1000, geometry)
    values = to_numpy(layer.proxies)
    assert values.shape == (1000, 64)
    assert values.std() == pytest.approx(0.9 * radius / 8, rel=0.02)
    norms = np.linalg.norm(values, axis=1)
    assert norms.mean() == pytest.approx(0.9 * radius, rel=0.02)


def test_points_are_projected():
    layer = built(10, PoincareBall(1.0, 0.9))
    expected = PoincareBall(1.0, 0.9).project(layer.proxies)
    np.testing.assert_allclose(to_numpy(layer.points()), to_numpy(expected))
    assert np.linalg.norm(to_numpy(layer.points()), axis=1).max() < 1


def test_one_seed_gives_one_start():
    first, second, other = (
        to_numpy(built(10, seed=seed).proxies) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_seeds_advance_in_training_and_by_hand_only():
    layer = built(10, seed=5)
    points = np.zeros((1, 64), "float32")

    def next_seed(training):
        layer(points, training=training)
        return tuple(to_numpy(layer.next_seed()).tolist())

    seeds = [next_seed(True), next_seed(True), next_seed(None)]
    assert len(set(seeds)) == 3
    evaluated = {next_seed(False), next_seed(False)}
    assert len(evaluated) == 1
    continued = next_seed(True)
    again = built(10, seed=5)
    expected = [tuple(to_numpy(again.next_seed()).tolist()) for _ in range(4)]
    assert [*seeds, continued] == expected


def test_saving_keeps_values_and_the_seeds(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, LatentHierarchy(6, name="latent")(inputs))
    layer = model.get_layer("latent")
    layer.next_seed()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").get_layer("latent")
    np.testing.assert_array_equal(to_numpy(loaded.proxies), to_numpy(layer.proxies))
    for _ in range(2):
        expected, found = to_numpy(layer.next_seed()), to_numpy(loaded.next_seed())
        np.testing.assert_array_equal(found, expected)


def test_config():
    layer = LatentHierarchy(6, PoincareBall(0.5, 1.0), seed=3)
    again = LatentHierarchy.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.geometry == PoincareBall(0.5, 1.0) and again.num_proxies == 6


@pytest.mark.parametrize("value", [0, 2.0, True, "512"])
def test_a_bad_number_of_proxies(value):
    with pytest.raises(ValueError, match="`num_proxies` must be a positive int"):
        LatentHierarchy(value)


def test_bad_input():
    with pytest.raises(ValueError, match=r"\(batch, dimension\).*\(None, 3, 4\)"):
        LatentHierarchy(5)(keras.Input((3, 4)))


def test_it_is_no_layer_of_class_proxies():
    assert not issubclass(LatentHierarchy, khp.layers.Proxies)
