import keras
import numpy as np
import pytest

from keras_hierproxy import ops
from tests.gradients import value_and_gradients


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def as_float32(x):
    return keras.ops.convert_to_tensor(np.asarray(x, "float32"))


def test_log_weights():
    weights = as_float32([0.0, 1.0, 2.0, 0.5, -1.0])
    expected = [ops.MASKED, 0.0, np.log(2), np.log(0.5), ops.MASKED]
    np.testing.assert_allclose(to_numpy(ops.log_weights(weights)), expected, rtol=1e-6)


def test_log_weights_have_finite_gradients():
    weights = as_float32([0.0, 2.0])
    _, (gradient,), _ = value_and_gradients(
        lambda w: keras.ops.sum(ops.log_weights(w)), [weights]
    )
    np.testing.assert_allclose(gradient, [0.0, 0.5])


def test_weighted_mean():
    values, weights = as_float32([1.0, 2.0, 4.0]), as_float32([1.0, 0.0, 3.0])
    assert float(ops.weighted_mean(values, weights)) == pytest.approx(13 / 4)


def test_weighted_mean_of_nothing_is_zero():
    values, nothing = as_float32([1.0, 2.0]), as_float32([0.0, 0.0])
    value, (gradient,), _ = value_and_gradients(
        lambda v: ops.weighted_mean(v, nothing), [values]
    )
    assert value == 0.0
    np.testing.assert_array_equal(gradient, [0.0, 0.0])


@pytest.mark.parametrize("axis", [0, 1])
def test_log_one_plus_sum_exp(axis):
    logits = np.random.default_rng(0).normal(size=(4, 5)) * 3
    expected = np.log1p(np.exp(logits).sum(axis))
    actual = to_numpy(ops.log_one_plus_sum_exp(as_float32(logits), axis))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_log_one_plus_sum_exp_far_out():
    logits = as_float32([[5000.0, 5000.0], [-30.0, -40.0], [-5000.0, ops.MASKED]])
    actual = to_numpy(ops.log_one_plus_sum_exp(logits, 1))
    expected = [5000 + np.log(2), np.exp(-30) + np.exp(-40), 0.0]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_masked_logits_have_no_value_and_no_gradient():
    logits = np.full((2, 3), ops.MASKED, "float32")
    logits[1, 1] = 2.0
    value, (gradient,), _ = value_and_gradients(
        lambda x: keras.ops.sum(ops.log_one_plus_sum_exp(x, 1)), [logits]
    )
    assert value == pytest.approx(np.log1p(np.exp(2.0)))
    expected = np.zeros((2, 3))
    expected[1, 1] = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


LOGITS = np.random.default_rng(0).normal(size=(4, 5))
LABELS = np.array([3, 0, 3, 4])


def test_is_own():
    expected = LABELS[:, None] == np.arange(5)
    actual = ops.is_own(keras.ops.convert_to_tensor(LABELS.astype("int32")), 5)
    np.testing.assert_array_equal(to_numpy(actual), expected)


def test_at_own():
    labels = LABELS.astype("int32")
    value, (gradient,), _ = value_and_gradients(
        lambda x: keras.ops.sum(ops.at_own(x, labels) ** 2), [as_float32(LOGITS)]
    )
    own = LOGITS[np.arange(4), LABELS]
    assert value == pytest.approx(np.square(own).sum(), rel=1e-5)
    expected = np.zeros_like(LOGITS)
    expected[np.arange(4), LABELS] = 2 * own
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_cross_entropy_of_one_class():
    logits = as_float32([[3.0], [-2.0]])
    labels = np.zeros(2, "int32")
    value, (gradient,), _ = value_and_gradients(
        lambda x: keras.ops.sum(ops.cross_entropy(x, labels)), [logits]
    )
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros((2, 1)))


def test_cross_entropy():
    own = LOGITS[np.arange(4), LABELS]
    expected = np.log(np.exp(LOGITS).sum(1)) - own
    actual = to_numpy(ops.cross_entropy(as_float32(LOGITS), LABELS))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_cross_entropy_with_targets_apart():
    target = np.array([-1.0, 0.5, 3.0, 0.0])
    others = np.exp(LOGITS).sum(1) - np.exp(LOGITS[np.arange(4), LABELS])
    expected = np.log(np.exp(target) + others) - target
    actual = ops.cross_entropy(as_float32(LOGITS), LABELS, as_float32(target))
    np.testing.assert_allclose(to_numpy(actual), expected, rtol=1e-5)


def test_cross_entropy_far_out():
    logits = as_float32([[1e4, 0.0], [0.0, 1e4]])
    actual = to_numpy(ops.cross_entropy(logits, np.array([0, 0])))
    np.testing.assert_allclose(actual, [0.0, 1e4])
