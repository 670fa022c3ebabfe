import resource

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.regularizers import SoftOrthogonality
from tests.gradients import (
    assert_gradients_close,
    numerical_gradient,
    value_and_gradients,
)

FEW = np.random.default_rng(0).normal(size=(5, 8))
MANY = np.random.default_rng(1).normal(size=(20, 6))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def penalty(proxies):
    """As the paper has it, C x C."""
    return np.square(unit(proxies) @ unit(proxies).T - np.eye(len(proxies))).sum()


def floor(num_proxies, dimension):
    return max(num_proxies**2 / dimension - num_proxies, 0.0)


def value_of(regularizer, proxies):
    return measure(regularizer, proxies)[0]


def measure(regularizer, proxies):
    """Value and gradient."""
    array = np.asarray(proxies, "float32")
    value, (gradient,), _ = value_and_gradients(regularizer, [array])
    return value, gradient


def simplex(dimension):
    """`dimension + 1` directions, each as far from every other as can be."""
    corners = np.eye(dimension + 1) - 1 / (dimension + 1)
    basis = np.linalg.svd(corners)[0][:, :dimension]
    return unit(corners @ basis)


@pytest.mark.parametrize("proxies", [FEW, MANY, np.eye(4)[:3] + 0.01], ids=np.shape)
def test_equals_numpy(proxies):
    regularizer = SoftOrthogonality(0.3)
    expected = 0.3 * penalty(proxies)
    assert value_of(regularizer, proxies) == pytest.approx(expected, rel=1e-5)
    value, gradient = measure(regularizer, proxies)
    assert value == pytest.approx(expected, rel=1e-5)
    numerical = numerical_gradient(lambda p: 0.3 * penalty(p), proxies)
    assert_gradients_close(gradient, numerical)


@pytest.mark.parametrize("proxies", [FEW, MANY], ids=np.shape)
def test_per_proxy_is_the_excess_over_the_floor(proxies):
    regularizer = SoftOrthogonality(0.3, per_proxy=True)
    num_proxies, dimension = proxies.shape

    def expected(p):
        return 0.3 * (penalty(p) - floor(num_proxies, dimension)) / num_proxies

    value, gradient = measure(regularizer, proxies)
    assert value == pytest.approx(expected(proxies), rel=1e-5)
    assert_gradients_close(gradient, numerical_gradient(expected, proxies))
    excess = keras.ops.convert_to_numpy(regularizer.excess(proxies.astype("f4")))
    assert excess == pytest.approx(expected(proxies) / 0.3, rel=1e-5)


@pytest.mark.parametrize(
    "proxies",
    [np.eye(6)[:4], np.tile(np.eye(4), (3, 1)), simplex(5), simplex(2)],
    ids=["orthonormal", "three bases", "simplex in 5D", "simplex in 2D"],
)
def test_nothing_is_below_the_floor(proxies):
    """Tight frames reach it; any proxies near them lie above."""
    rotation = np.linalg.qr(
        np.random.default_rng(0).normal(size=(proxies.shape[1],) * 2)
    )
    regularizer = SoftOrthogonality(1.0, per_proxy=True)
    tight = 7.0 * proxies @ rotation[0]
    assert value_of(regularizer, tight) == pytest.approx(0.0, abs=1e-6)
    near = tight + 0.3 * np.random.default_rng(1).normal(size=tight.shape)
    assert value_of(regularizer, near) > 1e-4


def test_per_proxy_strength_transfers_across_class_counts():
    """The excess of random directions is of one scale, the plain penalty is not."""
    random = np.random.default_rng(0)
    counts = (200, 2000)
    plain, scaled = (
        [value_of(regularizer, random.normal(size=(c, 16))) for c in counts]
        for regularizer in (SoftOrthogonality(1.0), SoftOrthogonality(1.0, True))
    )
    assert plain[1] / plain[0] > 80
    assert 0.5 < scaled[1] / scaled[0] < 2


@pytest.mark.parametrize("per_proxy", [False, True])
@pytest.mark.parametrize(
    ("proxies", "padding"),
    [(FEW, 2), (FEW, 9), (MANY, 4)],
    ids=["C<D", "C<D<rows", "C>D"],
)
def test_rows_of_zeros_are_absent(proxies, padding, per_proxy):
    regularizer = SoftOrthogonality(1.0, per_proxy)
    padded = np.pad(proxies, ((0, padding), (0, 0))).astype("float32")
    value, gradient = measure(regularizer, padded)
    _, expected = measure(regularizer, proxies)
    assert value == pytest.approx(value_of(regularizer, proxies), rel=1e-5)
    assert_gradients_close(gradient[: len(proxies)], expected, 1e-5)
    assert not gradient[len(proxies) :].any()


def test_all_zero_is_no_penalty():
    for shape in [(3, 5), (9, 5)]:
        for per_proxy in (False, True):
            regularizer = SoftOrthogonality(1.0, per_proxy)
            value, gradient = measure(regularizer, np.zeros(shape))
            assert value == 0.0
            assert not gradient.any()


def test_many_classes_take_little_memory():
    """10,000 x 10,000 would be 400 MB, and its gradient as much."""
    proxies = np.random.default_rng(0).normal(size=(10_000, 16))
    regularizer = SoftOrthogonality(1.0, per_proxy=True)
    measure(regularizer, proxies[:100])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    value, gradient = measure(regularizer, proxies)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert np.isfinite(value) and gradient.any()
    assert (peak - before) / 1024 < 200, "MB"


def test_trains_proxies_apart():
    layer = khp.layers.Proxies(4, regularizer=SoftOrthogonality(1.0))
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layer(inputs))
    model.compile(
        keras.optimizers.Adam(0.05),
        loss=0.0 * khp.losses.ProxyAnchorLoss(proxies=layer),
    )
    start = value_of(SoftOrthogonality(1.0), np.array(layer.proxies))
    x, labels = np.zeros((2, 8), "float32"), np.zeros(2, int)
    model.fit(x, labels, epochs=40, verbose=0)
    assert value_of(SoftOrthogonality(1.0), np.array(layer.proxies)) < 0.05 * start


def test_config_round_trip():
    regularizer = SoftOrthogonality(0.25, per_proxy=True)
    config = keras.saving.serialize_keras_object(regularizer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is SoftOrthogonality
    assert again.get_config() == {"strength": 0.25, "per_proxy": True}


@pytest.mark.parametrize("strength", [1, 0, np.float32(0.5)])
def test_any_number_is_a_strength(strength):
    assert SoftOrthogonality(strength).get_config()["strength"] == float(strength)


@pytest.mark.parametrize("strength", ["0.1", None, True, -1.0])
def test_wrong_strength(strength):
    with pytest.raises(ValueError, match="`strength` must"):
        SoftOrthogonality(strength)
