"""A sample of weight n counts as n copies of it, in value and gradient."""

import functools

import numpy as np
import pytest

from tests.gradients import assert_gradients_close
from tests.losses.cases import (
    ALL,
    SMALL,
    Case,
    as_float32,
    to_number,
)

# Class 4 is all absent, others in part, singles become several. The repeated batch
# has the size of the batch itself, for the sake of JAX's compilation cache.
COPIES = np.array([2, 0, 0, 1, 0, 3, 1, 1, 2, 0, 2, 1, 0, 1])


@functools.cache
def measure_weighted(case):
    return case.measure(SMALL.labels, SMALL.embeddings, COPIES)


def sum_over_copies(gradient):
    """The gradient of the repeated batch, back to one row a sample."""
    total = np.zeros_like(SMALL.embeddings)
    np.add.at(total, np.repeat(np.arange(len(COPIES)), COPIES), gradient)
    return total


def test_the_weights_say_something():
    assert COPIES.sum() == len(COPIES) == len(SMALL.labels)
    assert not COPIES[SMALL.labels == 4].any()
    for label in (1, 5, 6):
        assert len(set(COPIES[SMALL.labels == label])) > 1


@pytest.mark.parametrize("case", ALL, ids=str)
def test_weights_are_multiplicities(case):
    value, (gradient,), by_proxies = measure_weighted(case)
    repeated_value, (repeated_gradient,), by_repeated_proxies = case.measure(
        np.repeat(SMALL.labels, COPIES), np.repeat(SMALL.embeddings, COPIES, 0)
    )
    assert value == pytest.approx(repeated_value, rel=1e-5)
    assert_gradients_close(gradient, sum_over_copies(repeated_gradient))
    for actual, expected in zip(by_proxies, by_repeated_proxies, strict=True):
        assert_gradients_close(actual, expected)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_weighted_value_equals_numpy(case):
    value, _, _ = measure_weighted(case)
    labels = np.repeat(SMALL.labels, COPIES)
    embeddings = np.repeat(SMALL.embeddings, COPIES, axis=0)
    expected = case.reference(labels, embeddings, case.proxies())
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_weights_of_one_change_nothing(case):
    loss = case.build()
    x = as_float32(SMALL.embeddings)
    plain = to_number(loss(SMALL.labels, x))
    for shape in [(-1,), (-1, 1)]:
        weights = np.ones(len(x), "float32").reshape(shape)
        assert to_number(loss(SMALL.labels, x, weights)) == plain


@pytest.mark.parametrize("case", ALL, ids=str)
def test_columns_are_taken_as_vectors(case):
    loss = case.build()
    x = as_float32(SMALL.embeddings)
    flat = to_number(loss(SMALL.labels, x, COPIES))
    assert to_number(loss(SMALL.labels[:, None], x, COPIES[:, None])) == flat


def test_fractions_interpolate_a_mean():
    loss = Case("CosFaceLoss").build()
    x = as_float32(SMALL.embeddings)
    weights = as_float32(np.linspace(0.1, 0.9, len(x)))
    single = [to_number(loss(SMALL.labels[i : i + 1], x[i : i + 1])) for i in range(14)]
    expected = np.average(single, weights=weights)
    assert to_number(loss(SMALL.labels, x, weights)) == pytest.approx(
        expected, rel=1e-5
    )


def test_a_sum_passes_weights_to_its_terms():
    anchor, pairs = Case("ProxyAnchorLoss").build(), Case("MultiSimilarityLoss").build()
    x = as_float32(SMALL.embeddings)
    expected = to_number(anchor(SMALL.labels, x, COPIES)) + 0.5 * to_number(
        pairs(SMALL.labels, x, COPIES)
    )
    value = to_number((anchor + 0.5 * pairs)(SMALL.labels, x, COPIES))
    assert value == pytest.approx(expected, rel=1e-6)
