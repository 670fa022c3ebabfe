"""Weights are checked on the host; a batch without pairs is told of."""

import warnings

import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny

BAD = [-1.0, np.nan, np.inf]


def weights(value):
    return np.r_[np.ones(23), value].astype("float32")


@pytest.mark.parametrize("value", BAD)
def test_weights_that_are_no_multiplicities(value):
    model = tiny.compiled_model()
    given = weights(value)
    with pytest.raises(ValueError, match=f"`sample_weight` .* {value} of sample 23"):
        tiny.fit(model, sample_weight=given)
    with pytest.raises(ValueError, match="`sample_weight`"):
        model.evaluate(tiny.INPUTS, tiny.LABELS, sample_weight=given, verbose=0)
    with pytest.raises(ValueError, match="`sample_weight`"):
        tiny.fit(model, validation_data=(tiny.INPUTS, tiny.LABELS, given))
    batches = tiny.Batches(tiny.INPUTS, tiny.LABELS, given)
    with pytest.raises(ValueError, match="of sample 7"):
        model.fit(batches, verbose=0)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        (
            {9: 1.0},
            "at least 0 and of at most 3. Received: 9",
        ),
        ({-1: 1.0}, "key of class_weight` must be .* Received: -1"),
        ({"a": 1.0}, "key of class_weight` must be .* Received: 'a'"),
        ({True: 1.0}, "key of class_weight` must be .* Received: True"),
        ({1.0: 1.0}, "key of class_weight` must be .* Received: 1.0"),
        *(({1: value}, r"class_weight\[1\]") for value in BAD),
        ({1: "1"}, r"class_weight\[1\]"),
        ([1.0, 1.0, 1.0, 1.0], "must be a dict"),
    ],
)
def test_class_weights_that_are_none(class_weight, message):
    with pytest.raises(ValueError, match=message):
        tiny.fit(tiny.compiled_model(), class_weight=class_weight)


def test_class_weights_that_are_right():
    history = tiny.fit(
        tiny.compiled_model(), class_weight={0: 2.0, 3: 0, np.int8(1): 1}
    )
    assert np.isfinite(history["loss"]).all()


def told(loss, labels, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tiny.fit(tiny.compiled_model(loss), y=labels, **options)
    return [str(w.message) for w in caught if "no two of one class" in str(w.message)]


def test_batches_without_pairs_are_told_of_once():
    ones = np.arange(4).repeat(6)[np.argsort(np.arange(24) % 6, kind="stable")]
    options = {"shuffle": False, "batch_size": 4, "epochs": 2}
    (message,) = told(khp.losses.TripletLoss(), ones, **options)
    assert "triplet_loss" in message and "images_per_class=4" in message
    both = khp.losses.ProxyAnchorLoss() + khp.losses.SupConLoss()
    assert len(told(both, ones, **options)) == 1
    assert not told(khp.losses.ProxyAnchorLoss(), ones, **options)
    assert not told(khp.losses.TripletLoss(), np.sort(ones), **options)


def test_single_batches_are_checked_too():
    model = tiny.compiled_model()
    x, y = tiny.INPUTS[:8], tiny.LABELS[:8]
    bad = np.r_[np.ones(7), np.nan].astype("float32")
    for call in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="`sample_weight`"):
            call(x, y, bad)
        with pytest.raises(ValueError, match="`sample_weight`"):
            call(x, y, sample_weight=-np.ones(8))
    with pytest.raises(ValueError, match="Received: 9"):
        model.train_on_batch(x, y, class_weight={9: 1.0})
    assert np.isfinite(model.train_on_batch(x, y, np.ones(8), return_dict=True)["loss"])


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.5, np.nan, "2"])
def test_batch_sizes_that_are_none(batch_size):
    model = tiny.compiled_model()
    for call in (
        lambda: tiny.fit(model, batch_size=batch_size),
        lambda: model.evaluate(tiny.INPUTS, tiny.LABELS, batch_size, verbose=0),
        lambda: model.predict(tiny.INPUTS, batch_size),
        lambda: model.embed(tiny.INPUTS, batch_size),
    ):
        with pytest.raises(ValueError, match="`batch_size` must be a positive int"):
            call()


@pytest.mark.parametrize("epochs", [0, -1, True, 1.5, "2", np.inf])
def test_epochs_that_are_none(epochs):
    with pytest.raises(ValueError, match="`epochs` must be a positive int"):
        tiny.fit(tiny.compiled_model(), epochs=epochs)
