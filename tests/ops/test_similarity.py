import keras
import numpy as np
import pytest

from keras_hierproxy import ops
from tests.gradients import (
    assert_gradients_close,
    numerical_gradient,
    value_and_gradients,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(5, 4))
PROXIES = RANDOM.normal(size=(6, 4))
CENTERS = RANDOM.normal(size=(6, 3, 4))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def as_float32(x):
    return np.asarray(x, "float32")


def weighted_sum(x, weights):
    return keras.ops.sum(keras.ops.multiply(x, as_float32(weights)))


@pytest.mark.parametrize("x", [X, X[0], CENTERS], ids=np.shape)
def test_l2_normalize(x):
    normalized = to_numpy(ops.l2_normalize(as_float32(x)))
    np.testing.assert_allclose(normalized, unit(x), rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e15])
def test_l2_normalize_of_any_length(scale):
    normalized = to_numpy(ops.l2_normalize(as_float32(scale * X)))
    np.testing.assert_allclose(normalized, unit(X), rtol=1e-5)


def test_gradient_of_l2_normalize():
    weights = RANDOM.normal(size=X.shape)
    _, (gradient,), _ = value_and_gradients(
        lambda x: weighted_sum(ops.l2_normalize(x), weights),
        [as_float32(X)],
    )
    expected = numerical_gradient(lambda x: (unit(x) * weights).sum(), X)
    assert_gradients_close(gradient, expected, 1e-5)


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("zero", [0.0, 1e-8, 1e-30])
def test_zero_vectors_have_no_direction_and_no_gradient(zero, jit):
    x = as_float32(X)
    x[2] = zero
    value, (gradient,), _ = value_and_gradients(
        lambda x: keras.ops.sum(ops.l2_normalize(x)[2]), [x], jit=jit
    )
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros_like(x))


@pytest.mark.parametrize("scale", [1.0, 32.0])
@pytest.mark.parametrize("proxies", [PROXIES, CENTERS], ids=np.shape)
def test_cosine_similarity(proxies, scale):
    similarity = ops.cosine_similarity(as_float32(X), as_float32(proxies), scale)
    expected = scale * np.einsum("bd,...d->b...", unit(X), unit(proxies))
    np.testing.assert_allclose(to_numpy(similarity), expected, atol=1e-6 * scale)


def test_gradient_of_cosine_similarity():
    weights = RANDOM.normal(size=(5, 6))

    def value(x, proxies):
        return weighted_sum(ops.cosine_similarity(x, proxies), weights)

    def expected(x, proxies):
        return (unit(x) @ unit(proxies).T * weights).sum()

    _, (by_x, by_proxies), _ = value_and_gradients(
        value, [as_float32(X), as_float32(PROXIES)]
    )
    expected_by_x = numerical_gradient(lambda x: expected(x, PROXIES), X)
    expected_by_proxies = numerical_gradient(lambda p: expected(X, p), PROXIES)
    assert_gradients_close(by_x, expected_by_x, 1e-5)
    assert_gradients_close(by_proxies, expected_by_proxies, 1e-5)


def test_zero_proxies_are_similar_to_nothing():
    def total(x, proxies):
        return keras.ops.sum(ops.cosine_similarity(x, proxies))

    zeros = np.zeros((6, 4), "float32")
    value, gradients, _ = value_and_gradients(total, [as_float32(X), zeros])
    assert value == 0.0
    assert not any(gradient.any() for gradient in gradients)


def test_center_similarity():
    similarity = to_numpy(ops.center_similarity(as_float32(X), as_float32(CENTERS)))
    assert similarity.shape == (5, 6, 3)
    expected = np.einsum("bd,ckd->bck", unit(X), unit(CENTERS))
    np.testing.assert_allclose(similarity, expected, atol=1e-6)
    single = to_numpy(ops.center_similarity(as_float32(X), as_float32(PROXIES)))
    np.testing.assert_allclose(
        single, (unit(X) @ unit(PROXIES).T)[..., None], atol=1e-6
    )
