"""What stands in the trees of a run; test_cli.py writes and draws them."""

import numpy as np
import pytest

from keras_hierproxy.geometry import PoincareBall
from keras_hierproxy.runs.tree import LearnedTree, _class_means
from keras_hierproxy.trees import Tree

pytestmark = pytest.mark.host


@pytest.mark.parametrize("curvature", [0.1, 1.0])
def test_the_mean_of_two_points_is_half_way(curvature):
    ball = PoincareBall(curvature)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 3))
    sizes = rng.uniform(0.1, 0.95, (20, 1)) / curvature**0.5
    points *= sizes / np.linalg.norm(points, axis=1, keepdims=True)
    labels = np.arange(20) % 10
    means = _class_means(points, labels, ball)
    first, second = points[:10], points[10:]
    apart = ball.exact_distance(first, second)
    for end in (first, second):
        halves = ball.exact_distance(end, means)
        np.testing.assert_allclose(halves, apart / 2, rtol=1e-3, atol=1e-4)


def test_the_mean_of_one_point_is_the_point():
    ball = PoincareBall()
    points = np.random.default_rng(0).normal(size=(5, 8)) * 0.5
    means = _class_means(points, np.array([3, 1, 0, 2, 4]), ball)
    np.testing.assert_allclose(means, points[[2, 1, 3, 0, 4]], rtol=1e-5)


def test_levels():
    tree = Tree([6, 6, 6, 7, 7, 8, 8, 9, 9, -1], 6)
    kinds = ["class"] * 6 + ["latent"] * 3 + ["root"]
    learned = LearnedTree("a tree", tree, kinds, [], {})
    assert list(learned.levels()) == [
        ("root", 1, 6, 6, 6),
        ("latent", 2, 2, 3, 4),
        ("latent", 1, 3, 3, 3),
    ]
