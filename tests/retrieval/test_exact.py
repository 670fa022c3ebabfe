"""The numbers are right: a slow version, published metrics, another library."""

from collections import Counter
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
    score_queries,
)

LEVEL_METRICS = (
    "recall", "precision", "precision@1", "r_precision", "map@r", "map", "mrr"
)  # fmt: skip
GRADED_METRICS = ("ndcg", "asi", "h_ap")

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
    precision = {
        i: sum(relevance[: i + 1]) / (i + 1) for i, hit in enumerate(relevance) if hit
    }
    at_k = {f"recall@{k}": float(any(relevance[:k])) for k in ks}
    at_k |= {f"precision@{k}": sum(relevance[:k]) / k for k in ks}
    return at_k | {
        "precision@1": float(relevance[0]),
        "r_precision": sum(relevance[:r]) / r,
        "map@r": sum(p for i, p in precision.items() if i < r) / r,
        "map": sum(precision.values()) / r,
        "mrr": 1 / (1 + list(relevance).index(True)),
    }


def slow_graded(matched):
    """NDCG, ASI and H-AP of one query, from the levels shared along its ranking."""
    matched = [int(m) for m in matched]
    r = sum(m > 0 for m in matched)
    if r == 0:
        return None

    def dcg(values):
        return sum((2**m - 1) / np.log2(2 + i) for i, m in enumerate(values))

    best = sorted(matched, reverse=True)
    overlaps = [
        (Counter(matched[:k]) & Counter(best[:k])).total() / k for k in range(1, r + 1)
    ]
    relevance = [m / matched.count(m) if m else 0 for m in matched]
    gains = [
        sum(min(other, own) for other in relevance[: i + 1]) / (i + 1)
        for i, own in enumerate(relevance)
        if own
    ]
    return {
        "ndcg": dcg(matched) / dcg(best),
        "asi": sum(overlaps) / r,
        "h_ap": sum(gains) / sum(relevance),
    }


def slow_means(scores):
    valid = [s for s in scores if s is not None]
    names = next(iter(valid), {})
    return {name: np.mean([s[name] for s in valid]) for name in names}, len(valid)


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
        means, num_valid = slow_means(scores)
        nothing = dict.fromkeys(slow_scores([True], ks), np.nan)
        result |= {prefix + n: value for n, value in (nothing | means).items()}
        result[prefix + "num_excluded"] = len(scores) - num_valid
    shared = [
        (gallery_labels[ranking] == labels).sum(axis=1)
        for ranking, labels in zip(rankings, query_labels, strict=True)
    ]
    means, _ = slow_means([slow_graded(matched) for matched in shared])
    return result | dict.fromkeys(GRADED_METRICS, np.nan) | means


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
    results = evaluate(*problem, metrics=LEVEL_METRICS + GRADED_METRICS)
    assert results == pytest.approx(expected, abs=1e-12, nan_ok=True)
    # The usual ones look at fewer neighbours.
    for name, value in evaluate(*problem).items():
        assert value == pytest.approx(expected[name], abs=1e-12, nan_ok=True)
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
    scores = score_queries(
        embeddings, labels, k=ks, metrics=LEVEL_METRICS + GRADED_METRICS
    )
    results = scores.means()
    for name in GRADED_METRICS:
        # With one level H-AP is AP, which the file holds.
        theirs = "level0_ap" if name == "h_ap" and labels.shape[1] == 1 else name
        np.testing.assert_allclose(
            scores.values[name], golden[f"{theirs}_per_query"], rtol=0, atol=1e-6
        )
        assert results[name] == pytest.approx(float(golden[theirs]), abs=1e-6)
    for level in range(labels.shape[1]):
        prefix = f"level{level}_" if level else ""
        relevance = labels[indices, level] == labels[:, level][:, None]
        positives = count_positives(labels[:, level])
        has_positive = golden[f"level{level}_has_positive"]
        np.testing.assert_array_equal(positives > 0, has_positive)
        for metric, theirs in {"map@r": "map_at_r", "map": "ap"}.items():
            np.testing.assert_allclose(
                scores.values[prefix + metric],
                np.where(
                    has_positive, golden[f"level{level}_{theirs}_per_query"], np.nan
                ),
                rtol=0,
                atol=1e-6,
            )
        np.testing.assert_array_equal(
            map_at_r(relevance, positives), scores.values[f"{prefix}map@r"]
        )
        averages = {
            "map@r": golden[f"level{level}_map_at_r"],
            "map": golden[f"level{level}_ap"],
        }
        for k in ks:
            averages[f"recall@{k}"] = golden[f"level{level}_recall_at_{k}"]
        if level == 0:
            for ours_name, theirs_name in {
                "map@r": "mean_average_precision_at_r",
                "precision@1": "precision_at_1",
                "r_precision": "r_precision",
                "map": "mean_average_precision",
                "mrr": "mean_reciprocal_rank",
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


PEER_NAMES = {
    "precision@1": "precision_at_1",
    "r_precision": "r_precision",
    "map@r": "mean_average_precision_at_r",
    "map": "mean_average_precision",
    "mrr": "mean_reciprocal_rank",
}


@pytest.mark.parametrize("average", ["query", "class"])
@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("num_classes", [3, 40, 400])
def test_pytorch_metric_learning(leave_one_out, num_classes, average):
    torch = pytest.importorskip("torch")
    calculator = pytest.importorskip(
        "pytorch_metric_learning.utils.accuracy_calculator"
    ).AccuracyCalculator(
        include=tuple(PEER_NAMES.values()),
        avg_of_avgs=average == "class",
        k=None,
        device=torch.device("cpu"),
    )
    rng = np.random.default_rng(num_classes)
    # Rare classes and frequent ones.
    labels = (num_classes * rng.uniform(size=600) ** 2).astype(int)
    centers = rng.normal(size=(num_classes, 16))
    points = unit(centers[labels] + rng.normal(size=(600, 16))).astype("float32")
    if leave_one_out:
        theirs = calculator.get_accuracy(points, labels)
        ours = evaluate(points, labels, metrics=LEVEL_METRICS, average=average)
    else:
        halves = points[:200], labels[:200], points[200:], labels[200:]
        theirs = calculator.get_accuracy(*halves)
        ours = evaluate(*halves, metrics=LEVEL_METRICS, average=average)
    for our_name, their_name in PEER_NAMES.items():
        assert ours[our_name] == pytest.approx(theirs[their_name], abs=1e-6)
