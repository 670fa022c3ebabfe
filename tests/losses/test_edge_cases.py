"""Value and gradients stay finite where directions, pairs or samples are missing."""

import dataclasses
import functools

import numpy as np
import pytest

from tests.gradients import differentiated
from tests.losses.cases import ALL, SMALL, as_float32

OF_ONE_CLASS = np.flatnonzero(SMALL.labels == 6)


def measure(case, *args, **kwargs):
    """Value and all gradients."""
    value, by_embeddings, by_proxies = case.measure(*args, **kwargs)
    return value, by_embeddings + by_proxies


@functools.cache
def differentiated_on_small(case):
    """Of `SMALL.labels`, with the variables: built, and compiled, once."""
    loss = case.build()
    variables = case.variables(loss)
    return differentiated(lambda x: loss(SMALL.labels, x), variables), variables


def measure_small(case, embeddings, proxies=np.asarray):
    """Value and all gradients; `proxies` maps the arrays of all levels."""
    differentiate, variables = differentiated_on_small(case)
    for variable, values in zip(variables, case.proxies(), strict=True):
        variable.assign(proxies(as_float32(values)).reshape(variable.shape))
    value, by_embeddings, by_proxies = differentiate([as_float32(embeddings)])
    return value, by_embeddings + by_proxies


def assert_finite(measured):
    value, gradients = measured
    assert np.isfinite(value)
    for gradient in gradients:
        assert np.isfinite(gradient).all()


def with_rows(rows, value):
    embeddings = SMALL.embeddings.copy()
    embeddings[rows] = value
    return embeddings


EMBEDDINGS = {
    "a zero vector": with_rows(2, 0.0),
    "all zero": np.zeros_like(SMALL.embeddings),
    "a class of equal points": with_rows(
        OF_ONE_CLASS, SMALL.embeddings[OF_ONE_CLASS[0]]
    ),
    "all points equal": with_rows(slice(None), SMALL.embeddings[0]),
    "opposite points": SMALL.embeddings * np.sign(SMALL.embeddings[:, :1]),
    "norms of 1e15": 1e15 * SMALL.embeddings,
    "norms of 1e30": 1e30 * SMALL.embeddings,
    "norms of 1e-4": 1e-4 * SMALL.embeddings,
    "norms of 1e-30": 1e-30 * SMALL.embeddings,
    "equal to their proxies": SMALL.proxies()[SMALL.labels],
    "opposite to their proxies": -SMALL.proxies()[SMALL.labels],
}
PROXIES = {
    "all zero": np.zeros_like,
    "all equal": np.ones_like,
    "norms of 1e15": lambda proxies: 1e15 * proxies,
    "norms of 1e-30": lambda proxies: 1e-30 * proxies,
}


@pytest.mark.parametrize("embeddings", EMBEDDINGS)
@pytest.mark.parametrize("case", ALL, ids=str)
def test_embeddings(case, embeddings):
    assert_finite(measure_small(case, EMBEDDINGS[embeddings]))


@pytest.mark.parametrize("proxies", PROXIES)
@pytest.mark.parametrize("case", [c for c in ALL if not c.over_pairs], ids=str)
def test_proxies(case, proxies):
    assert_finite(measure_small(case, SMALL.embeddings, PROXIES[proxies]))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_scale_of_embeddings_and_proxies_does_not_matter(case):
    value, gradients = measure_small(case, SMALL.embeddings)
    scaled_value, scaled_gradients = measure_small(
        case, 1e3 * SMALL.embeddings, lambda p: 1e-2 * p
    )
    assert scaled_value == pytest.approx(value, rel=1e-5)
    for gradient, scaled, scale in zip(
        gradients, scaled_gradients, [1e3] + [1e-2] * (len(gradients) - 1), strict=True
    ):
        error = np.abs(scale * scaled - gradient).max()
        assert error <= 1e-4 * np.abs(gradient).max()


@pytest.mark.parametrize("case", ALL, ids=str)
def test_batch_of_one(case):
    measured = measure(case, SMALL.labels[1:2], SMALL.embeddings[1:2])
    assert_finite(measured)
    if case.over_pairs:
        assert measured[0] == 0.0


@pytest.mark.parametrize("case", ALL, ids=str)
def test_batch_of_one_class(case):
    labels = np.full_like(SMALL.labels, 3)
    value, gradients = measure(case, labels, SMALL.embeddings)
    assert_finite((value, gradients))
    expected = case.reference(labels, SMALL.embeddings, case.proxies())
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("case", [c for c in ALL if c.over_pairs], ids=str)
def test_batch_without_positive_pairs(case):
    labels = np.arange(len(SMALL.labels))
    value, gradients = measure(case, labels, SMALL.embeddings)
    assert_finite((value, gradients))
    expected = case.reference(labels, SMALL.embeddings, [])
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_weights_all_zero(case):
    weights = np.zeros(len(SMALL.labels))
    value, gradients = measure(case, SMALL.labels, SMALL.embeddings, weights)
    assert value == 0.0
    for gradient in gradients:
        assert not gradient.any()


@pytest.mark.parametrize("case", [c for c in ALL if not c.over_pairs], ids=str)
def test_one_class_in_all(case):
    batch = dataclasses.replace(
        SMALL,
        labels=np.zeros_like(SMALL.labels),
        centers=SMALL.centers[:1],
        coarse=[proxies[:1] for proxies in SMALL.coarse],
        taxonomy=SMALL.taxonomy[:1],
    )
    value, gradients = measure(case, batch.labels, batch.embeddings, batch=batch)
    assert_finite((value, gradients))
    proxies = case.proxies(batch)
    expected = case.reference(batch.labels, batch.embeddings, proxies, batch)
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-7)
