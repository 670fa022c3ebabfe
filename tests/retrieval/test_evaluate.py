import importlib

import numpy as np
import pytest

from keras_hierproxy.retrieval import evaluate

pytestmark = pytest.mark.host

search_module = importlib.import_module("keras_hierproxy.retrieval.search")


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(40, 6))


@pytest.fixture
def labels():
    fine = np.arange(40) // 4
    return np.stack([fine, fine // 2, fine // 6], axis=1)


def test_keys_of_every_level(points, labels):
    results = evaluate(points, labels[:, :2], k=(1, 10))
    names = ["recall@1", "recall@10", "precision@1", "r_precision", "map@r"]
    assert list(results) == [
        *names,
        "num_queries",
        "num_excluded",
        *(f"level1_{name}" for name in names),
        "level1_num_excluded",
    ]
    for name, value in results.items():
        assert type(value) is (int if "num" in name else float)


def test_only_what_is_asked_for(points, labels):
    results = evaluate(points, labels[:, 0], k=3, metrics=["map@r", "recall"])
    assert list(results) == ["map@r", "recall@3", "num_queries", "num_excluded"]
    # Without "recall", its K cannot be too large.
    few = evaluate(points[:5], labels[:5, 0], metrics=["precision@1"])
    assert list(few) == ["precision@1", "num_queries", "num_excluded"]


def test_levels_equal_separate_evaluations(points, labels):
    together = evaluate(points, labels)
    for level in range(1, 3):
        for name, value in evaluate(points, labels[:, level]).items():
            if name != "num_queries":
                assert together[f"level{level}_{name}"] == value


def test_queries_without_positives_are_left_out(points):
    labels = np.arange(40) // 4
    cone = np.pad(np.abs(points), ((0, 2), (0, 1)))
    # Orthogonal to all others, hence last in every ranking, and each its own class.
    cone[40:, 6] = 1
    expected = evaluate(cone[:40], labels)
    results = evaluate(cone, np.append(labels, [50, 51]))
    assert expected["num_excluded"] == 0
    assert results == expected | {"num_queries": 42, "num_excluded": 2}


def test_classes_missing_from_the_gallery(points):
    labels = np.arange(40) // 4
    results = evaluate(points, labels, points, np.where(labels == 3, 77, labels))
    assert results["num_queries"] == 40 and results["num_excluded"] == 4
    assert results["recall@1"] == 1.0


def test_levels_exclude_their_own(points):
    fine = np.append(np.arange(39) // 3, 99)
    coarse = np.zeros(40, dtype=int)
    results = evaluate(points, np.stack([fine, coarse], axis=1))
    assert results["num_excluded"] == 1
    assert results["level1_num_excluded"] == 0
    assert results["level1_map@r"] == 1.0


def test_no_query_has_a_positive(points):
    results = evaluate(points, np.arange(40))
    assert results["num_excluded"] == results["num_queries"] == 40
    assert np.isnan(results["recall@1"]) and np.isnan(results["map@r"])


def test_a_giant_class_is_searched_apart(monkeypatch, points):
    """Each block goes as deep as its own queries need."""
    labels = np.append(np.zeros(20, int), 1 + np.arange(20) // 2)
    expected = evaluate(points, labels)
    depths = []
    search = search_module.NeighborSearch._others

    def record(self, rows, k):
        depths.append((len(rows), k))
        return search(self, rows, k)

    monkeypatch.setattr(search_module.NeighborSearch, "_others", record)
    monkeypatch.setattr(search_module, "BLOCK_ROWS", 20)
    assert evaluate(points, labels) == pytest.approx(expected)
    assert depths == [(20, 19), (20, 8)]
    depths.clear()
    evaluate(points, labels, metrics=["recall"], k=9)
    assert depths == [(20, 9), (20, 9)]


def test_labels_may_be_any_integers(points, labels):
    expected = evaluate(points, labels)
    for dtype in ("int8", "int32", "uint16"):
        assert evaluate(points, labels.astype(dtype)) == expected
    assert evaluate(points, labels * 10**12) == expected
    assert evaluate(points.tolist(), labels.tolist()) == expected


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.arange(40) / 2, "query_labels must be integer class ids.*float64"),
        (np.eye(40)[:, :, None], r"query_labels .*\(40, 40, 1\)"),
        (np.arange(40) > 5, "query_labels must be integer class ids.*bool"),
        (np.arange(39), "39 rows of labels and 40 embeddings"),
        (np.empty((40, 0), int), r"query_labels .*\(40, 0\)"),
        (None, "query_labels must be integer class ids"),
    ],
)
def test_bad_labels(points, bad, message):
    with pytest.raises(ValueError, match=message):
        evaluate(points, bad)


def test_gallery_and_its_labels_go_together(points, labels):
    with pytest.raises(ValueError, match="gallery_labels must be integer class ids"):
        evaluate(points, labels, points)
    with pytest.raises(ValueError, match="without a gallery"):
        evaluate(points, labels, gallery_labels=labels)
    with pytest.raises(ValueError, match="40 rows of labels and 30"):
        evaluate(points, labels, points[:30], labels)
    with pytest.raises(ValueError, match=r"same levels.*\(40, 3\).*\(40, 2\)"):
        evaluate(points, labels, points, labels[:, :2])


def test_bad_choices(points, labels):
    with pytest.raises(ValueError, match="Received: metrics=.'recall@1'."):
        evaluate(points, labels, metrics=["recall@1"])
    with pytest.raises(ValueError, match="must be a list"):
        evaluate(points, labels, metrics="recall")
    with pytest.raises(ValueError, match="must be a list"):
        evaluate(points, labels, metrics=[])
    with pytest.raises(ValueError, match="k=40 is larger than the gallery"):
        evaluate(points, labels, k=(1, 40))
    with pytest.raises(ValueError, match="k=8 is larger .* 5 row"):
        evaluate(points, labels, points[:5], labels[:5])
    with pytest.raises(ValueError, match="positive int"):
        evaluate(points, labels, k=(0, 1))
    with pytest.raises(ValueError, match="one or more"):
        evaluate(points, labels, k=())


def test_diverged_embeddings(points, labels):
    points[11:] = np.nan
    with pytest.raises(ValueError, match="29 of 40 rows.* row 11"):
        evaluate(points, labels)
