import importlib

import numpy as np
import pytest

from keras_hierproxy.retrieval import knn

pytestmark = pytest.mark.host

search_module = importlib.import_module("keras_hierproxy.retrieval.search")


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(60, 8)).astype("float32")


def test_duplicates_of_the_query_count(points):
    points[[20, 40]] = points[3]
    indices, similarities = knn(points, k=3)
    assert list(indices[3, :2]) == [20, 40]
    assert list(indices[20, :2]) == [3, 40]
    assert list(indices[40, :2]) == [3, 20]
    np.testing.assert_allclose(similarities[[3, 20, 40], :2], 1, atol=1e-6)


def test_a_gallery_may_return_the_query_itself(points):
    indices, _ = knn(points, points, k=1)
    np.testing.assert_array_equal(indices.ravel(), np.arange(60))


def test_duplicates_straddle_rank_k(points):
    """Of more identical rows than there are places, the first by index stay."""
    copies = [5, 17, 18, 30, 59]
    points[copies] = points[5]
    for k in (1, 2, 3):
        np.testing.assert_array_equal(knn(points[5:6], points, k=k)[0], [copies[:k]])
    indices, _ = knn(points, k=2)
    assert list(indices[59]) == [5, 17]
    assert list(indices[5]) == [17, 18]


@pytest.mark.parametrize("k", [1, 3, 120])
def test_everything_ties(k):
    """A query at zero is equally far from all: the lowest indices, at any depth."""
    gallery = np.eye(300, dtype="float32")
    queries = np.zeros((30, 300), dtype="float32")
    queries[1, 250] = 1
    indices, similarities = knn(queries, gallery, k=k)
    np.testing.assert_array_equal(indices[0], np.arange(k))
    np.testing.assert_array_equal(indices[1], [250, *range(k - 1)])
    assert not similarities[0].any()


@pytest.mark.parametrize("k", [1, 5, 900])
def test_a_collapsed_embedding(searches, k):
    """Identical rows are searched once: n times n fetched would take minutes."""
    points = np.tile(np.random.default_rng(0).normal(size=(1, 17)), (1000, 1))
    indices, _ = knn(points, points, k=k)
    np.testing.assert_array_equal(indices, np.tile(np.arange(k), (1000, 1)))
    assert searches == [(1000, 1, 1)]
    indices, _ = knn(points, k=k)
    expected = [[j for j in range(k + 1) if j != i][:k] for i in range(1000)]
    np.testing.assert_array_equal(indices, expected)


def test_only_ties_are_searched_deeper(searches, points):
    knn(points, points, k=3)
    assert searches == [(60, 60, 4)]
    searches.clear()
    knn(np.append(points[:10], np.zeros((1, 8)), axis=0), points, k=3)
    assert searches == [(11, 60, 4), (1, 60, 8), (1, 60, 16), (1, 60, 32), (1, 60, 60)]


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("block_rows, block_neighbors", [(1, 1 << 20), (7, 50)])
@pytest.mark.parametrize("leave_one_out", [True, False])
def test_blocks_change_nothing(
    monkeypatch, points, within, block_rows, block_neighbors, leave_one_out
):
    points[10:30] = np.eye(8)[np.arange(20) % 6]  # exact ties and duplicates
    gallery = None if leave_one_out else points[::-1]
    whole, similarities = knn(points, gallery, k=20)
    monkeypatch.setattr(search_module, "BLOCK_ROWS", block_rows)
    monkeypatch.setattr(search_module, "BLOCK_NEIGHBORS", block_neighbors)
    monkeypatch.setattr(search_module, "TILE", 7)
    if not within:
        monkeypatch.setattr(search_module, "WITHIN_NEIGHBORS", 0)
    indices, blockwise = knn(points, gallery, k=20)
    np.testing.assert_array_equal(indices, whole)
    np.testing.assert_allclose(blockwise, similarities, atol=1e-6)


def test_leave_one_out_within_the_rows_is_the_search(searches):
    """Multiplying each pair once finds what the block search finds."""
    points = np.random.default_rng(0).normal(size=(5000, 24)).astype("float32")
    indices, similarities = knn(points, k=12)
    assert not searches
    # The same rows as a gallery of their own: each query comes first, then the rest.
    expected, expected_similarities = knn(points, points, k=13)
    assert searches
    np.testing.assert_allclose(similarities, expected_similarities[:, 1:], atol=1e-6)
    # Similarities that differ in the last bit may change places.
    assert (indices == expected[:, 1:]).mean() > 0.999


def test_blocks_share_out_queries_by_depth(monkeypatch):
    monkeypatch.setattr(search_module, "BLOCK_ROWS", 4)
    monkeypatch.setattr(search_module, "BLOCK_NEIGHBORS", 20)
    depths = np.array([1, 9, 2, 100, 1, 8, 1, 1, 1])
    blocks = list(search_module.query_blocks(depths, most_rows=100))
    assert [(list(rows), k) for rows, k in blocks] == [
        ([3], 100),
        ([1, 5], 9),
        ([2, 0, 4, 6], 2),
        ([7, 8], 1),
    ]


def test_any_layout_and_precision(points, tmp_path):
    expected, _ = knn(points, k=4)
    for variant in (points.astype("float64"), np.asfortranarray(points)):
        np.testing.assert_array_equal(knn(variant, k=4)[0], expected)
    np.testing.assert_array_equal(knn(points.tolist(), k=4)[0], expected)
    half = points.astype("float16")
    np.testing.assert_array_equal(knn(half, k=4)[0], knn(half.astype("f"), k=4)[0])
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    np.testing.assert_array_equal(knn(mapped, k=4)[0], expected)


def test_length_does_not_matter(points):
    lengths = np.random.default_rng(1).uniform(0.1, 100, size=(60, 1))
    np.testing.assert_array_equal(knn(points * lengths, k=5)[0], knn(points, k=5)[0])


def test_the_input_is_left_alone(points):
    before = points.copy()
    knn(points, k=3)
    np.testing.assert_array_equal(points, before)


def test_non_finite_rows_are_counted(points):
    points[[7, 20], 2] = np.nan
    points[31, 0] = -np.inf
    points[32, 0] = np.inf
    with pytest.raises(ValueError, match="queries .* in 4 of 60 rows.* row 7"):
        knn(points, k=1)
    with pytest.raises(ValueError, match="gallery .* in 4 of 60 rows.* row 7"):
        knn(points[:5], points, k=1)


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "3", None])
def test_k_is_a_positive_integer(points, k):
    with pytest.raises(ValueError, match="positive int"):
        knn(points, k=k)


def test_k_beyond_the_gallery(points):
    knn(points, k=59)
    with pytest.raises(ValueError, match="k=60 .*over 60 rows .* 59"):
        knn(points, k=60)
    knn(points, points[:5], k=5)
    with pytest.raises(ValueError, match="k=6 is larger .* has 5 row"):
        knn(points, points[:5], k=6)
    with pytest.raises(ValueError, match="k=1 is larger .*over 1 rows"):
        knn(points[:1], k=1)


def test_shapes(points):
    with pytest.raises(ValueError, match=r"queries .*shape \(8,\)"):
        knn(points[0], k=1)
    with pytest.raises(ValueError, match=r"queries .*shape \(0, 8\)"):
        knn(points[:0], k=1)
    with pytest.raises(ValueError, match=r"gallery .*shape \(60, 0\)"):
        knn(points, points[:, :0], k=1)
    with pytest.raises(ValueError, match=r"\(60, 8\).*\(60, 3\)"):
        knn(points, points[:, :3], k=1)
