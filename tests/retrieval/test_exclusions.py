"""Distractors, ids and groups: what a slow version in float64 says."""

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.retrieval import (
    count_positives,
    evaluate,
    knn,
    products,
    ranking,
    score_queries,
)
from keras_hierproxy.retrieval.clusters import cluster_agreement
from tests.retrieval.test_exact import (
    DIRECTIONS,
    GRADED_METRICS,
    LEVEL_METRICS,
    slow_graded,
    slow_scores,
    unit,
)

search_module = importlib.import_module("keras_hierproxy.retrieval.search")

BALL = PoincareBall(1.0)
# The nested labels that a row may have: two coarse classes, and rows of which the fine
# one, or both, are unknown.
LABELS = np.array([[0, 0], [1, 0], [2, 1], [-1, 0], [-1, 1], [-1, -1]])
# Of a few rows, ids and groups are none, or collide often.
KEYS = {"query_ids": "gallery_ids", "groups": "gallery_groups"}


def slow_rankings(problem, geometry):
    """What each query retrieves: rows, nearest first, ties by index."""
    queries, gallery = problem["queries"], problem.get("gallery")
    alone = gallery is None
    pool = queries if alone else gallery
    rankings = []
    for i, query in enumerate(queries):
        if geometry == BALL:
            distances = BALL.exact_distance(query, pool)
        else:
            distances = -unit(pool) @ unit(query[None])[0]
        left = []
        for j in np.lexsort((np.arange(len(pool)), distances)):
            taken = alone and i == j
            for own, others in KEYS.items():
                if problem.get(own) is not None:
                    key = problem[own][i]
                    other = problem[own if alone else others][j]
                    taken |= key == other and key not in (-1, "")
            if not taken:
                left.append(int(j))
        rankings.append(left)
    return rankings


def slow_evaluate(problem, geometry, ks):
    """The value of every query, under the names of `QueryScores`."""
    labels = problem["query_labels"]
    others = problem.get("gallery_labels", labels)
    nothing = dict.fromkeys(slow_scores([True], ks), np.nan)
    values, counts = {}, {"num_queries": int((labels[:, 1] >= 0).sum())}
    rankings = slow_rankings(problem, geometry)
    for level in range(2):
        prefix = f"level{level}_" if level else ""
        scores = []
        for own, ranked in zip(labels[:, level], rankings, strict=True):
            relevance = [own >= 0 and others[j, level] == own for j in ranked]
            scores.append(slow_scores(relevance, ks) or nothing)
        for name in nothing:
            values[prefix + name] = [score[name] for score in scores]
        known = np.isfinite([score["map"] for score in scores]).sum()
        counts[f"{prefix}num_excluded"] = counts["num_queries"] - int(known)
    nothing = dict.fromkeys(GRADED_METRICS, np.nan)
    graded = [
        slow_graded([((others[j] == own) & (own >= 0)).sum() for j in ranked])
        or nothing
        for own, ranked in zip(labels, rankings, strict=True)
    ]
    for name in GRADED_METRICS:
        values[name] = [score[name] for score in graded]
    return values, counts


@st.composite
def problems(draw, max_rows=16):
    """Arguments of `evaluate` that are full of ties, and the Ks."""

    def rows(least):
        row = st.tuples(
            st.integers(0, len(DIRECTIONS) - 1), st.integers(0, len(LABELS) - 1)
        )
        found = draw(st.lists(row, min_size=least, max_size=max_rows))
        directions, labels = np.array(found).T
        return 0.5 * DIRECTIONS[directions], LABELS[labels]

    def keys(size, strings):
        values = ["", "a", "b", "c"] if strings else [-1, 7, 8, 10**12]
        few = st.lists(st.sampled_from(values), min_size=size, max_size=size)
        return np.array(draw(few))

    points, labels = rows(least=2)
    # One query at least.
    labels[0] = LABELS[0]
    problem, size = {"queries": points, "query_labels": labels}, len(points) - 1
    if draw(st.booleans()):
        points, labels = rows(least=1)
        problem |= {"gallery": points, "gallery_labels": labels}
        size = len(points)
    for own, others in KEYS.items():
        if draw(st.booleans()):
            strings = draw(st.booleans())
            problem[own] = keys(len(problem["queries"]), strings)
            if "gallery" in problem:
                problem[others] = keys(size, strings)
    ks = draw(st.lists(st.integers(1, size), min_size=1, max_size=3, unique=True))
    return problem, tuple(ks)


def check_problem(problem, ks, geometry):
    values, counts = slow_evaluate(problem, geometry, ks)
    for metrics in (LEVEL_METRICS + GRADED_METRICS, LEVEL_METRICS[:4]):
        scores = score_queries(**problem, k=ks, metrics=metrics, geometry=geometry)
        for name, found in scores.values.items():
            np.testing.assert_allclose(found, values[name], atol=1e-12, err_msg=name)
        assert {name: scores.results[name] for name in counts} == counts
    for k in ks:
        keys = {name: values for name, values in problem.items() if "label" not in name}
        indices, similarities = knn(**keys, k=k, geometry=geometry)
        ranked = [left[:k] for left in slow_rankings(problem, geometry)]
        padded = [left + [-1] * (k - len(left)) for left in ranked]
        assert indices.tolist() == padded
        assert (np.isneginf(similarities) == (indices == -1)).all()


@pytest.mark.filterwarnings("ignore:.*stand in the gallery")
@pytest.mark.host
@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("geometry", [Sphere(), BALL], ids=["sphere", "ball"])
def test_everything_equals_a_slow_version(geometry, small, monkeypatch):
    if small:  # as if there were many rows
        monkeypatch.setattr(search_module, "MARGIN", 1)
        monkeypatch.setattr(search_module, "BLOCK_ROWS", 3)
        monkeypatch.setattr(search_module, "BLOCK_NEIGHBORS", 20)
        monkeypatch.setattr(search_module, "WITHIN_NEIGHBORS", 0)
        monkeypatch.setattr(ranking, "BLOCK_RANKS", 40)

    @settings(max_examples=60, deadline=None, database=None)
    @given(problems())
    def check(problem_and_ks):
        check_problem(*problem_and_ks, geometry)

    check()


def blocks_of_rows(n, seed=0):
    """Points of `n` rows in clips of five, of classes that each have four clips."""
    rng = np.random.default_rng(seed)
    clips = np.arange(n) // 5
    points = rng.normal(size=(n // 20 + 1, 8))[clips // 4]
    points = points + rng.normal(size=(n // 5 + 1, 8))[clips]
    return points + 0.1 * rng.normal(size=(n, 8)), clips // 4, clips


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_products_on_a_device(leave_one_out, monkeypatch):
    """The search by `keras.ops` leaves out the same rows."""
    points, labels, clips = blocks_of_rows(200)
    arguments = {"queries": points, "query_labels": labels, "groups": clips}
    if not leave_one_out:
        arguments |= {
            "gallery": points[::-1],
            "gallery_labels": labels[::-1],
            "gallery_groups": clips[::-1],
        }
    expected = evaluate(**arguments)
    monkeypatch.setattr(search_module, "inner_products", products.DeviceProducts)
    assert evaluate(**arguments) == expected
    assert expected["recall@1"] < evaluate(points, labels)["recall@1"]


@pytest.mark.host
@pytest.mark.parametrize("k", [1, 10])
def test_a_group_of_half_the_gallery_is_not_fetched_whole(k, searches):
    """Nearest rows of another camera are found in the first few."""
    rng = np.random.default_rng(0)
    points, camera = rng.normal(size=(2000, 8)), rng.integers(0, 2, 2000)
    indices, _ = knn(points, points, k=k, groups=camera, gallery_groups=camera)
    assert (camera[indices] != camera[:, None]).all()
    assert max(depth for _, _, depth in searches) < 200


@pytest.mark.host
def test_distractors_are_no_queries():
    results = evaluate(np.eye(4), [0, 0, -1, -1], k=1)
    assert results["recall@1"] == 1.0 and results["num_queries"] == 2
    scores = score_queries(np.eye(4), [0, 0, -1, -1], k=1)
    np.testing.assert_equal(scores.values["recall@1"], [1.0, 1.0, np.nan, np.nan])
    assert "2 rows are of no class" in scores.conventions["distractors"]
    assert scores.conventions["retrieval"].startswith("Each of 2 queries")
    assert count_positives([3, 3, -1, -1]).tolist() == [1, 1, 0, 0]
    np.testing.assert_equal(
        list(scores.intervals()["recall@1"]), [1.0, 1.0]
    )  # of two queries


@pytest.mark.host
def test_clusters_are_of_rows_with_a_class():
    points, labels, _ = blocks_of_rows(60)
    labels = np.stack([labels, labels // 2], axis=1)
    labels[::7, 0] = -1
    labels[::14, 1] = -1
    results = evaluate(points, labels, metrics=["nmi", "ami"])
    for level, prefix in enumerate(["", "level1_"]):
        known = labels[:, level] >= 0
        expected = cluster_agreement(points[known], labels[known, level], Sphere())
        for name, value in expected.items():
            assert results[prefix + name] == value
    none = np.stack([np.full(60, -1), labels[:, 1]], axis=1)
    results = evaluate(points, none, metrics=["nmi", "recall"])
    assert np.isnan(results["nmi"]) and np.isnan(results["recall@1"])
    assert results["level1_nmi"] > 0 and results["num_excluded"] == 60 - 5


@pytest.mark.host
def test_an_unknown_class_is_none_to_average_over():
    labels = [[0, 0], [0, 0], [-1, 0], [-1, 0], [-1, -1]]
    points = [[1, 0], [0, 1], [1, 0.1], [0.1, 1], [1, 1]]
    scores = score_queries(points, labels, k=1, metrics=["recall", "ndcg"])
    values = scores.values["ndcg"]
    assert np.isnan(values[4]) and np.isfinite(values[:4]).all()
    assert scores.means("class")["ndcg"] == values[:2].mean() != values[:4].mean()


@pytest.mark.host
def test_a_part_of_the_gallery_asks_all_of_it():
    points, labels, _ = blocks_of_rows(100)
    ids = np.array([f"{i}.jpg" for i in range(100)])
    chosen = np.arange(0, 100, 3)
    everything = score_queries(points, labels)
    part = score_queries(
        points[chosen], labels[chosen], points, labels,
        query_ids=ids[chosen], gallery_ids=ids,
    )  # fmt: skip
    for name, values in part.values.items():
        np.testing.assert_array_equal(values, everything.values[name][chosen])
    assert "nor a row of its own id: 99 to 99 rows" in part.conventions["retrieval"]


@pytest.mark.host
def test_queries_in_the_gallery_warn(recwarn):
    points, labels, clips = blocks_of_rows(40)
    with pytest.warns(UserWarning, match="2 of 3 queries stand in the gallery") as seen:
        some = np.concatenate([points[:2], points[2:3] + 1e-9])
        evaluate(some, labels[:3], points, labels)
    assert len(seen) == 1 and "query_ids" in str(seen[0].message)
    with pytest.warns(UserWarning, match="3 of 3"):
        evaluate(
            -0.0 * points[:3], labels[:3], np.float16([[0] * 8, [1] * 8]), [0, 0], k=1
        )
    recwarn.clear()
    ids = {"query_ids": np.arange(3), "gallery_ids": np.arange(40)}
    evaluate(points[:3], labels[:3], points, labels, **ids)
    evaluate(
        points[:3], labels[:3], points, labels, groups=clips[:3], gallery_groups=clips
    )
    evaluate(points, labels)
    evaluate(points[:3] + 1e-9, labels[:3], points, labels)
    # Not of an embedder that maps all to one point.
    evaluate(np.ones((3, 8)), labels[:3], np.ones((40, 8)), labels)
    assert not recwarn.list


@pytest.mark.host
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"query_ids": range(39)}, r"query_ids must have shape \(40,\)"),
        ({"groups": np.zeros((40, 1), int)}, r"groups must have shape \(40,\)"),
        ({"groups": np.zeros(40)}, "groups must be integers or strings.*float64"),
        ({"groups": [None] * 40}, "groups must be integers or strings.*object"),
        ({"gallery_ids": range(40)}, "gallery_ids were passed without a gallery"),
        ({"gallery_groups": range(40)}, "gallery_groups were passed without"),
    ],
)
def test_keys_that_do_not_fit(arguments, message):
    points, labels, _ = blocks_of_rows(40)
    with pytest.raises(ValueError, match=message):
        evaluate(points, labels, **arguments)


@pytest.mark.host
def test_keys_of_queries_and_gallery_go_together():
    points, labels, clips = blocks_of_rows(40)
    gallery = points[::-1], labels[::-1]
    with pytest.raises(ValueError, match="Received query_ids without gallery_ids"):
        evaluate(points, labels, *gallery, query_ids=clips)
    with pytest.raises(ValueError, match="Received gallery_groups without groups"):
        evaluate(points, labels, *gallery, gallery_groups=clips)
    with pytest.raises(ValueError, match="one kind, numbers or strings"):
        evaluate(
            points, labels, *gallery, groups=clips, gallery_groups=clips.astype(str)
        )
