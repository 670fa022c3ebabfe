"""Intervals cover what they should, and the test of a difference keeps its level."""

import numpy as np
import pytest
import scipy.stats

from keras_hierproxy.retrieval import (
    bootstrap_intervals,
    paired_test,
    score_queries,
    uncertainty,
)

pytestmark = pytest.mark.host


def test_interval_is_that_of_scipy():
    values = np.random.default_rng(0).beta(2, 1, size=(300, 2))
    ours = bootstrap_intervals(values, resamples=4000)
    for column, (low, high) in zip(values.T, ours, strict=True):
        theirs = scipy.stats.bootstrap(
            (column,), np.mean, n_resamples=4000, method="percentile", rng=1
        ).confidence_interval
        assert (low, high) == pytest.approx(tuple(theirs), abs=0.003)


def test_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    samples = (rng.uniform(size=(200, 400)) < 0.7).astype(float)  # a column each
    low, high = bootstrap_intervals(samples, resamples=400).T
    assert 0.91 < ((low <= 0.7) & (0.7 <= high)).mean() < 0.98
    low, high = bootstrap_intervals(samples, confidence=0.5, resamples=400).T
    assert 0.42 < ((low <= 0.7) & (0.7 <= high)).mean() < 0.58


def test_interval_leaves_out_nan():
    values = np.random.default_rng(0).uniform(size=(400, 1))
    some = np.where(np.arange(400)[:, None] % 2, np.nan, values)
    low, high = bootstrap_intervals(some)[0]
    half = bootstrap_intervals(values[::2])[0]
    assert (low, high) == pytest.approx(tuple(half), abs=0.01)
    assert np.isnan(bootstrap_intervals(np.full((5, 1), np.nan))).all()


def test_interval_in_blocks(monkeypatch):
    values = np.random.default_rng(0).uniform(size=(50, 3))
    expected = bootstrap_intervals(values)
    monkeypatch.setattr("keras_hierproxy.retrieval.uncertainty.BLOCK_DRAWS", 120)
    np.testing.assert_allclose(bootstrap_intervals(values), expected, rtol=1e-12)


def test_intervals_of_scores():
    points = np.random.default_rng(0).normal(size=(60, 4))
    scores = score_queries(
        points, np.arange(60) // 6, metrics=["recall", "map@r", "nmi"]
    )
    means, intervals = scores.means(), scores.intervals()
    assert set(intervals) == {"recall@1", "recall@2", "recall@4", "recall@8", "map@r"}
    for name, (low, high) in intervals.items():
        assert low < means[name] < high
    assert score_queries(points, np.arange(60) // 6, metrics=["nmi"]).intervals() == {}


def test_p_is_that_of_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 80))
    second += 0.25
    theirs = scipy.stats.permutation_test(
        (first, second),
        lambda a, b, axis: (b - a).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=1,
    ).pvalue
    ours = paired_test(first[:, None], second[:, None])[0]
    assert ours == pytest.approx(theirs, abs=0.01)


def test_p_is_exact_for_few_queries():
    """All three swapped or none: 2 of 8 sign patterns reach the mean seen."""
    for unmoved in (0, 50):
        first = np.zeros((3 + unmoved, 1))
        assert paired_test(first, first + (np.arange(len(first)) < 3)[:, None]) == 0.25
    assert paired_test(np.zeros((1, 1)), np.ones((1, 1))) == 1


def test_p_counts_means_that_rounding_parts():
    """0.1 + 0.2 - 0.3 is not 0: each sign pattern ties with its opposite."""
    difference = np.array([[0.1], [0.2], [-0.3]])
    assert paired_test(np.zeros((3, 1)), difference) == 1


def test_p_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 40, 3))
    expected = paired_test(first, second, resamples=999)
    monkeypatch.setattr(uncertainty, "BLOCK_DRAWS", 420)
    np.testing.assert_allclose(
        paired_test(first, second, resamples=999), expected, atol=0.05
    )


def test_p_of_equals_is_rarely_small():
    rng = np.random.default_rng(0)
    first, second = (rng.uniform(size=(2, 100, 500)) < 0.8).astype(float)
    p = paired_test(first, second, resamples=999)
    assert 0.02 < (p <= 0.05).mean() < 0.08
    assert paired_test(first, first, resamples=99).tolist() == [1.0] * 500


def test_p_leaves_out_nan():
    first, second = np.zeros((30, 2)), np.ones((30, 2))
    first[3:, 0] = second[3:, 0] = first[:, 1] = second[:, 1] = np.nan
    p = paired_test(first, second)
    assert p[0] == pytest.approx(0.25, abs=0.02) and np.isnan(p[1])
