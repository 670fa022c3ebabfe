"""Thresholds keep their promise; answers are as fine as it allows."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest

import keras_hierproxy as khp
from keras_hierproxy.gallery.thresholds import (
    find_threshold,
    lower_bound,
    queries_needed,
)

pytestmark = pytest.mark.host
DIMENSION = 16


class World:
    """Classes in kinds: points lie around their class, and it around its kind."""

    def __init__(self, seed=0, classes=20, kinds=5, noise=0.25):
        self.random = np.random.default_rng(seed)
        self.noise, self.kinds = noise, kinds
        kind = self.random.normal(size=(kinds, DIMENSION))
        self.kind_of = np.arange(classes) % kinds
        self.centers = kind[self.kind_of] + 0.7 * self.random.normal(
            size=(classes, DIMENSION)
        )

    def draw(self, classes, each):
        of = np.repeat(classes, each)
        noise = self.random.normal(size=(len(of), DIMENSION))
        points = self.centers[of] + 2 * self.noise * noise
        return points, [(f"class {i}", f"kind {self.kind_of[i]}") for i in of]

    def strangers(self, count):
        return self.random.normal(size=(count, DIMENSION)), [None] * count

    def queries(self, each=20):
        """Of known classes, of unknown ones of known kinds, and strangers."""
        known, unknown = self.draw(range(15), each), self.draw(range(15, 20), each)
        parts = [known, unknown, self.strangers(5 * each)]
        return np.concatenate([p for p, _ in parts]), sum((n for _, n in parts), [])

    def gallery(self):
        gallery = khp.Gallery(dimension=DIMENSION)
        points, labels = self.draw(range(15), 10)
        gallery.add(points=points, labels=labels)
        return gallery


def right(answer, truth):
    return truth is not None and truth[answer.level :] == answer.path


def precision_at(answers, truths, level):
    """Right and given answers of a level."""
    given = [
        right(answer, truth)
        for answer, truth in zip(answers, truths, strict=True)
        if answer.level == level
    ]
    return sum(given), len(given)


def test_answers_get_coarser_where_less_is_known():
    world = World()
    gallery = world.gallery()
    points, labels = world.queries(each=40)
    thresholds = gallery.calibrate(points=points, labels=labels, precision=0.9)
    assert [t.score is not None for t in thresholds] == [True, True]
    assert all(t.bound >= 0.9 and t.right <= t.answered for t in thresholds)
    assert thresholds[1].queries == len(labels) - thresholds[0].answered
    points, labels = world.queries(each=40)
    answers = gallery.identify(points=points)
    levels = np.array([-1 if a.level is None else a.level for a in answers])
    known, unknown, strangers = levels[:600], levels[600:800], levels[800:]
    assert (known == 0).mean() > 0.5 > (unknown == 0).mean()
    assert (unknown == 1).mean() > (known == 1).mean()
    assert (strangers == -1).mean() > 0.9
    for answer in answers:
        if answer.level is None:
            assert (answer.label, answer.path) == (None, ())
        else:
            assert answer.path == answer.hits.labels[0][answer.level :]
            assert answer.label == answer.path[0]
        assert 0 <= answer.confidence <= 1 and answer.hits.ids.shape == (20,)
    # Coarser answers add to flat refusal, at the same promise.
    assert (levels >= 0).sum() > 1.1 * (levels == 0).sum()


def test_the_promise_is_kept():
    """Broken in at most 10% of calibrations, at each level, as far as 25 tell."""
    broken = np.zeros(2, int)
    world = World(noise=0.4)
    gallery, trials = world.gallery(), 25
    fresh, truths = world.queries(each=40)
    for _ in range(trials):
        points, labels = world.queries(each=15)
        gallery.calibrate(points=points, labels=labels, precision=0.85)
        answers = gallery.identify(points=fresh)
        for level in range(2):
            hit, given = precision_at(answers, truths, level)
            # As far as the fresh queries tell.
            test = given and binomtest(hit, given, 0.85, alternative="less").pvalue
            broken[level] += bool(given and test < 0.05)
    assert (broken <= 6).all(), broken


def test_single_thresholds_keep_the_promise():
    """Of scores that say nothing, at the very precision that is promised."""
    random = np.random.default_rng(0)
    broken = 0
    for _ in range(400):
        found = random.random(300) < 0.9
        broken += (
            find_threshold(random.random(300), found, 0.9 + 1e-3).score is not None
        )
    assert broken / 400 < 0.14


def test_a_wrong_answer_stops_no_search():
    scores = np.arange(400, 0, -1.0)
    hit = np.arange(400) < 300
    hit[[5, 40]] = False
    threshold = find_threshold(scores, hit, 0.9)
    assert 250 < threshold.answered < 340
    assert threshold.bound == lower_bound(threshold.right, threshold.answered) >= 0.9
    assert threshold.confidence(400.0) > 0.9 > threshold.confidence(1.0)
    assert find_threshold(scores, ~hit, 0.9).score is None


def test_bounds_are_those_of_scipy():
    for hit, count in ((45, 45), (76, 77), (90, 100)):
        interval = binomtest(hit, count, alternative="greater").proportion_ci(0.9)
        assert lower_bound(hit, count) == pytest.approx(interval.low, abs=1e-9)
    assert lower_bound(44, 44) < 0.95 <= lower_bound(45, 45)
    assert (queries_needed(0.95), queries_needed(0.95, 1)) == (45, 77)


def test_thresholds_are_kept_in_the_folder(tmp_path):
    world = World()
    gallery = world.gallery()
    gallery.save(tmp_path / "a")
    points, labels = world.queries(each=40)
    thresholds = gallery.calibrate(points=points, labels=labels, precision=0.9)
    gallery.save(tmp_path / "b")
    gallery.remove([0])
    expected = [(a.path, a.confidence) for a in gallery.identify(points=points)]
    for folder in (tmp_path / "b",):
        again = khp.Gallery.load(folder)
        assert again.thresholds == thresholds
        found = [(a.path, a.confidence) for a in again.identify(points=points)]
        assert found == expected
    assert khp.Gallery.load(tmp_path / "a").thresholds == thresholds
    path = tmp_path / "a/embeddings.json"
    description = json.loads(path.read_text())
    description["thresholds"][0]["scores"] = "x"
    path.write_text(json.dumps(description))
    with pytest.raises(ValueError, match="thresholds.0.scores"):
        khp.Gallery.load(tmp_path / "a")


def test_one_level_and_items_without_labels():
    gallery = khp.Gallery(dimension=2)
    gallery.add(points=[[1, 0], [0, 1], [1, 1]], labels=["right", "up", None])
    labels = ["right"] * 60 + ["up"] * 60 + [None] * 60
    points = np.repeat([[9.0, 1], [1, 9], [1, 1]], 60, axis=0)
    gallery.calibrate(points=points, labels=labels)
    answers = gallery.identify(points=[[9, 1], [1, 1], [-1, -1]])
    assert [a.label for a in answers] == ["right", None, None]
    assert answers[0].path == ("right",) and answers[0].hits.labels[0] == "right"


def test_wrong_use_is_told():
    world = World()
    gallery = world.gallery()
    points, labels = world.queries(each=2)
    with pytest.raises(ValueError, match="Call `calibrate` first"):
        gallery.identify(points=points)
    with pytest.raises(ValueError, match="needs `labels`"):
        gallery.calibrate(points=points)
    with pytest.raises(ValueError, match="at least 45 queries .* 77 if .*Received: 30"):
        gallery.calibrate(points=points[:30], labels=labels[:30])
    for precision in (0, 1, "high", float("nan")):
        with pytest.raises(ValueError, match="precision"):
            gallery.calibrate(points=points, labels=labels, precision=precision)
    with pytest.raises(ValueError, match="is new: pass 2 names"):
        gallery.calibrate(points=points, labels=["lemon"] * len(points))
    with pytest.raises(ValueError, match="one entry for each item"):
        gallery.calibrate(points=points, labels=labels + [None] * 9)
    bare = khp.Gallery(dimension=2)
    bare.add(points=[[1, 0]])
    with pytest.raises(ValueError, match="have no labels"):
        bare.calibrate(points=np.ones((99, 2)), labels=["a"] * 99)
    with pytest.warns(UserWarning, match="At no level are answers precise enough"):
        gallery.calibrate(points=points, labels=[None] * len(points))
    assert {a.label for a in gallery.identify(points=points)} == {None}
