"""NMI and AMI of k-means clusters."""

import numpy as np
import pytest

from keras_hierproxy.geometry import PoincareBall
from keras_hierproxy.retrieval import evaluate

pytestmark = pytest.mark.host

CLUSTERS = ["nmi", "ami"]


def noisy_classes(num_classes, noise, rows=600):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, size=rows)
    points = rng.normal(size=(num_classes, 16))[labels]
    return points + noise * rng.normal(size=points.shape), labels


def test_classes_that_stand_apart():
    # Lengths say nothing on the sphere.
    points, labels = noisy_classes(8, 0.01)
    points *= np.random.default_rng(1).uniform(0.1, 10, size=(600, 1))
    results = evaluate(points, np.stack([labels, labels // 4], 1), metrics=CLUSTERS)
    assert list(results) == [
        *CLUSTERS,
        "num_queries",
        "num_excluded",
        "level1_nmi",
        "level1_ami",
        "level1_num_excluded",
    ]
    assert results["nmi"] == results["ami"] == pytest.approx(1)
    # Two clusters of eight random directions need not be those of the labels.
    assert 0 <= results["level1_nmi"] < 1


def test_only_ami_is_adjusted_for_chance():
    points = np.random.default_rng(0).normal(size=(400, 16))
    results = evaluate(points, np.arange(400) % 100, metrics=CLUSTERS)
    assert results["nmi"] > 0.5
    assert abs(results["ami"]) < 0.05


@pytest.mark.parametrize("num_classes", [3, 40])
def test_pytorch_metric_learning(num_classes):
    torch = pytest.importorskip("torch")
    calculator = pytest.importorskip(
        "pytorch_metric_learning.utils.accuracy_calculator"
    ).AccuracyCalculator(include=("NMI", "AMI"), device=torch.device("cpu"))
    points, labels = noisy_classes(num_classes, 0.5)
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype("float32")
    theirs = calculator.get_accuracy(points, labels)
    ours = evaluate(points, labels, metrics=CLUSTERS)
    # k-means starts elsewhere.
    assert ours["nmi"] == pytest.approx(theirs["NMI"], abs=0.05)
    assert ours["ami"] == pytest.approx(theirs["AMI"], abs=0.05)


def test_clusters_of_the_queries():
    points, labels = noisy_classes(5, 0.01)
    other = np.random.default_rng(0).normal(size=(50, 16))
    results = evaluate(points, labels, other, np.arange(50) % 5, metrics=CLUSTERS)
    assert results["nmi"] == pytest.approx(1)


def test_in_the_ball():
    points, labels = noisy_classes(5, 0.01)
    ball = PoincareBall()
    points = np.asarray(ball.project(points.astype("float32")))
    results = evaluate(points, labels, metrics=CLUSTERS, geometry=ball)
    assert results["ami"] == pytest.approx(1)


def test_identical_points():
    results = evaluate(np.ones((6, 3)), np.arange(6) // 2, metrics=CLUSTERS)
    assert results["nmi"] == results["ami"] == 0
