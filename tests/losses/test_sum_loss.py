"""Sums of losses, and losses through serialization."""

import json

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.losses import (
    MultiSimilarityLoss,
    ProxyAnchorLoss,
    SumLoss,
    SupConLoss,
    TripletLoss,
)
from tests.gradients import assert_gradients_close, value_and_gradients
from tests.losses.cases import (
    ALL,
    FLAT,
    HIERARCHICAL,
    SMALL,
    Case,
    as_float32,
    to_number,
)

LABELS = SMALL.labels
X = as_float32(SMALL.embeddings)


def reload(loss):
    """Through JSON and back, as a saved model does."""
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    return keras.saving.deserialize_keras_object(config)


def value_of(loss):
    return to_number(loss(LABELS, X))


def test_adds_and_scales():
    a, b, c = TripletLoss(), SupConLoss(), MultiSimilarityLoss()
    total = 0.25 * (a + 2 * b) + c * 3
    assert [term.name for term in total.terms] == [
        "triplet_loss",
        "sup_con_loss",
        "multi_similarity_loss",
    ]
    assert total.weights == [0.25, 0.5, 3.0]
    expected = 0.25 * value_of(a) + 0.5 * value_of(b) + 3 * value_of(c)
    assert value_of(total) == pytest.approx(expected, rel=1e-6)


def test_the_operands_stay_as_they_were():
    a, b = TripletLoss(), SupConLoss()
    total = a + b
    2.0 * total, total + a
    assert total.terms == [a, b] and total.weights == [1.0, 1.0]


def test_gradient_is_the_sum_of_gradients():
    anchor = Case("ProxyAnchorLoss").build()
    variables = anchor.proxies.proxy_variables()

    def measure(loss):
        return value_and_gradients(lambda x: loss(LABELS, x), [X], variables)[1:]

    (x_total,), (p_total,) = measure(anchor + 0.5 * TripletLoss())
    (x_anchor,), (p_anchor,) = measure(anchor)
    (x_triplet,), _ = measure(TripletLoss())
    assert_gradients_close(x_total, x_anchor + 0.5 * x_triplet, 1e-5)
    assert_gradients_close(p_total, p_anchor, 1e-5)


def test_names_of_terms_survive():
    total = TripletLoss(name="near") + 0.5 * TripletLoss(margin=0.5, name="far")
    loaded = reload(total)
    assert [term.name for term in loaded.terms] == ["near", "far"]
    assert loaded.weights == [1.0, 0.5]
    assert loaded.terms[1].margin == 0.5
    assert value_of(loaded) == value_of(total)


@pytest.mark.parametrize(
    "other",
    [keras.losses.MeanSquaredError(), 1.0, None, "triplet"],
    ids=lambda other: type(other).__name__,
)
def test_adds_only_losses_of_the_package(other):
    with pytest.raises(ValueError, match="Only losses of keras_hierproxy"):
        TripletLoss() + other


@pytest.mark.parametrize("weight", ["0.5", None, True, TripletLoss()])
def test_scales_by_numbers_only(weight):
    with pytest.raises(ValueError, match="scaled by a number"):
        TripletLoss() * weight


@pytest.mark.parametrize(
    "weight", [2, 0.5, np.float32(0.5), np.int64(2), np.float64(3)]
)
def test_scales_by_any_number(weight):
    loss = SupConLoss() * weight
    assert value_of(loss) == pytest.approx(float(weight) * value_of(SupConLoss()))
    assert reload(loss).weights == [float(weight)]


@pytest.mark.parametrize(("terms", "weights"), [([], None), ([TripletLoss()], [1, 2])])
def test_wrong_sums(terms, weights):
    with pytest.raises(ValueError, match="as many weights as losses"):
        SumLoss(terms, weights)


@pytest.mark.parametrize("case", FLAT + HIERARCHICAL, ids=str)
def test_losses_survive_serialization(case):
    loss = case.build()
    loaded = reload(loss)
    assert type(loaded) is type(loss) and loaded.name == loss.name
    if not case.over_pairs:
        # Layers belong to the model, which binds the loaded loss to its own.
        loaded.proxies = loss.proxies
    assert value_of(loaded) == value_of(loss)


def test_a_nested_sum_survives_serialization():
    layer = Case("HierProxyLoss", base="proxy_nca").build().proxies
    hier = khp.losses.HierProxyLoss("proxy_nca", [1.0, 0.1, 0.2], proxies=layer)
    loss = 0.3 * (ProxyAnchorLoss(alpha=16.0, proxies=layer) + 2 * hier) + TripletLoss()
    loaded = reload(loss)
    for term in loaded.terms[:2]:
        term.proxies = layer
    assert value_of(loaded) == value_of(loss)


def test_every_public_loss_is_under_test():
    public = {
        name
        for name, item in vars(khp.losses).items()
        if isinstance(item, type) and issubclass(item, khp.losses.EmbeddingLoss)
    }
    # HIER has tests of its own: what it draws is random.
    apart = {"EmbeddingLoss", "BoundLoss", "ProxyLoss", "SumLoss", "HIERLoss"}
    assert public - apart == {case.loss for case in ALL}
