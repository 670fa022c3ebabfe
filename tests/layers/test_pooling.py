import keras
import numpy as np
import pytest

from keras_hierproxy.layers import GeneralizedMeanPooling2D
from tests.gradients import (
    assert_gradients_close,
    numerical_gradient,
    value_and_gradients,
)

X = np.random.default_rng(0).uniform(-0.2, 2.0, size=(3, 5, 4, 6))


def reference(x, p, epsilon=1e-6, axes=(1, 2)):
    return np.mean(np.maximum(x, epsilon) ** p, axis=axes) ** (1 / p)


def pool(layer, x):
    return keras.ops.convert_to_numpy(layer(x.astype("float32")))


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, 6.5])
def test_equals_numpy(exponent):
    pooled = pool(GeneralizedMeanPooling2D(exponent), X)
    np.testing.assert_allclose(pooled, reference(X, exponent), rtol=1e-5)


def test_exponent_one_is_the_average_of_positive_maps():
    pooled = pool(GeneralizedMeanPooling2D(1.0), np.abs(X))
    np.testing.assert_allclose(pooled, np.abs(X).mean((1, 2)), rtol=1e-5)


def test_large_exponents_near_the_maximum():
    pooled = pool(GeneralizedMeanPooling2D(60.0), X)
    np.testing.assert_allclose(pooled, X.max((1, 2)), rtol=0.06)


def test_channels_first():
    layer = GeneralizedMeanPooling2D(data_format="channels_first")
    pooled = pool(layer, X.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(pooled, reference(X, 3.0), rtol=1e-5)
    assert layer.compute_output_shape((None, 6, 5, 4)) == (None, 6)


def test_shapes():
    layer = GeneralizedMeanPooling2D()
    assert layer(keras.Input((5, 4, 6))).shape == (None, 6)
    assert layer(keras.Input((None, None, 6))).shape == (None, 6)
    assert layer.compute_output_shape((None, 5, 4, 6)) == (None, 6)


def test_learns_its_exponent():
    layer = GeneralizedMeanPooling2D()
    layer.build(X.shape)
    weights = np.random.default_rng(1).normal(size=(3, 6))

    def weighted_sum(x):
        return keras.ops.sum(keras.ops.multiply(layer(x), weights.astype("float32")))

    _, (by_x,), (by_p,) = value_and_gradients(
        weighted_sum, [X.astype("float32")], [layer.p]
    )
    expected_by_x = numerical_gradient(lambda x: (reference(x, 3) * weights).sum(), X)
    expected_by_p = numerical_gradient(
        lambda p: (reference(X, p[0]) * weights).sum(), np.array([3.0])
    )
    assert_gradients_close(by_x, expected_by_x)
    assert float(by_p) == pytest.approx(expected_by_p[0], rel=1e-4)


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-30, 1e6])
def test_flat_maps_have_finite_gradients(value):
    layer = GeneralizedMeanPooling2D()
    layer.build(X.shape)
    x = np.full(X.shape, value, "float32")
    pooled, (by_x,), (by_p,) = value_and_gradients(
        lambda x: keras.ops.sum(layer(x)), [x], [layer.p]
    )
    assert np.isfinite(pooled) and np.isfinite(by_x).all() and np.isfinite(by_p)


def test_mixed_precision_rounds_only_input_and_output():
    keras.config.set_dtype_policy("mixed_bfloat16")
    # 3.01 is 3.02 in bfloat16; squares of 1e-5 are 0 in float16.
    layer = GeneralizedMeanPooling2D(3.01)
    x = keras.ops.cast(1e-3 * np.abs(X), "bfloat16")
    pooled = layer(x)
    assert keras.backend.standardize_dtype(pooled.dtype) == "bfloat16"
    assert layer.p.dtype == "float32"
    exact = reference(keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")), 3.01)
    rounded = keras.ops.cast(exact.astype("float32"), "bfloat16")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(keras.ops.cast(pooled, "float32")),
        keras.ops.convert_to_numpy(keras.ops.cast(rounded, "float32")),
    )


def test_config_round_trip():
    layer = GeneralizedMeanPooling2D(2.5, epsilon=1e-4, data_format="channels_first")
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is GeneralizedMeanPooling2D
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("exponent", [0, -1.0])
def test_exponent_must_be_positive(exponent):
    with pytest.raises(ValueError, match="`exponent` must be a positive number"):
        GeneralizedMeanPooling2D(exponent)
