"""`LatentHierarchy.tree`: who is whose ancestor."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp

BALL = khp.geometry.PoincareBall(curvature=0.5, clip_radius=None)


def layer_at(vectors, geometry=BALL):
    """A layer whose latent proxies are given, before projection."""
    layer = khp.layers.LatentHierarchy(len(vectors), geometry, name="latent")
    layer.build((None, vectors.shape[1]))
    layer.proxies.assign(vectors)
    return layer


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def distance(x, y, c=0.5):
    """Another form of the distance than the library's, in float64."""
    x, y = np.float64(x), np.float64(y)
    gaps = (1 - c * (x @ x)) * (1 - c * (y @ y))
    return np.arccosh(1 + 2 * c * ((x - y) @ (x - y)) / gaps) / c**0.5


def spread(count, dimension, seed, scale=1.0):
    """Vectors of all lengths."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, dimension)) * rng.uniform(size=(count, 1))
    return (scale * vectors).astype("float32")


def nearest_nearer_to_the_origin(points):
    norms = [np.linalg.norm(np.float64(point)) for point in points]
    parents = []
    for point, norm in zip(points, norms, strict=True):
        inner = [j for j, other in enumerate(norms) if other < norm]
        parents.append(min(inner, key=lambda j: distance(point, points[j]), default=-1))
    return parents


def test_the_parent_is_the_nearest_of_those_nearer_to_the_origin():
    layer = layer_at(spread(40, 3, 0))
    expected = nearest_nearer_to_the_origin(to_numpy(layer.points()))
    tree = layer.tree()
    parents = [tree.ids[p] if p >= 0 else -1 for p in tree.parents]
    assert sorted(tree.ids) == list(range(40))
    assert [expected[i] for i in tree.ids] == parents
    # Leaves are those that are nobody's parent.
    assert set(tree.ids[: tree.num_leaves]) == set(range(40)) - set(expected)
    assert tree.depth.max() > 2


def test_hyperbolic_not_euclidean():
    """Along the rim it is farther than it looks: the way leads inwards."""
    angle = 0.28
    rim = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    points = np.concatenate([[[0.0, 0.0]], 1.38 * rim, [[0.96, 0.0]]])
    points[2] *= 0.999
    c = BALL.curvature**0.5
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    vectors = points * np.arctanh(c * norms) / np.maximum(c * norms, 1e-9)
    near, far = np.linalg.norm(points[1] - points[[2, 3]], axis=1)
    assert near < far and distance(*points[[1, 2]]) > distance(*points[[1, 3]])
    layer = layer_at(vectors.astype("float32"))
    np.testing.assert_allclose(to_numpy(layer.points()), points, atol=1e-5)
    tree = layer.tree()
    (first,) = np.flatnonzero(tree.ids == 1)
    assert tree.ids[tree.ancestors(first)].tolist() == [3, 0]


def test_points_stand_under_the_nearest_latent_proxy():
    layer = layer_at(spread(30, 3, 1))
    points = to_numpy(BALL.project(spread(50, 3, 2)))
    latents = to_numpy(layer.points())
    above = nearest_nearer_to_the_origin(latents)
    tree = layer.tree(points)
    assert tree.num_leaves == 50
    assert tree.ids[:50].tolist() == list(range(50))
    used = set()
    for i, point in enumerate(points):
        node = min(range(30), key=lambda j: distance(point, latents[j]))
        expected = []
        while node >= 0:
            expected.append(node)
            node = above[node]
        assert tree.ids[tree.ancestors(i)].tolist() == expected
        used |= set(expected)
    # The others have no point below them.
    assert len(used) < 30 and sorted(tree.ids[50:]) == sorted(used)


def test_what_is_clipped_to_one_radius_has_no_ancestor_there():
    """Their norms differ by rounding, which says nothing."""
    ball = khp.geometry.PoincareBall()
    vectors = np.random.default_rng(0).normal(size=(60, 16)).astype("float32")
    vectors[7] /= 100
    layer = layer_at(10 * vectors, ball)
    norms = np.linalg.norm(to_numpy(layer.points()), axis=1)
    assert len(np.unique(norms)) > 2
    tree = layer.tree()
    assert tree.num_leaves == 59 and tree.ids[tree.root] == 7
    # Where all are clipped, one has to be the root.
    layer.proxies.assign(1000 * vectors)
    assert layer.tree().num_leaves == 59


def test_one_latent_proxy():
    layer = layer_at(np.ones((1, 4), "float32"))
    assert len(layer.tree()) == 1
    points = to_numpy(BALL.project(np.ones((3, 4), "float32")))
    assert layer.tree(points).parents.tolist() == [3, 3, 3, -1]
    assert layer.tree(keras.ops.convert_to_tensor(points)).num_leaves == 3


def test_what_has_no_tree():
    sphere = layer_at(np.eye(4, dtype="float32"), khp.geometry.Sphere())
    with pytest.raises(ValueError, match="from the origin.*Sphere.*'latent'.*Poincare"):
        sphere.tree()
    layer = layer_at(spread(5, 4, 0))
    with pytest.raises(ValueError, match="points must be points inside the ball"):
        layer.tree(10 * np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"same number of dimensions.*\(3, 2\)"):
        layer.tree(np.zeros((3, 2), "float32"))


def test_a_layer_that_is_not_built_has_no_tree():
    with pytest.raises(ValueError, match="'mine' has no latent proxies yet. Call it"):
        khp.layers.LatentHierarchy(4, name="mine").tree()
