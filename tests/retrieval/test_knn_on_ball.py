"""On the Poincare ball: the ranks of float64 distances, whatever float32 confuses."""

import importlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.retrieval import evaluate, knn

pytestmark = pytest.mark.host

search_module = importlib.import_module("keras_hierproxy.retrieval.search")


def slow_knn(queries, gallery, ball):
    """Whole rankings and their distances, all in float64, ties by index."""
    x = np.asarray(queries, dtype="float64")
    y = x if gallery is None else np.asarray(gallery, dtype="float64")
    c = ball.curvature
    rankings, distances = [], []
    for i, point in enumerate(x):
        gaps = (1 - c * np.sum(point**2)) * (1 - c * np.sum(y**2, axis=1))
        norms = np.linalg.norm(point - y, axis=1)
        row = 2 / np.sqrt(c) * np.arcsinh(np.sqrt(c) * norms / np.sqrt(gaps))
        order = np.lexsort((np.arange(len(y)), row))
        if gallery is None:
            order = order[order != i]
        rankings.append(order)
        distances.append(row[order])
    return np.array(rankings), np.array(distances)


def check(queries, gallery, ball, ks):
    rankings, distances = slow_knn(queries, gallery, ball)
    for k in ks:
        indices, similarities = knn(queries, gallery, k=k, geometry=ball)
        assert indices.dtype == "int64" and similarities.dtype == "float32"
        np.testing.assert_array_equal(indices, rankings[:, :k])
        np.testing.assert_allclose(similarities, -distances[:, :k], rtol=1e-6)


def directions(rng, n, dim):
    x = rng.normal(size=(n, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def clusters(rng, n, dim, norm, radius, size=50):
    """Points in the ball of radius 1, `size` at a time around centers of one norm."""
    centers = norm * directions(rng, -(-n // size), dim)
    spread = radius * rng.uniform(size=(n, 1)) * directions(rng, n, dim)
    return centers[np.arange(n) // size] + spread


def ties(rng, n, dim):
    """Few points, many times each: exact arithmetic, hence true ties."""
    corners = rng.integers(-1, 2, size=(n // 6, dim)) / 4 / dim
    return corners[rng.integers(0, len(corners), n)]


def with_outliers(rng, n, dim):
    points = clusters(rng, n, dim, 0.5, 1e-3)
    points[::10] *= 1.99
    return points


# Points in the ball of radius 1.
CLOUDS = {
    "random": lambda rng, n, dim: (
        rng.uniform(0, 0.9, size=(n, 1)) * directions(rng, n, dim)
    ),
    "near the boundary": lambda rng, n, dim: (
        rng.uniform(0.99, 0.999, size=(n, 1)) * directions(rng, n, dim)
    ),
    "clusters of 1e-3": lambda *args: clusters(*args, norm=0.6, radius=1e-3),
    "clusters of 1e-5": lambda *args: clusters(*args, norm=0.6, radius=1e-5),
    "one cluster of 1e-5": lambda *args: clusters(*args, 0.6, 1e-5, size=1000),
    "clusters of 1e-4 near the boundary": lambda *args: clusters(*args, 0.995, 1e-4),
    "clusters of 1e-6 near the boundary": lambda *args: clusters(*args, 0.999, 1e-6),
    "clusters and outliers": with_outliers,
    "duplicates and ties": ties,
}


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize(
    "dim, curvature, dtype",
    [(2, 0.1, "float32"), (16, 1.0, "float64"), (100, 0.3, "float32")],
)
@pytest.mark.parametrize("cloud", CLOUDS)
def test_ranks_are_those_of_float64(cloud, dim, curvature, dtype, leave_one_out):
    ball = PoincareBall(curvature)
    points = CLOUDS[cloud](np.random.default_rng(dim), 170, dim)
    points[[31, 160]] = points[7]
    points = (points / curvature**0.5).astype(dtype)
    if leave_one_out:
        check(points, None, ball, ks=(1, 5, 169))
    else:
        check(points[::3], points[10:], ball, ks=(1, 5, 160))


def test_float32_alone_would_confuse_them():
    """The clouds above are hard: else they would show nothing."""
    ball = PoincareBall(1.0)
    for cloud in list(CLOUDS)[2:7]:
        points = CLOUDS[cloud](np.random.default_rng(16), 170, 16)
        queries, gallery = ball.search_vectors(points, points)
        similarities = queries @ gallery.T
        np.fill_diagonal(similarities, -np.inf)
        nearest = slow_knn(points, None, ball)[0][:, 0]
        assert (similarities.argmax(axis=1) != nearest).mean() > 0.1, cloud


def test_float64_points_that_are_one_in_float32():
    rng = np.random.default_rng(0)
    points = 0.3 + 1e-12 * rng.normal(size=(90, 5))
    ball = PoincareBall()
    assert len(np.unique(ball.search_vectors(points, points)[1], axis=0)) == 1
    check(points, None, ball, ks=(1, 7, 89))
    check(points[:9], points, ball, ks=(1, 7, 90))


def test_duplicates_of_the_query_count():
    points = np.random.default_rng(0).uniform(-0.3, 0.3, size=(60, 8))
    points[[20, 40]] = points[3]
    indices, similarities = knn(points, k=2, geometry=PoincareBall())
    np.testing.assert_array_equal(indices[[3, 20, 40]], [[20, 40], [3, 40], [3, 20]])
    assert not similarities[[3, 20, 40]].any()
    indices, _ = knn(points, points, k=1, geometry=PoincareBall())
    assert list(indices[[3, 20, 40, 41], 0]) == [3, 3, 3, 41]


# Coordinates, and with them all squares and their sums, are exact.
COORDINATES = [0.0, 0.5, -0.5, 0.5 + 2**-12, 0.5 + 2**-26, 0.5 - 2**-26, 2**-26]


@st.composite
def problems(draw):
    def rows(min_size):
        row = st.tuples(*3 * [st.sampled_from(COORDINATES)])
        return np.array(draw(st.lists(row, min_size=min_size, max_size=30)))

    queries, gallery = rows(min_size=2), None
    available = len(queries) - 1
    if draw(st.booleans()):
        gallery = rows(min_size=1)
        available = len(gallery)
    dtype = draw(st.sampled_from(["float32", "float64"]))
    queries = queries.astype(dtype)
    gallery = gallery if gallery is None else gallery.astype(dtype)
    return queries, gallery, draw(st.integers(1, available))


@settings(max_examples=60, deadline=None)
@given(problems())
def test_ties_and_near_ties(problem):
    queries, gallery, k = problem
    check(queries, gallery, PoincareBall(1.0), ks=(k,))


@pytest.mark.parametrize("curvature", [0.1, 1.0])
@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_bound_holds(cloud, curvature):
    """In float32 no row that is as near as another falls below the floor."""
    ball = PoincareBall(curvature)
    rng = np.random.default_rng(0)
    points = CLOUDS[cloud](rng, 150, 40) / curvature**0.5
    queries, gallery = ball.search_vectors(points[:40], points)
    # One term after the other: no order of summation rounds more.
    products = queries[:, None] * gallery
    similarities = np.cumsum(products, axis=2, dtype="float32")[:, :, -1]
    distances = ball.exact_distance(points[:40, None], points)
    for z in rng.integers(0, 150, size=30):
        floor = ball.search_floor(queries, gallery, similarities[:, z])
        as_near = distances <= distances[:, z, None]
        assert (similarities >= floor[:, None])[as_near].all()


def test_only_what_float32_confuses_is_searched_deeper(searches):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, size=(200, 1)) * directions(rng, 200, 8)
    knn(points, points, k=3, geometry=PoincareBall())
    assert searches == [(200, 200, 13)]
    searches.clear()
    points[100:140] = 1 + 1e-6 * directions(rng, 40, 8)
    knn(points, points, k=3, geometry=PoincareBall())
    assert searches == [(200, 200, 13), (40, 200, 26), (40, 200, 52)]


def test_points_near_the_boundary_are_told_apart(searches):
    points = CLOUDS["near the boundary"](np.random.default_rng(0), 300, 8)
    knn(points, points, k=3, geometry=PoincareBall(1.0))
    assert searches == [(300, 300, 13)]


def test_outliers_near_the_boundary_cost_the_others_nothing(searches):
    rng = np.random.default_rng(0)
    points = clusters(rng, 300, 8, norm=0.6, radius=0.1)
    points[:10] *= 0.9999999 / np.linalg.norm(points[:10], axis=1, keepdims=True)
    knn(points[10:], points, k=3, geometry=PoincareBall(1.0))
    assert searches == [(290, 300, 13)]


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_blocks_change_nothing(monkeypatch, leave_one_out):
    points = CLOUDS["clusters of 1e-5"](np.random.default_rng(0), 120, 6)
    points[40:60] = points[20:40]
    gallery = None if leave_one_out else points[::-1]
    ball = PoincareBall()
    whole = [knn(points, gallery, k=k, geometry=ball) for k in (2, 40)]
    monkeypatch.setattr(search_module, "BLOCK_ROWS", 17)
    monkeypatch.setattr(search_module, "BLOCK_NEIGHBORS", 500)
    monkeypatch.setattr(search_module, "BLOCK_COORDINATES", 10)
    monkeypatch.setattr(search_module, "TILE", 17)
    for within in (100, 0):
        monkeypatch.setattr(search_module, "WITHIN_NEIGHBORS", within)
        for k, expected in zip((2, 40), whole, strict=True):
            blockwise = knn(points, gallery, k=k, geometry=ball)
            np.testing.assert_array_equal(blockwise[0], expected[0])
            np.testing.assert_array_equal(blockwise[1], expected[1])


def test_blocks_are_cut_by_candidates(monkeypatch, searches):
    monkeypatch.setattr(search_module, "BLOCK_NEIGHBORS", 2000)
    points = CLOUDS["clusters of 1e-5"](np.random.default_rng(0), 200, 6)
    knn(points, points, k=5, geometry=PoincareBall(1.0))
    assert max(rows * fetched for rows, _, fetched in searches) <= 2100


def test_memory_is_bounded():
    """All pairs have to be measured: 1 GB in float64, were they not cut into blocks."""
    points = clusters(np.random.default_rng(0), 500, 512, 0.6, 1e-5, size=500)
    ball = PoincareBall(1.0)
    knn(points[:20], k=3, geometry=ball)
    tracemalloc.start()
    knn(points, k=3, geometry=ball)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6


def test_any_layout(tmp_path):
    points = np.random.default_rng(0).uniform(-0.3, 0.3, size=(60, 9))
    ball = PoincareBall()
    expected, _ = knn(points, k=4, geometry=ball)
    for variant in (np.asfortranarray(points), points.tolist()):
        np.testing.assert_array_equal(knn(variant, k=4, geometry=ball)[0], expected)
    check(points.astype("float16"), None, ball, ks=(4,))
    check(points, np.round(3 * points).astype("int64"), ball, ks=(4, 60))
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    np.testing.assert_array_equal(knn(mapped, k=4, geometry=ball)[0], expected)


def test_points_outside_are_counted_before_any_search(monkeypatch):
    points = np.random.default_rng(0).uniform(-0.3, 0.3, size=(60, 8))
    outside = points.copy()
    outside[[31, 45]] *= 100
    monkeypatch.setattr(search_module.NeighborSearch, "_fetch", None)
    monkeypatch.setattr(search_module.NeighborSearch, "_search_within", None)
    ball = PoincareBall()
    message = "{} must be points inside .* 2 of 60 rows outside.* row 31"
    for queries, gallery, name in [
        (outside, None, "queries"),
        (outside, points, "queries"),
        (points, outside, "gallery"),
    ]:
        with pytest.raises(ValueError, match=message.format(name)):
            knn(queries, gallery, k=1, geometry=ball)
    with pytest.raises(ValueError, match=message.format("queries")):
        evaluate(outside, np.arange(60) // 3, geometry=ball)


def test_other_errors_stay():
    points = np.random.default_rng(0).uniform(-0.3, 0.3, size=(60, 8))
    with pytest.raises(ValueError, match="k=60 .*over 60 rows .* 59"):
        knn(points, k=60, geometry=PoincareBall())
    with pytest.raises(ValueError, match="k=6 is larger .* has 5 row"):
        knn(points, points[:5], k=6, geometry=PoincareBall())
    points[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 60 rows"):
        knn(points, k=1, geometry=PoincareBall())


def slow_evaluate(relevance, ks):
    """Means of recall@K and MAP@R, from whole rankings (queries, ranks)."""
    scores = []
    for row in relevance:
        hits = np.flatnonzero(row)
        r = len(hits)
        if r:
            precisions = [(i + 1) / (hit + 1) for i, hit in enumerate(hits) if hit < r]
            scores.append([*(hits[0] < k for k in ks), sum(precisions) / r])
    return np.mean(scores, axis=0)


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("cloud", ["random", *list(CLOUDS)[2:]])
def test_evaluate(cloud, leave_one_out):
    ball = PoincareBall()
    rng = np.random.default_rng(0)
    points = CLOUDS[cloud](rng, 160, 12) / ball.curvature**0.5
    # Classes of very different sizes, within clusters and across them.
    labels = np.minimum(rng.geometric(0.2, size=160), 12)
    labels[:20] = 20 + np.arange(20) // 2
    parts = (points, labels, None, None)
    if not leave_one_out:
        parts = (points[::2], labels[::2], points[1::2], labels[1::2])
    queries, query_labels, gallery, gallery_labels = parts
    rankings, _ = slow_knn(queries, gallery, ball)
    pool = labels if leave_one_out else gallery_labels
    expected = slow_evaluate(pool[rankings] == query_labels[:, None], ks=(1, 3, 8))
    results = evaluate(*parts, k=(1, 3, 8), geometry=ball)
    names = "recall@1", "recall@3", "recall@8", "map@r"
    np.testing.assert_allclose([results[name] for name in names], expected, rtol=1e-12)


def test_the_sphere_ranks_in_float32_alone(monkeypatch):
    monkeypatch.setattr(search_module.NeighborSearch, "_rank_anew", None)
    points = np.random.default_rng(0).normal(size=(60, 8))
    knn(points, k=3, geometry=Sphere())
