"""Whole rankings equal a slow sort, on the sphere and on the ball."""

import numpy as np
import pytest

from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.retrieval import knn, ranking
from keras_hierproxy.retrieval.search import NeighborSearch

pytestmark = pytest.mark.host

BALL = PoincareBall()


def points(rows, geometry):
    x = np.random.default_rng(rows).normal(size=(rows, 8)).astype("float32")
    x = np.array(geometry.project(x))
    # Every point twice. Copied last: a backend may round equal rows differently.
    x[rows // 2 :] = x[: rows - rows // 2]
    return x


def whole(queries, gallery, geometry):
    search = NeighborSearch(queries, gallery, geometry)
    ranked = np.full((len(queries), search.num_available), -1)
    for rows, indices in ranking.whole_rankings(search):
        ranked[rows] = indices
    return ranked


@pytest.mark.parametrize("geometry", [Sphere(), BALL])
@pytest.mark.parametrize("rows", [2, 61])
@pytest.mark.parametrize("block", [1, 100, 1 << 22])
def test_leave_one_out(geometry, rows, block, monkeypatch):
    monkeypatch.setattr(ranking, "BLOCK_RANKS", block)
    x = points(rows, geometry)
    ranked = whole(x, None, geometry)
    assert (
        np.sort(ranked, axis=1) == [np.delete(np.arange(rows), i) for i in range(rows)]
    ).all()
    np.testing.assert_array_equal(ranked, knn(x, k=rows - 1, geometry=geometry)[0])


@pytest.mark.parametrize("geometry", [Sphere(), BALL])
def test_gallery(geometry):
    x, gallery = points(7, geometry), points(40, geometry)
    ranked = whole(x, gallery, geometry)
    expected, _ = knn(x, gallery, k=40, geometry=geometry)
    np.testing.assert_array_equal(ranked, expected)


def test_order_of_signs():
    """Opposite, orthogonal (by 0.0 and by -0.0) and aligned rows."""
    gallery = np.array([[-1, 0], [0, -1], [0, 1], [0.6, 0.8], [-0.6, 0.8], [1, 0]])
    ranked = whole(np.array([[1.0, 0.0], [-1.0, -0.0]]), gallery, Sphere())
    assert ranked.tolist() == [[5, 3, 1, 2, 4, 0], [0, 4, 1, 2, 3, 5]]


def test_near_ties_in_the_ball():
    """Clusters too tight for the products of a float64."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 8)).astype("float32").repeat(10, axis=0)
    x = np.asarray(BALL.project(x)).astype("float64")
    x += 1e-9 * rng.normal(size=x.shape)
    distances = np.stack([BALL.exact_distance(point, x) for point in x])
    np.fill_diagonal(distances, np.inf)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :-1]
    np.testing.assert_array_equal(whole(x, None, BALL), expected)
    # The products alone would not do.
    keys, _ = BALL.ranking_keys(x, x)
    np.fill_diagonal(keys, np.inf)
    assert (np.argsort(keys, axis=1)[:, :-1] != expected).any()
