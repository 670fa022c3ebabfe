import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.geometry import PoincareBall, Sphere
from tests.gradients import value_and_gradients

SPHERE = Sphere()
X = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
Y = np.random.default_rng(1).normal(size=(4, 5)).astype("float32")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_project():
    np.testing.assert_allclose(to_numpy(SPHERE.project(X)), unit(X), rtol=1e-6)
    np.testing.assert_allclose(to_numpy(SPHERE.project(X[0])), unit(X[0]), rtol=1e-6)
    points = to_numpy(SPHERE.project(np.zeros((2, 5), "float32")))
    np.testing.assert_array_equal(points, np.zeros((2, 5)))


def test_distance_to_others():
    distances = to_numpy(SPHERE.pairwise_distance(unit(X), unit(Y)))
    np.testing.assert_allclose(distances, 1 - unit(X) @ unit(Y).T, atol=1e-6)


def test_distance_within():
    points = unit(X)
    distances = to_numpy(SPHERE.pairwise_distance(points))
    np.testing.assert_allclose(distances, 1 - points @ points.T, atol=1e-6)
    np.testing.assert_array_equal(np.diag(distances), np.zeros(7))


def test_distance_is_never_negative():
    points = unit(np.random.default_rng(0).normal(size=(500, 64)).astype("float32"))
    twice = to_numpy(SPHERE.pairwise_distance(points, points))
    assert (1 - (points * points).sum(1) < 0).any(), "rounding must make some negative"
    assert (twice >= 0).all()


def test_equal_points_have_finite_gradients():
    def spread(x):
        return keras.ops.sum(SPHERE.pairwise_distance(SPHERE.project(x)))

    value, (gradient,), _ = value_and_gradients(spread, [np.ones((4, 5), "float32")])
    assert value == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_search_vectors_rank_by_cosine():
    queries, gallery = SPHERE.search_vectors(X, 3 * Y.astype("float64"))
    assert queries.dtype == gallery.dtype == "float32"
    np.testing.assert_allclose(queries @ gallery.T, unit(X) @ unit(Y).T, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_search_vectors_of_any_length(scale):
    queries, _ = SPHERE.search_vectors(np.float32(scale) * X, Y)
    np.testing.assert_allclose(queries, unit(X), rtol=1e-6)


def test_search_vectors_keep_zeros():
    queries, gallery = SPHERE.search_vectors(np.zeros((2, 5)), Y)
    np.testing.assert_array_equal(queries, np.zeros((2, 5)))
    assert np.isfinite(gallery).all()


def test_equality_and_serialization():
    config = keras.saving.serialize_keras_object(SPHERE)
    again = keras.saving.deserialize_keras_object(config)
    assert again == SPHERE and hash(again) == hash(SPHERE)
    assert SPHERE != "Sphere()" and repr(SPHERE) == "Sphere()"


# The ball. Its formulas are tested in ops/test_poincare.py and against golden arrays in
# losses/test_hier_golden.py, its search in retrieval/test_knn_on_ball.py.


def test_points_of_the_ball():
    ball = PoincareBall(0.5, 1.2)
    norms = np.linalg.norm(to_numpy(ball.project(X)), axis=1)
    root = 0.5**0.5
    clipped = np.minimum(np.linalg.norm(X, axis=1), 1.2)
    np.testing.assert_allclose(norms, np.tanh(root * clipped) / root, rtol=1e-4)
    further = to_numpy(PoincareBall(0.5, None).project(X))
    further = np.linalg.norm(further, axis=1)
    beyond = np.linalg.norm(X, axis=1) > 1.21
    assert beyond.any() and ((further > norms + 1e-3) == beyond).all()
    np.testing.assert_array_equal(to_numpy(ball.project(0 * X)), 0 * X)


def test_search_vectors_give_the_hyperbolic_cosine():
    ball = PoincareBall(0.5, 1.2)
    x, y = to_numpy(ball.project(X)), to_numpy(ball.project(Y))
    queries, gallery = ball.search_vectors(x, y)
    distances = to_numpy(ball.pairwise_distance(x, y))
    np.testing.assert_allclose(
        queries @ gallery.T, -np.cosh(0.5**0.5 * distances), rtol=1e-5
    )


def test_vectors_that_were_not_projected_are_refused():
    ball = PoincareBall(1.0)
    inside = 0.1 * X
    with pytest.raises(ValueError, match="gallery must be points inside the ball"):
        ball.search_vectors(inside, 10 * X)
    with pytest.raises(
        ValueError, match="1 of 7 rows outside, the first of them row 3"
    ):
        inside[3] *= 1e3
        ball.search_vectors(inside, inside[:3])


@pytest.mark.parametrize("value", [0, -0.1, float("inf"), True, "0.1"])
@pytest.mark.parametrize("name", ["curvature", "clip_radius"])
def test_bad_arguments_of_the_ball(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive number"):
        PoincareBall(**{name: value})


@pytest.mark.parametrize(
    "ball", [PoincareBall(), PoincareBall(1.0, None), PoincareBall(riemannian=False)]
)
def test_equality_and_serialization_of_the_ball(ball):
    config = keras.saving.serialize_keras_object(ball)
    again = keras.saving.deserialize_keras_object(config)
    assert again == ball and hash(again) == hash(ball) and repr(again) == repr(ball)
    assert ball not in (Sphere(), PoincareBall(0.2))


@pytest.mark.parametrize("geometry", ["ball", PoincareBall, 3])
def test_what_is_no_geometry_is_refused_at_once(geometry):
    points = unit(X)
    for use in (
        lambda: khp.layers.ProjectToGeometry(geometry),
        lambda: khp.layers.LatentHierarchy(geometry=geometry),
        lambda: khp.losses.SupConLoss(geometry=geometry),
        lambda: khp.retrieval.knn(points, k=1, geometry=geometry),
        lambda: khp.models.ImageEmbedder(khp.models.conv4(), geometry=geometry),
    ):
        with pytest.raises(ValueError, match="`geometry` must be .*PoincareBall()"):
            use()
