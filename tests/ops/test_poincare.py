"""The ball against float64, and finite where formulas divide by zero."""

import functools

import numpy as np
import pytest
from keras import ops

from keras_hierproxy.ops import (
    clip_to_radius,
    exponential_map,
    poincare_distance,
    riemannian_gradient,
)
from keras_hierproxy.ops.poincare import norm
from tests.gradients import differentiated, value_and_gradients

C = 0.1
RADIUS = 1 / np.sqrt(C)
RNG = np.random.default_rng(0)


def in_ball(rows, dimension=6, largest=0.95, rng=RNG):
    """Float32 points of the ball of curvature 0.1, at all distances from the origin."""
    directions = rng.normal(size=(rows, dimension))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    norms = largest * RADIUS * rng.random((rows, 1))
    return (norms * directions).astype("float32")


def distance(x, y, c=C):
    """By the difference form in float64."""
    x, y = x.astype("float64"), y.astype("float64")
    difference = np.linalg.norm(x[:, None] - y[None], axis=-1)
    gaps = np.outer(1 - c * np.square(x).sum(1), 1 - c * np.square(y).sum(1))
    return 2 / np.sqrt(c) * np.arcsinh(np.sqrt(c) * difference / np.sqrt(gaps))


def to_numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1.0, 1e15, 1e30])
def test_norm_of_any_length(scale):
    x = np.float32(scale) * np.array([[3.0, 4.0], [0.0, 0.0]], "float32")
    value, (gradient,), _ = value_and_gradients(lambda x: ops.sum(norm(x)), [x])
    assert value == pytest.approx(5 * scale, rel=1e-6)
    np.testing.assert_allclose(gradient, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_clip():
    x = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]], "float32")
    expected = [[1.2, 1.6], [0.3, 0.4], [0, 0]]
    np.testing.assert_allclose(to_numpy(clip_to_radius(x, 2.0)), expected, rtol=1e-5)


@pytest.mark.parametrize("c", [0.01, 0.1, 1.0, 5.0])
def test_exponential_map(c):
    x = RNG.normal(size=(20, 4)) * np.geomspace(1e-8, 0.7, 20)[:, None] / np.sqrt(c)
    x = x.astype("float32")
    size = np.sqrt(c) * np.linalg.norm(x.astype("float64"), axis=1, keepdims=True)
    expected = np.tanh(size) * x / size
    np.testing.assert_allclose(to_numpy(exponential_map(x, c)), expected, rtol=2e-6)


@pytest.mark.parametrize("scale", [10, 1e10, 1e30])
def test_points_stay_inside_the_ball(scale):
    points = to_numpy(exponential_map(np.full((1, 4), scale, "float32"), C))
    size = np.linalg.norm(points.astype("float64"))
    assert 0.998 * RADIUS < size <= (1 - 1e-3) * RADIUS * (1 + 1e-6)


def test_riemannian_gradient():
    points = in_ball(8)
    again = to_numpy(riemannian_gradient(points, C))
    np.testing.assert_array_equal(again, points)
    _, (gradient,), _ = value_and_gradients(
        lambda x: ops.sum(riemannian_gradient(x, C)), [points]
    )
    scale = (1 - C * np.square(points).sum(1, keepdims=True)) ** 2 / 4
    np.testing.assert_allclose(gradient, np.tile(scale, 6), rtol=1e-5)


def test_distances():
    x, y = in_ball(30), in_ball(20)
    np.testing.assert_allclose(
        to_numpy(poincare_distance(x, y, C)), distance(x, y), rtol=1e-4
    )
    within = to_numpy(poincare_distance(x, None, C))
    np.testing.assert_allclose(within, distance(x, x), rtol=1e-4)
    np.testing.assert_array_equal(np.diag(within), 0)
    np.testing.assert_allclose(within, within.T, rtol=1e-5)


@pytest.mark.parametrize("gap", [1e-1, 1e-2, 3e-3])
def test_distances_of_close_points(gap):
    """Down to the resolution of the product form."""
    x = in_ball(50, largest=0.6)
    away = RNG.normal(size=x.shape)
    away *= gap / np.linalg.norm(away, axis=1, keepdims=True)
    y = (x + away).astype("float32")
    found = np.diag(to_numpy(poincare_distance(x, y, C)))
    error = np.abs(found - np.diag(distance(x, y)))
    # |x - y|^2 is exact to some 8 eps (|x|^2 + |y|^2).
    bound = 8 * 1.2e-7 * 2 * np.square(x).sum(1) / gap
    gaps = 1 - C * np.square(x).sum(1)
    assert (error <= 2 * bound / gaps + 1e-5).all()


def test_points_closer_than_the_resolution_have_distance_and_gradient_0():
    x = in_ball(10, largest=0.9)
    y = (x * (1 + 1e-7)).astype("float32")

    def close(x):
        return ops.sum(ops.diagonal(poincare_distance(x, ops.convert_to_tensor(y), C)))

    value, (gradient,), _ = value_and_gradients(close, [x])
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


CASES = {
    "equal points": np.ones((5, 4), "float32"),
    "the origin": np.zeros((5, 4), "float32"),
    "one at the origin": np.eye(5, 4, dtype="float32") * [[0], [1], [1], [1], [1]],
    "on the boundary": 1e3 * np.eye(5, 4, dtype="float32"),
    "opposite on the boundary": 1e3 * np.array([[1.0, 0], [-1, 0]], "float32"),
    "norms of 1e30": 1e30 * RNG.normal(size=(5, 4)).astype("float32"),
    "norms of 1e-30": 1e-30 * RNG.normal(size=(5, 4)).astype("float32"),
    "norms of 1e-42": 1e-42 * RNG.normal(size=(5, 4)).astype("float32"),
    "at the radius of clipping": np.eye(5, 4, dtype="float32") * 2.3,
}


@functools.cache
def differentiated_spread(clip_radius):
    """Of all distances, among points and to points of the ball."""

    def spread(x):
        if clip_radius is not None:
            x = clip_to_radius(x, clip_radius)
        points = riemannian_gradient(exponential_map(x, C), C)
        return ops.sum(poincare_distance(points, None, C)) + ops.sum(
            poincare_distance(points, ops.convert_to_tensor(in_ball(3, x.shape[1])), C)
        )

    return differentiated(spread)


@pytest.mark.parametrize("clip_radius", [2.3, None])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_finite(case, clip_radius):
    value, (gradient,), _ = differentiated_spread(clip_radius)(
        [CASES[case].astype("float32")]
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_half_precision_is_not_enough_for_points():
    """Why the layers force float32: rounded to bfloat16, points leave the ball."""
    points = exponential_map(np.full((1, 4), 100.0, "float32"), 1.0)
    rounded = ops.cast(ops.cast(points, "bfloat16"), "float32")
    assert np.linalg.norm(to_numpy(points)) < 1 <= np.linalg.norm(to_numpy(rounded))
