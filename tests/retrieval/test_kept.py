"""What scores keep, so that nothing is searched, drawn or counted a second time."""

import numpy as np
import pytest

from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.pictures.retrieved import nearest_images
from keras_hierproxy.retrieval import graded, knn, score_queries, scores
from keras_hierproxy.retrieval.catalog import METRICS

pytestmark = pytest.mark.host

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(60, 5)).astype("float32")
POINTS *= 0.8 / np.linalg.norm(POINTS, axis=1).max()
POINTS[40:44] = POINTS[3]  # ties
LABELS = np.repeat(np.arange(12), 5)
ALL = [name for name in METRICS if METRICS[name].depth != "none"]


@pytest.mark.parametrize("geometry", [Sphere(), PoincareBall()], ids=repr)
@pytest.mark.parametrize("metrics", [["recall"], ["map@r"], ALL], ids=str)
@pytest.mark.parametrize("ways", ["leave one out", "gallery", "groups"])
def test_the_kept_neighbours_are_those_of_a_search(geometry, metrics, ways):
    keys, labels = {"queries": POINTS}, {"query_labels": LABELS}
    if ways == "gallery":
        keys = {"queries": POINTS[:20], "gallery": POINTS[20:]}
        labels = {"query_labels": LABELS[:20], "gallery_labels": LABELS[20:]}
    if ways == "groups":
        keys["groups"] = np.arange(60) // 56  # the last four find 56, others four
    kept = score_queries(**keys, **labels, k=1, metrics=metrics, geometry=geometry)
    indices, similarities = knn(**keys, k=8, geometry=geometry)
    np.testing.assert_array_equal(kept.neighbors, indices)
    np.testing.assert_allclose(kept.similarities, similarities, rtol=0, atol=3e-7)


def test_distractors_and_small_galleries_keep_what_there_is():
    labels = np.array([0, 0, -1, 1, 1])
    kept = score_queries(POINTS[:5], labels, k=1)
    assert kept.neighbors.shape == kept.similarities.shape == (5, 4)
    assert (kept.neighbors[[0, 1, 3, 4]] >= 0).all()
    clusters = score_queries(POINTS[:5], labels, k=1, metrics=["nmi"])
    assert clusters.neighbors is None and clusters.similarities is None


def test_more_neighbours_than_are_kept_are_searched():
    from keras_hierproxy.datasets import RetrievalDataset

    data = RetrievalDataset(np.zeros((60, 4, 4, 1), "uint8"), LABELS)
    kept = score_queries(POINTS, LABELS)
    for k in (8, 9):
        found = nearest_images(data, POINTS, k, scores=kept)
        for one, other in zip(found, nearest_images(data, POINTS, k), strict=True):
            np.testing.assert_array_equal(one, other)


def test_means_and_intervals_are_worked_out_once(monkeypatch):
    kept = score_queries(POINTS, LABELS)
    first = kept.intervals(), kept.means(), kept.means("class")
    assert first[1] != first[2]
    first[1]["recall@1"] = "changed"  # a copy of the caller's own

    def anew(*_):
        raise AssertionError("worked out anew")

    monkeypatch.setattr(scores, "bootstrap_intervals", anew)
    monkeypatch.setattr(scores, "_mean", anew)
    assert kept.intervals() == first[0]
    assert kept.means()["recall@1"] == score_mean(kept)
    assert kept.means("class") == first[2]
    with pytest.raises(AssertionError, match="anew"):
        kept.intervals(seed=1)


def score_mean(kept):
    return float(np.nanmean(kept.values["recall@1"]))


def test_matches_of_a_block_are_counted_once(monkeypatch):
    made = []
    init = graded.Matches.__init__
    monkeypatch.setattr(
        graded.Matches, "__init__", lambda *args: made.append(1) or init(*args)
    )
    score_queries(POINTS, LABELS, metrics=["ndcg", "asi", "h_ap"])
    assert len(made) == 1
