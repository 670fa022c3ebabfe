"""Evaluations on disk, and the comparison of two."""

import dataclasses
import json

import numpy as np
import pytest

from keras_hierproxy import runs
from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.geometry import Sphere
from keras_hierproxy.runs.query_table import fingerprint, read_queries
from keras_hierproxy.runs.scoring import score

pytestmark = pytest.mark.host

FINE = np.repeat(np.arange(12), 10)
LABELS = np.stack([FINE, FINE // 4], axis=1)


def make_data(labels=LABELS, name="toys", **options):
    images = np.zeros((len(labels), 8, 8, 1), "uint8")
    return RetrievalDataset(images, labels, name=name, **options)


def write_evaluation(folder, noise, data=None, metrics=None):
    data = make_data() if data is None else data
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(12, 8))
    points = centers[data.labels[:, 0]]
    points = points + noise * rng.normal(size=points.shape)
    evaluation = score(data, points, metrics=metrics, geometry=Sphere())
    evaluation.write(folder, {"test": evaluation.results})
    return evaluation


def test_the_better_one_is_named(tmp_path):
    good = write_evaluation(tmp_path / "good", 0.5)
    bad = write_evaluation(tmp_path / "bad", 2.0)
    level_names, rows, _ = runs.compare_runs(tmp_path / "bad", tmp_path / "good")
    assert level_names == ["class", "level1"]
    assert list(rows) == list(good.scores.values)
    row = rows["recall@1"]
    assert (row.first, row.second) == (
        pytest.approx(bad.results["recall@1"]),
        pytest.approx(good.results["recall@1"]),
    )
    assert row.difference == pytest.approx(row.second - row.first)
    low, high = row.interval
    assert 0 < low < row.difference < high
    assert row.p < 0.001 and row.better == "second"
    _, back, _ = runs.compare_runs(tmp_path / "good", tmp_path / "bad")
    assert back["recall@1"].better == "first"


def test_equals_and_metrics_of_one_side(tmp_path):
    write_evaluation(tmp_path / "all", 1.0, metrics=["recall", "map", "ami"])
    write_evaluation(tmp_path / "some", 1.0, metrics=["map", "r_precision"])
    _, rows, only_one = runs.compare_runs(tmp_path / "all", tmp_path / "some")
    assert list(rows) == ["map", "level1_map"]
    assert {"recall@1", "level1_recall@8", "r_precision"} < set(only_one)
    assert "map" not in only_one
    assert rows["map"].p == 1 and rows["map"].better == ""


def test_excluded_queries_stay_excluded(tmp_path):
    labels = LABELS.copy()
    labels[:5] = [[50], [51], [52], [53], [54]]  # alone, on both levels
    data = make_data(labels)
    centers = np.random.default_rng(1).normal(size=(17, 8))
    for name, noise in (("a", 0.5), ("b", 1.5)):
        rng = np.random.default_rng(0)
        points = centers[data.labels[:, 0]] + noise * rng.normal(size=(120, 8))
        evaluation = score(data, points)
        evaluation.write(tmp_path / name, {})
        read = read_queries(tmp_path / name / "queries.csv", ["map@r"])[:, 0]
        np.testing.assert_array_equal(read, evaluation.scores.values["map@r"])
        assert np.isnan(read).sum() == 5
        mean = evaluation.results["map@r"]
        _, rows, _ = runs.compare_runs(tmp_path / "a", tmp_path / name)
        assert rows["map@r"].second == pytest.approx(mean)


def test_only_the_queries_are_in_the_table(tmp_path):
    is_query = np.arange(120) % 2 == 1
    data = make_data(is_query=is_query, paths=[f"photos/{i}.jpg" for i in range(120)])
    evaluation = write_evaluation(tmp_path / "run", 1.0, data)
    first, second, *rest = (tmp_path / "run/queries.csv").read_text().splitlines()
    assert first.startswith("row,path,class,level1,recall@1,")
    assert second.startswith("1,photos/1.jpg,0,0,")
    assert len(rest) == 59
    assert evaluation.results["num_queries"] == 60


@pytest.mark.parametrize(
    ("folder", "root", "expected"),
    [
        ("/data/photos", "/data/photos", "7/7.jpg"),
        ("/data/photos", "/data", "photos/7/7.jpg"),
        ("/data/photos", None, "7/7.jpg"),
        ("/data/photos", "/data/other", "../photos/7/7.jpg"),
        ("photos", "/data", "photos/7/7.jpg"),
        ("https://shop.example", None, "https://shop.example/7/7.jpg"),
    ],
)
def test_the_table_names_no_folder_of_the_machine(tmp_path, folder, root, expected):
    data = make_data(paths=[f"{folder}/{i}/{i}.jpg" for i in range(120)])
    evaluation = dataclasses.replace(score(data, np.eye(120)), root=root)
    evaluation.write(tmp_path / "run", {})
    line = (tmp_path / "run/queries.csv").read_text().splitlines()[8]
    assert line.split(",")[:2] == ["7", expected]


def test_other_queries_are_refused(tmp_path):
    write_evaluation(tmp_path / "a", 1.0)
    write_evaluation(tmp_path / "b", 1.0, make_data(LABELS[:60], name="few"))
    with pytest.raises(ValueError, match=r"same queries.*120 of toys.*60 of few"):
        runs.compare_runs(tmp_path / "a", tmp_path / "b")


def test_what_makes_queries_the_same():
    paths = [f"/here/{i}.jpg" for i in range(120)]
    same = fingerprint(make_data(paths=paths))
    # Where the folder stands, and what it is called, does not matter.
    moved = [path.replace("here", "there/data") for path in paths]
    assert fingerprint(make_data(paths=moved, name="other")) == same
    names = [[f"c{i}" for i in range(12)], ["x", "y", "z"]]
    for other in (
        make_data(paths=paths[::-1]),
        make_data(LABELS[::-1], paths=paths),
        make_data(paths=paths, class_names=names),
        make_data(paths=paths, is_query=np.arange(120) < 5),
        make_data(),
    ):
        assert fingerprint(other) != same


def test_damage_is_named(tmp_path):
    write_evaluation(tmp_path / "a", 1.0)
    write_evaluation(tmp_path / "b", 1.0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no evaluation"):
        runs.compare_runs(tmp_path / "a", tmp_path / "empty")

    table = tmp_path / "b/queries.csv"
    whole = table.read_text()
    table.write_text("".join(whole.splitlines(keepends=True)[:-3]))
    with pytest.raises(ValueError, match="117 queries of 120: it is damaged"):
        runs.compare_runs(tmp_path / "a", tmp_path / "b")
    table.write_text(whole[:-30])
    with pytest.raises(ValueError, match="queries.csv is damaged"):
        runs.compare_runs(tmp_path / "a", tmp_path / "b")
    table.write_text(whole)

    metrics = tmp_path / "b/metrics.json"
    metrics.write_text(metrics.read_text()[:500])
    with pytest.raises(ValueError, match="metrics.json is damaged"):
        runs.compare_runs(tmp_path / "a", tmp_path / "b")


def test_means_over_no_query_are_null(tmp_path):
    data = make_data(np.arange(30))
    evaluation = score(data, np.random.default_rng(0).normal(size=(30, 4)))
    written = evaluation.write(tmp_path, {"test": evaluation.results})
    assert written == json.loads((tmp_path / "metrics.json").read_text())
    assert written["test"]["recall@1"] is None
    assert written["intervals"]["recall@1"] == [None, None]
