"""Verification equals a plain version over all pairs."""

import importlib

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.retrieval import verification

pytestmark = pytest.mark.host

module = importlib.import_module("keras_hierproxy.retrieval.verification")
BALL = PoincareBall(0.3)
FMR = (0.1, 0.01)


def points_of(rng, labels, geometry):
    points = rng.normal(size=(40, 6))[labels % 40] + rng.normal(size=(len(labels), 6))
    points[1] = points[0]  # a tie
    if geometry == BALL:
        points /= 1.001 * np.linalg.norm(points, axis=1).max() * BALL.curvature**0.5
    return points.astype("float32")


def slow(points, labels, others=None, other_labels=None, geometry=None, apart=None):
    """ROC AUC, EER and FNMR from the similarity of every pair."""
    if geometry == BALL:
        second = points if others is None else others
        similarity = -np.stack([BALL.exact_distance(point, second) for point in points])
    else:
        unit = [
            x / np.linalg.norm(x.astype("float64"), axis=1, keepdims=True)
            for x in (points, points if others is None else others)
        ]
        similarity = unit[0] @ unit[1].T
    within = others is None
    other_labels = labels if within else other_labels
    chosen = np.ones(similarity.shape, bool) if apart is None else apart
    known = labels[:, None] >= 0
    if within:
        chosen = np.triu(chosen, 1)
        known = known | (labels >= 0)
    same = (labels[:, None] == other_labels) & (labels[:, None] >= 0)
    s = np.round(similarity[chosen & known], 7)
    genuine = same[chosen & known]
    results = {
        "roc_auc": roc_auc_score(genuine, s),
        "num_genuine": genuine.sum(),
        "num_impostor": (~genuine).sum(),
    }
    at = np.append(np.unique(s), np.inf)
    fmr = np.array([(s[~genuine] >= t).mean() for t in at])
    fnmr = np.array([(s[genuine] < t).mean() for t in at])
    for rate in FMR:
        results[f"fnmr@fmr={rate}"] = fnmr[fmr <= rate + 1e-12].min()
    after = np.flatnonzero(fnmr >= fmr)[0]
    (a, b), (c, d) = (fmr[after - 1], fnmr[after - 1]), (fmr[after], fnmr[after])
    share = (a - b) / ((a - b) + (d - c))
    results["eer"] = a + share * (c - a)
    return results


def check(ours, theirs, prefix="", **tolerance):
    for name, value in theirs.items():
        tolerance = tolerance or {"abs": 2e-6}
        assert ours[prefix + name] == pytest.approx(value, **tolerance), name


@pytest.fixture(params=[Sphere(), BALL], ids=["sphere", "ball"])
def geometry(request):
    return request.param


def test_all_pairs(geometry):
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 12, 90)
    points = points_of(rng, labels, geometry)
    check(
        verification(points, labels, fmr=FMR, geometry=geometry),
        slow(points, labels, geometry=geometry),
    )


def test_gallery(geometry):
    rng = np.random.default_rng(1)
    labels = rng.integers(-1, 6, 100)
    points = points_of(rng, labels, geometry)
    halves = points[:30], labels[:30], points[30:], labels[30:]
    check(
        verification(*halves, fmr=FMR, geometry=geometry),
        slow(*halves, geometry=geometry),
    )


def test_levels_groups_and_ids():
    rng = np.random.default_rng(2)
    classes = rng.integers(0, 12, 90)
    labels = np.stack([classes, classes // 3], axis=1)
    points = points_of(rng, classes, Sphere())
    groups, ids = rng.integers(-1, 5, 90), rng.integers(0, 60, 90).astype(str)
    ours = verification(points, labels, fmr=FMR, groups=groups, query_ids=ids)
    apart = (groups[:, None] != groups) | (groups < 0)
    apart &= ids[:, None] != ids
    check(ours, slow(points, labels[:, 0], apart=apart))
    check(ours, slow(points, labels[:, 1], apart=apart), "level1_")
    assert len(ours) == 2 * (4 + 2 * len(FMR))


def test_arguments_of_a_data_set():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 60)
    data = RetrievalDataset(
        np.zeros((60, 4, 4, 1), "uint8"), labels,
        is_query=np.arange(60) % 2 == 0, groups=np.arange(60) // 4,
    )  # fmt: skip
    points = points_of(rng, labels, Sphere())
    ours = verification(**data.retrieval_arguments(points), fmr=FMR)
    groups = data.groups
    check(
        ours,
        slow(
            points[::2], labels[::2], points[1::2], labels[1::2],
            apart=groups[::2, None] != groups[1::2],
        ),
    )  # fmt: skip


def test_tiles_change_nothing(geometry, monkeypatch):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 12, 100)
    points = points_of(rng, labels, geometry)
    arguments = points, labels, points[:70] * 0.9, labels[:70]
    for part in (arguments[:2], arguments):
        whole = verification(*part, fmr=FMR, geometry=geometry)
        monkeypatch.setattr(module, "TILE", 13)
        assert verification(*part, fmr=FMR, geometry=geometry) == whole
        monkeypatch.undo()


def test_many_pairs_are_counted_in_steps(geometry, monkeypatch):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 12, 300)
    points = points_of(rng, labels, geometry)
    exact = verification(points, labels, fmr=FMR, geometry=geometry)
    monkeypatch.setattr(module, "EXACT_PAIRS", 1000)
    stepped = verification(points, labels, fmr=FMR, geometry=geometry)
    assert stepped == pytest.approx(exact, abs=2e-5)
    assert stepped["num_genuine"] == exact["num_genuine"]


def test_points_that_are_near_in_the_ball():
    """Where a product in float64 has no digits left."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 4, 40)
    points = 0.5 + 1e-11 * (rng.normal(size=(4, 3))[labels] + rng.normal(size=(40, 3)))
    check(
        verification(points, labels, fmr=0.1, geometry=BALL),
        {"roc_auc": slow_auc(points, labels)},
    )


def slow_auc(points, labels):
    i, j = np.triu_indices(len(points), 1)
    return roc_auc_score(
        labels[i] == labels[j], -BALL.exact_distance(points[i], points[j])
    )


@pytest.mark.parametrize("with_gallery", [False, True])
def test_drawn_pairs(with_gallery):
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(40), 10)
    points = points_of(rng, labels, Sphere())
    part = (points, labels)
    if with_gallery:
        part = points[::2], labels[::2], points[1::2], labels[1::2]
    whole = verification(*part, fmr=FMR)
    drawn = verification(*part, fmr=FMR, num_pairs=900)
    assert drawn["num_genuine"] == drawn["num_impostor"] == 900
    for name in ("roc_auc", "eer", "fnmr@fmr=0.1"):
        assert drawn[name] == pytest.approx(whole[name], abs=0.06)
    assert verification(*part, fmr=FMR, num_pairs=900) == drawn
    assert verification(*part, fmr=FMR, num_pairs=900, seed=1) != drawn
    # Of fewer pairs than that, all.
    assert verification(*part, fmr=FMR, num_pairs=10**6) == whole


@pytest.mark.parametrize("within", [True, False])
def test_every_pair_has_a_number(within):
    rng = np.random.default_rng(8)
    own = rng.integers(-1, 5, 23)
    others = own if within else rng.integers(-1, 7, 31)
    space = module._PairsWithin(own, others, within)
    i, j = space.pairs(np.arange(space.total))
    assert (own[i] == others[j]).all() and (own[i] >= 0).all()
    expected = (own[:, None] == others) & (own[:, None] >= 0)
    if within:
        expected = np.triu(expected, 1)
        i, j = np.minimum(i, j), np.maximum(i, j)
    assert sorted(zip(i, j, strict=True)) == list(map(tuple, np.argwhere(expected)))


def test_pairs_are_drawn_evenly():
    """Also where groups leave few of them."""
    labels, groups = np.zeros(12, int), np.array([0] * 10 + [1, 2])
    labels[-1] = 1
    seen = []
    for seed in range(300):
        search = module.NeighborSearch(np.eye(12), None, None, groups=groups)
        space = module._PairsWithin(labels, labels, True)
        rng = np.random.default_rng(seed)
        i, _ = module._draw(search, labels, labels, True, space, 3, rng)
        seen.extend(i)
    counts = np.bincount(seen, minlength=10)
    assert counts.sum() == 900 and counts[10:].sum() == 0
    assert counts[:10].min() > 55 and counts[:10].max() < 130


def test_fmr_beyond_what_impostors_resolve():
    points, labels = np.random.default_rng(9).normal(size=(20, 3)), np.arange(20) // 2
    with pytest.warns(UserWarning, match="180 impostor pairs.*0.001.*takes 1,000"):
        results = verification(points, labels, fmr=(0.1, 0.001))
    assert np.isnan(results["fnmr@fmr=0.001"])
    assert np.isnan(results["threshold@fmr=0.001"])
    assert 0 <= results["fnmr@fmr=0.1"] <= 1
    i, j = np.triu_indices(20, 1)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    similarity, genuine = (unit[i] * unit[j]).sum(axis=1), labels[i] == labels[j]
    match = similarity >= results["threshold@fmr=0.1"] - 1e-6
    assert match[~genuine].mean() <= 0.1
    assert 1 - match[genuine].mean() == pytest.approx(results["fnmr@fmr=0.1"])


def test_memory_is_bounded(monkeypatch):
    """No array of all pairs."""
    import tracemalloc

    monkeypatch.setattr(module, "TILE", 200)
    monkeypatch.setattr(module, "STEPS", 1000)
    monkeypatch.setattr(module, "EXACT_PAIRS", 1000)
    points, labels = (
        np.random.default_rng(0).normal(size=(3000, 4)),
        np.arange(3000) // 3,
    )
    tracemalloc.start()
    results = verification(points, labels, fmr=0.1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert results["num_genuine"] == 3000
    assert results["num_impostor"] == 3000 * 2999 // 2 - 3000
    assert peak < 3000**2 / 2  # a byte a pair
