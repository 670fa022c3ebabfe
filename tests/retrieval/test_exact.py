"""The numbers are right: a slow version, published metrics, another library."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_hierproxy.retrieval import (
    count_positives,
    evaluate,
    knn,
    map_at_r,
    precision_at_1,
    r_precision,
    recall_at_k,
)

pytestmark = pytest.mark.host

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

# Directions whose norms and inner products are exact in float32, whatever the order
# of summation: data made of them is full of true ties, duplicates and zero rows.
DIRECTIONS = np.concatenate(
    [
        np.zeros((1, 4)),
        np.eye(4),
        -np.eye(4),
        np.array(np.meshgrid(*4 * [[-0.5, 0.5]])).reshape(4, -1).T,
    ]
).astype("float32")


def slow_rankings(queries, gallery=None):
    """Whole rankings by cosine similarity in float64, ties by index."""
    queries = unit(queries)
    pool = queries if gallery is None else unit(gallery)
    rankings = []
    for i, query in enumerate(queries):
        order = np.lexsort((np.arange(len(pool)), -(pool @ query)))
        rankings.append(order[order != i] if gallery is None else order)
    return np.array(rankings)


def unit(x):
    x = np.asarray(x, dtype="float64")
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms > 0, norms, 1)


def slow_scores(relevance, ks):
    """Metrics of one query from its whole ranking."""
    relevance = list(relevance)
    r = sum(relevance)
    if r == 0:
        return None
    precisions = [sum(relevance[: i + 1]) / (i + 1) for i in range(r) if relevance[i]]
    return {f"recall@{k}": float(any(relevance[:k])) for k in ks} | {
        "precision@1": float(relevance[0]),
        "r_precision": sum(relevance[:r]) / r,
        "map@r": sum(precisions) / r,
    }


def slow_evaluate(queries, query_labels, gallery, gallery_labels, ks):
    if gallery is None:
        gallery_labels = query_labels
    rankings = slow_rankings(queries, gallery)
    result = {"num_queries": len(queries)}
    for level in range(query_labels.shape[1]):
        prefix = f"level{level}_" if level else ""
        scores = [
            slow_scores(gallery_labels[ranking, level] == label, ks)
            for ranking, label in zip(rankings, query_labels[:, level], strict=True)
        ]
        valid = [s for s in scores if s is not None]
        for name in slow_scores([True], ks):
            values = [s[name] for s in valid]
            result[prefix + name] = np.mean(values) if values else np.nan
        result[prefix + "num_excluded"] = len(scores) - len(valid)
    return result


@st.composite
def retrieval_problems(draw, max_rows=25):
    """Queries, labels, gallery (or None), its labels, and the Ks."""

    def rows(min_size):
        row = st.tuples(
            st.integers(0, len(DIRECTIONS) - 1),
            st.sampled_from([1.0, 0.25, 8.0]),
            st.integers(0, 5),
        )
        direction, length, fine = zip(
            *draw(st.lists(row, min_size=min_size, max_size=max_rows)), strict=True
        )
        points = DIRECTIONS[list(direction)] * np.array(length, "float32")[:, None]
        fine = np.array(fine)
        return points, np.stack([fine, fine // 3], axis=1)

    queries, query_labels = rows(min_size=2)
    gallery, gallery_labels = None, None
    available = len(queries) - 1
    if draw(st.booleans()):
        # One query is a problem too.
        num_queries = draw(st.integers(1, 3))
        queries, query_labels = queries[:num_queries], query_labels[:num_queries]
        gallery, gallery_labels = rows(min_size=1)
        available = len(gallery)
    ks = draw(st.lists(st.integers(1, available), min_size=1, max_size=3, unique=True))
    return queries, query_labels, gallery, gallery_labels, tuple(ks)


@settings(max_examples=100, deadline=None)
@given(retrieval_problems())
def test_neighbours_with_ties(problem):
    queries, _, gallery, _, ks = problem
    expected = slow_rankings(queries, gallery)
    for k in ks:
        indices, similarities = knn(queries, gallery, k=k)
        np.testing.assert_array_equal(indices, expected[:, :k])
        pool = unit(queries if gallery is None else gallery)
        exact = np.einsum("nd,nkd->nk", unit(queries), pool[indices])
        np.testing.assert_array_equal(similarities, exact)


@settings(max_examples=100, deadline=None)
@given(retrieval_problems())
def test_metrics_with_ties(problem):
    *_, ks = problem
    expected = slow_evaluate(*problem)
    assert evaluate(*problem) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    # A single level may come without its axis.
    queries, query_labels, gallery, gallery_labels, ks = problem
    flat = evaluate(
        queries,
        query_labels[:, 1],
        gallery,
        None if gallery is None else gallery_labels[:, 1],
        ks,
    )
    for name, value in flat.items():
        if name != "num_queries":
            assert value == pytest.approx(expected[f"level1_{name}"], nan_ok=True)


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("k", [1, 10, 150])
def test_neighbours_of_random_points(leave_one_out, k):
    rng = np.random.default_rng(k)
    queries = rng.normal(size=(700, 48))
    gallery = None if leave_one_out else rng.normal(size=(500, 48))
    indices, similarities = knn(queries, gallery, k=k)
    assert indices.dtype == "int64" and similarities.dtype == "float32"
    pool = queries if leave_one_out else gallery
    exact = unit(queries) @ unit(pool).T
    if leave_one_out:
        np.fill_diagonal(exact, -np.inf)
        assert (indices != np.arange(700)[:, None]).all()
    best = -np.sort(-exact, axis=1)[:, :k]
    found = np.take_along_axis(exact, indices, axis=1)
    np.testing.assert_allclose(found, best, atol=1e-6)
    np.testing.assert_allclose(similarities, best, atol=1e-6)
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert all(len(set(row)) == k for row in indices)


@pytest.mark.parametrize("name", ["flat", "two_levels", "three_levels"])
def test_published_metrics(name):
    golden = np.load(GOLDEN / f"retrieval_{name}.npz")
    embeddings, labels = golden["embeddings"], golden["labels"]
    ks = (1, 2, 4, 8, 10)
    indices, _ = knn(embeddings, k=len(labels) - 1)
    # 1e-6 is what float32 may confuse; the metrics below must not feel it.
    exact = unit(embeddings) @ unit(embeddings).T
    np.testing.assert_allclose(
        np.take_along_axis(exact, indices, axis=1),
        np.take_along_axis(exact, golden["ranking"], axis=1),
        atol=1e-6,
    )
    results = evaluate(embeddings, labels, k=ks)
    for level in range(labels.shape[1]):
        prefix = f"level{level}_" if level else ""
        relevance = labels[indices, level] == labels[:, level][:, None]
        positives = count_positives(labels[:, level])
        has_positive = golden[f"level{level}_has_positive"]
        np.testing.assert_array_equal(positives > 0, has_positive)
        ours = map_at_r(relevance, positives)
        theirs = golden[f"level{level}_map_at_r_per_query"]
        np.testing.assert_allclose(
            ours[has_positive], theirs[has_positive], rtol=0, atol=1e-6
        )
        assert np.isnan(ours[~has_positive]).all()
        averages = {"map@r": golden[f"level{level}_map_at_r"]}
        for k in ks:
            averages[f"recall@{k}"] = golden[f"level{level}_recall_at_{k}"]
        if level == 0:
            for ours_name, theirs_name in {
                "map@r": "mean_average_precision_at_r",
                "precision@1": "precision_at_1",
                "r_precision": "r_precision",
            }.items():
                averages[ours_name] = golden[f"pml_level0_{theirs_name}"]
        for metric, value in averages.items():
            assert results[prefix + metric] == pytest.approx(float(value), abs=1e-6)
        excluded = golden[f"level{level}_num_excluded"]
        assert results[f"{prefix}num_excluded"] == excluded
        assert recall_at_k(relevance, positives, 1) == pytest.approx(
            precision_at_1(relevance, positives), nan_ok=True
        )
        assert np.nanmean(r_precision(relevance, positives)) == pytest.approx(
            results[f"{prefix}r_precision"]
        )


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("num_classes", [3, 40, 400])
def test_pytorch_metric_learning(leave_one_out, num_classes):
    torch = pytest.importorskip("torch")
    calculator = pytest.importorskip(
        "pytorch_metric_learning.utils.accuracy_calculator"
    ).AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        k="max_bin_count",
        device=torch.device("cpu"),
    )
    rng = np.random.default_rng(num_classes)
    labels = rng.integers(0, num_classes, size=600)
    centers = rng.normal(size=(num_classes, 16))
    points = unit(centers[labels] + rng.normal(size=(600, 16))).astype("float32")
    if leave_one_out:
        theirs = calculator.get_accuracy(points, labels)
        ours = evaluate(points, labels)
    else:
        halves = points[:200], labels[:200], points[200:], labels[200:]
        theirs = calculator.get_accuracy(*halves)
        ours = evaluate(*halves)
    assert ours["precision@1"] == pytest.approx(theirs["precision_at_1"])
    assert ours["r_precision"] == pytest.approx(theirs["r_precision"], abs=1e-6)
    assert ours["map@r"] == pytest.approx(
        theirs["mean_average_precision_at_r"], abs=1e-6
    )
