"""What scores are computed from, and what the tests of them are given."""

import numpy as np
import pytest

from keras_hierproxy.geometry import PoincareBall
from keras_hierproxy.retrieval import (
    bootstrap_intervals,
    evaluate,
    knn,
    paired_test,
    precision_at_k,
    recall_at_k,
    score_queries,
    verification,
)
from tests.hostile.cases import refused, right

pytestmark = pytest.mark.host

nan, inf = float("nan"), float("inf")
RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(8), 5)
POINTS = RNG.normal(size=(8, 4))[LABELS] + RNG.normal(size=(40, 4))
ONES, ZEROS = np.ones((20, 1)), np.zeros((20, 1))
RELEVANCE = np.array([[True, False, True], [False, False, False]])


def of(points, **options):
    return evaluate(points, LABELS, **options)


def scaled(scale):
    return lambda: of(POINTS * scale)


def verified_at(scale):
    return lambda: verified(POINTS * scale)


def masked(x):
    return np.ma.masked_less(x, 0)


def with_nan(x, row):
    x = x.copy()
    x[row] = nan
    return x


EXPECTED = of(POINTS)
SCALES = [
    *(
        right(f"float64 x {scale}", scaled(scale), EXPECTED)
        for scale in (1e-307, 1e-200, 1e-50, 1e-39, 1e39, 1e100, 1e200, 1e307)
    ),
    right(
        "each row of its own scale",
        lambda: of(POINTS * 10.0 ** RNG.uniform(-300, 300, size=(40, 1))),
        EXPECTED,
    ),
    right("longdouble", lambda: of(POINTS.astype("longdouble")), EXPECTED),
    right("list of lists", lambda: of(POINTS.tolist()), EXPECTED),
    right("Fortran order", lambda: of(np.asfortranarray(POINTS)), EXPECTED),
    right("big endian", lambda: of(POINTS.astype(">f8")), EXPECTED),
    right("a masked array without a mask", lambda: of(np.ma.array(POINTS)), EXPECTED),
    right(
        "a zero row is like none",
        lambda: knn(np.array([[0.0, 0], [1e-200, 0], [1, 0]]), k=1)[1].ravel(),
        np.array([0, 1, 1], "float32"),
    ),
    refused("complex", lambda: of(POINTS * 1j), "real numbers.*complex128"),
    refused("strings", lambda: of(POINTS.astype(str)), "real numbers.*<U"),
    refused("objects", lambda: of(POINTS.astype(object)), "real numbers.*object"),
    refused("dates", lambda: of(np.zeros((40, 4), "M8[s]")), "real numbers.*datetime"),
    refused("times", lambda: of(np.zeros((40, 4), "m8[s]")), "real numbers.*timedelta"),
    refused("masked", lambda: of(masked(POINTS)), "masked array"),
    refused("masked gallery", lambda: knn(POINTS, masked(POINTS), k=1), "gallery.*mas"),
    refused("ragged", lambda: of([[1.0], [1.0, 2.0]]), "as many entries in each row"),
    refused("NaN", lambda: of(with_nan(POINTS, 3)), "finite.*row 3"),
    refused("float16, infinite", lambda: of(np.full((40, 4), inf, "f2")), "finite"),
    refused("None", lambda: of(None), "queries"),
]

METRICS = [
    right(
        "precision@K",
        lambda: set(of(POINTS, k=(1, 5), metrics=["precision"])) & {"precision@5"},
        {"precision@5"},
    ),
    right(
        "precision@1 twice",
        lambda: of(POINTS, k=1, metrics=["precision", "precision@1"]),
        of(POINTS, k=1, metrics=["precision@1"]),
    ),
    right(
        "precision of the whole gallery",
        lambda: of(POINTS, k=39, metrics=["precision"])["precision@39"],
        lambda value: abs(value - 4 / 39) < 1e-12,
    ),
    right(
        "ranks that groups leave empty are misses",
        lambda: evaluate(
            np.eye(2)[[0, 0, 1]],
            [0, 0, 1],
            k=2,
            metrics=["precision"],
            groups=[0, 1, 0],
        )["precision@2"],
        0.5,
    ),
    right(
        "means over classes",
        lambda: evaluate(
            np.eye(3)[[0, 0, 0, 1, 2]], [0, 0, 0, 1, 1], k=1, average="class"
        )["recall@1"],
        0.5,
    ),
    refused("k beyond", lambda: of(POINTS, k=40, metrics=["precision"]), "k=40.*39"),
    refused("k=0", lambda: of(POINTS, k=0, metrics=["precision"]), "`k`.*0"),
    refused("k=True", lambda: of(POINTS, k=True, metrics=["precision"]), "`k`.*True"),
    refused("precision@5", lambda: of(POINTS, metrics=["precision@5"]), "stand in k"),
    refused("average=macro", lambda: of(POINTS, average="macro"), "class.*macro"),
    refused("average=None", lambda: of(POINTS, average=None), "average.*None"),
    refused(
        "means(True)",
        lambda: score_queries(POINTS, LABELS).means(True),
        "average.*True",
    ),
    refused("recall_at_k k=0", lambda: recall_at_k(RELEVANCE, [2, 0], 0), "`k`.*0"),
    refused("k=1.5", lambda: precision_at_k(RELEVANCE, [2, 0], 1.5), "`k`.*1.5"),
    refused("k=-1", lambda: precision_at_k(RELEVANCE, [2, 0], -1), "k.*-1"),
    refused("k=4 of 3", lambda: precision_at_k(RELEVANCE, [2, 0], 4), "4 neighbours"),
]

TESTS = [
    right("all better", lambda: paired_test(ZEROS, ONES, resamples=99), [0.01]),
    right("all the same", lambda: paired_test(ONES, ONES, resamples=99), [1.0]),
    right("bools", lambda: paired_test(ZEROS > 0, ONES > 0, resamples=99), [0.01]),
    right("lists", lambda: paired_test([[0], [1]], [[0], [1]], resamples=9), [1.0]),
    right(
        "NaN in both",
        lambda: paired_test(with_nan(ZEROS, 2), with_nan(ONES, 2), resamples=99),
        [0.01],
    ),
    right("NaN alone", lambda: paired_test(nan * ONES, nan * ONES, resamples=9), [nan]),
    refused("one NaN", lambda: paired_test(with_nan(ZEROS, 2), ONES), "same places.*2"),
    refused("other NaN", lambda: paired_test(ZEROS, with_nan(ONES, 3)), "places.*3"),
    refused("infinity", lambda: paired_test(ZEROS, inf * ONES), "second.*finite"),
    refused("-infinity", lambda: paired_test(-inf * ONES, ONES), "first.*finite"),
    refused("fewer", lambda: paired_test(ZEROS, ONES[:5]), r"\(20, 1\).*\(5, 1\)"),
    refused("one row", lambda: paired_test(ZEROS, ONES[:1]), r"\(20, 1\).*\(1, 1\)"),
    refused("columns", lambda: paired_test(ZEROS, np.ones((20, 2))), r"\(20, 2\)"),
    refused("flat", lambda: paired_test(ZEROS[:, 0], ONES[:, 0]), r"scores\[:, None\]"),
    refused("numbers", lambda: paired_test(0.5, 0.7), r"first.*shape \(\)"),
    refused("3 axes", lambda: paired_test(ZEROS[None], ONES[None]), r"\(1, 20, 1\)"),
    refused("empty", lambda: paired_test(ZEROS[:0], ONES[:0]), "at least one query"),
    refused("strings", lambda: paired_test([["a"]], [["b"]]), "numbers.*<U1"),
    refused("None", lambda: paired_test([[None]], [[1]]), "numbers.*object"),
    refused("complex", lambda: paired_test(1j * ONES, ONES), "numbers.*complex"),
    refused("dict", lambda: paired_test({"a": 1}, {"a": 2}), "first"),
    refused("ragged", lambda: paired_test([[1], [1, 2]], ONES), "as many entries"),
    refused("0 draws", lambda: paired_test(ZEROS, ONES, resamples=0), "resamples.*0"),
    refused("-1 draws", lambda: paired_test(ZEROS, ONES, resamples=-1), "resam.*-1"),
    refused("1.5 draws", lambda: paired_test(ZEROS, ONES, resamples=1.5), "resam.*1.5"),
    refused("True draws", lambda: paired_test(ZEROS, ONES, resamples=True), "resam"),
    refused("seed=-1", lambda: paired_test(ZEROS, ONES, seed=-1), "seed.*-1"),
    refused("seed=None", lambda: paired_test(ZEROS, ONES, seed=None), "seed.*None"),
    right("interval", lambda: bootstrap_intervals(ONES), [[1, 1]]),
    right("interval of NaN", lambda: bootstrap_intervals(nan * ONES), [[nan, nan]]),
    refused("interval, flat", lambda: bootstrap_intervals(ONES[:, 0]), r"\[:, None\]"),
    refused("interval, empty", lambda: bootstrap_intervals(ONES[:0]), "at least one"),
    refused("interval, inf", lambda: bootstrap_intervals(inf * ONES), "finite"),
    refused("interval, words", lambda: bootstrap_intervals([["a"]]), "numbers"),
    refused("95 percent", lambda: bootstrap_intervals(ONES, confidence=95), "below 1"),
    refused("0 percent", lambda: bootstrap_intervals(ONES, confidence=0), "above 0"),
    refused("NaN percent", lambda: bootstrap_intervals(ONES, confidence=nan), "confid"),
    refused("no resamples", lambda: bootstrap_intervals(ONES, resamples=0), "resam"),
]


def verified(points=POINTS, labels=LABELS, fmr=0.1, **options):
    return verification(points, labels, fmr=fmr, **options)


VERIFIED = verified()
PAIRS = [
    *(
        right(f"pairs, float64 x {scale}", verified_at(scale), VERIFIED)
        for scale in (1e-307, 1e-200, 1e200, 1e307)
    ),
    right(
        "told apart",
        lambda: verified(np.eye(8)[LABELS])["roc_auc"],
        1.0,
    ),
    right(
        "collapsed",
        lambda: [verified(np.ones((40, 3)))[name] for name in ("roc_auc", "eer")],
        [0.5, 0.5],
    ),
    right(
        "distractors are impostors alone",
        lambda: verified(np.eye(4), [0, 0, -1, -1], fmr=0.5)["num_impostor"],
        4,
    ),
    right(
        "queries that are distractors are none",
        lambda: verified(
            np.eye(3), [0, 1, -1], gallery=np.ones((2, 3)), gallery_labels=[0, -1]
        )["num_impostor"],
        3,
    ),
    right(
        "groups are left out",
        lambda: verified(np.eye(4), [0, 0, 0, 1], fmr=0.5, groups=[0, 0, 1, 2])[
            "num_genuine"
        ],
        2,
    ),
    right("FMR twice", lambda: verified(fmr=(0.1, 0.1)), VERIFIED),
    right("num_pairs beyond", lambda: verified(num_pairs=10**9), VERIFIED),
    right("FMR of one impostor", lambda: verified(fmr=1 / 700), lambda r: r["eer"] > 0),
    refused("one-hot", lambda: verified(labels=np.eye(8, dtype=int)[LABELS]), "hot"),
    refused("float labels", lambda: verified(labels=LABELS * 1.0), "integer class ids"),
    refused("fewer labels", lambda: verified(labels=LABELS[:9]), "one row each"),
    refused("one class", lambda: verified(labels=LABELS * 0), "no impostor pair"),
    refused("all alone", lambda: verified(labels=np.arange(40)), "no genuine pair"),
    refused("no class", lambda: verified(labels=LABELS * 0 - 1), "hold no class"),
    refused("one row", lambda: verified(POINTS[:1], [0]), "no genuine pair"),
    refused(
        "one super-class",
        lambda: verified(labels=np.stack([LABELS, LABELS * 0], axis=1)),
        "no impostor pair on level 1",
    ),
    refused("one group", lambda: verified(groups=LABELS * 0), "no genuine pair"),
    refused("a group a class", lambda: verified(groups=LABELS), "no genuine pair"),
    refused(
        "a group a class, drawn",
        lambda: verified(groups=LABELS, num_pairs=5),
        "no genuine pair.*larger num_pairs",
    ),
    refused("NaN", lambda: verified(with_nan(POINTS, 3)), "finite.*row 3"),
    refused("complex", lambda: verified(POINTS * 1j), "real numbers"),
    refused("gallery alone", lambda: verified(gallery=POINTS), "gallery_labels"),
    refused("outside", lambda: verified(9 * POINTS, geometry=PoincareBall()), "inside"),
    refused("FMR 0", lambda: verified(fmr=0), "fmr.*above 0"),
    refused("FMR 1", lambda: verified(fmr=1), "fmr.*below 1"),
    refused("FMR 1%", lambda: verified(fmr="1%"), "fmr.*1%"),
    refused("FMR NaN", lambda: verified(fmr=(0.1, nan)), "fmr.*nan"),
    refused("FMR True", lambda: verified(fmr=True), "fmr.*True"),
    refused("FMR None", lambda: verified(fmr=None), "fmr.*None"),
    refused("0 pairs", lambda: verified(num_pairs=0), "num_pairs.*0"),
    refused("1.5 pairs", lambda: verified(num_pairs=1.5), "num_pairs.*1.5"),
    refused("True pairs", lambda: verified(num_pairs=True), "num_pairs.*True"),
    refused("seed=-1", lambda: verified(seed=-1), "seed.*-1"),
    refused("seed=0.5", lambda: verified(seed=0.5), "seed.*0.5"),
]


@pytest.mark.parametrize("case", SCALES, ids=str)
def test_scales(case, judge):
    judge("scales", case)


@pytest.mark.parametrize("case", METRICS, ids=str)
def test_metrics(case, judge):
    judge("metrics", case)


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_verification(case, judge):
    judge("verification", case)


@pytest.mark.parametrize("case", TESTS, ids=str)
def test_tests_and_intervals(case, judge):
    judge("uncertainty", case)
