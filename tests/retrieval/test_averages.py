"""Means over queries, and over classes."""

import numpy as np
import pytest

from keras_hierproxy.retrieval import evaluate, score_queries

pytestmark = pytest.mark.host

METRICS = ("recall", "precision", "map", "ndcg", "nmi")


@pytest.fixture
def problem():
    """Classes of very different sizes, in super-classes; distractors; one alone."""
    rng = np.random.default_rng(0)
    classes = np.append(np.repeat(np.arange(5), [40, 3, 2, 9, 1]), [-1, -1])
    labels = np.stack([classes, np.where(classes < 0, -1, classes // 2)], axis=1)
    return rng.normal(size=(len(labels), 4)), labels


def test_each_class_of_the_level_weighs_the_same(problem):
    points, labels = problem
    scores = score_queries(points, labels, k=(1, 5), metrics=METRICS)
    means, macro = scores.means(), scores.means("class")
    for name, values in scores.values.items():
        level = int(name.startswith("level1_"))
        of_classes = [values[labels[:, level] == c] for c in range(5)]
        # A class without a score has no say.
        of_classes = [of[~np.isnan(of)] for of in of_classes]
        expected = np.mean([of.mean() for of in of_classes if len(of)])
        assert macro[name] == pytest.approx(expected, abs=1e-12)
        assert macro[name] != means[name]
    assert macro.keys() == means.keys()
    for name in ("nmi", "level1_nmi", "num_queries", "num_excluded"):
        assert macro[name] == means[name]
    assert means["num_queries"] == 55 and means["num_excluded"] == 1


def test_evaluate_takes_the_average(problem):
    scores = score_queries(*problem)
    assert evaluate(*problem) == scores.means()
    assert evaluate(*problem, average="class") == scores.means("class")


def test_no_query_has_a_positive():
    results = evaluate(np.eye(3), [0, 1, 2], k=1, average="class")
    assert np.isnan(results["recall@1"])
