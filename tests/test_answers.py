"""benchmarks/answers.py divides fairly, and counts what a gallery answers."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_hierproxy as khp

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def answers():
    sys.path.insert(0, str(FOLDER))  # for `import heads`
    try:
        spec = importlib.util.spec_from_file_location("answers", FOLDER / "answers.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


@pytest.fixture(scope="module")
def labels():
    """48 classes of 12 kinds of 4 groups, 10 photos each."""
    classes = np.repeat(np.arange(48), 10)
    return np.stack([classes, classes // 4, classes // 12], axis=1)


@pytest.mark.parametrize("unseen", ["the same", "others"])
def test_nothing_is_tested_that_chose_anything(answers, labels, unseen):
    parts = gallery, calibration, test = answers.divide(labels, unseen, [1, 2])
    assert sum(map(len, parts)) == len(np.unique(np.concatenate(parts))) == 480
    there = set(labels[gallery, 0])
    new = [set(labels[rows, 0]) - there for rows in (calibration, test)]
    # A group of 12, 2 of the 9 other kinds (rounded), and 6 of the other classes.
    assert len(there) == 48 - len(new[0] | new[1]) < 36
    assert len(set(labels[gallery, 2])) == 3
    assert bool(new[0] & new[1]) == (unseen == "the same")
    assert all(np.isin(labels[rows, 0], list(there)).any() for rows in parts[1:])


def test_answers_are_counted_by_what_is_right(answers, labels):
    rng = np.random.default_rng(0)
    centers = sum(
        scale * rng.normal(size=(labels[:, level].max() + 1, 32))[labels[:, level]]
        for level, scale in enumerate((0.3, 0.6, 1.0))
    )
    points = centers + 0.02 * rng.normal(size=centers.shape)
    names = [[f"{level}-{i}" for i in range(n)] for level, n in enumerate((48, 12, 4))]
    data = khp.datasets.RetrievalDataset(points, labels, names)
    rows = answers.divide(labels, "the same", [0, 0])
    found = answers.measure(points, khp.geometry.Sphere(), data, rows, 0.9)
    assert found["items"] == len(rows[0])
    total = sum(sum(each.values()) for each in found["counts"].values())
    assert total == len(rows[2])
    # So far apart, what is known is answered rightly, and what is nothing is refused.
    known = found["counts"]["0"]
    assert known["0 right"] > 0.8 * known.total() and not known["0 wrong"]
    assert set(found["counts"]["unknown"]) == {"unknown"}
    record = {**found, "precision": 0.9}
    figures = answers.figures(record)
    assert figures["precision"] > 0.9 and figures["refused"] == 1
    assert figures["flat right"] <= figures["right"] <= figures["can be right"]
    assert figures["flat bits"] <= figures["bits"] <= figures["possible bits"]
