"""Retrieval metrics in the logs of a run."""

import time

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.callbacks import RetrievalEvaluation
from keras_hierproxy.datasets import RetrievalDataset
from tests import tiny

LEVELS = np.stack([tiny.LABELS, tiny.LABELS // 2], axis=1)
DATA = (tiny.INPUTS, tiny.LABELS)


@pytest.fixture(scope="module")
def model():
    return tiny.compiled_model(optimizer="sgd")


def logged(callback, model, epochs=1, **options):
    return tiny.fit(
        model, callbacks=[callback], epochs=epochs, batch_size=24, **options
    )


@pytest.mark.parametrize("labels", [tiny.LABELS, LEVELS])
def test_it_logs_what_evaluate_returns(model, labels):
    metrics = ("recall", "r_precision", "map@r", "precision@1")
    settings = {"k": (1, 3), "metrics": metrics}
    evaluation = RetrievalEvaluation((tiny.INPUTS, labels), **settings)
    history = logged(evaluation, model)
    expected = khp.retrieval.evaluate(model.embed(tiny.INPUTS), labels, **settings)
    expected = {
        f"val_{name}": [value] for name, value in expected.items() if "num_" not in name
    }
    assert {name: history[name] for name in expected} == expected
    assert set(history) - set(expected) == {"loss"}
    assert set(evaluation.names) == set(expected)
    assert ("val_level1_recall@1" in history) == (labels.ndim == 2)


def test_a_data_set_and_a_prefix():
    images = tiny.INPUTS.reshape(24, 1, 6, 1)
    inputs = keras.Input((1, 6, 1))
    x = keras.layers.Dense(4)(keras.layers.Flatten()(inputs))
    model = khp.models.EmbeddingModel(inputs, khp.layers.Proxies(4)(x))
    model.compile("sgd", loss=khp.losses.SupConLoss(), run_eagerly=tiny.EAGERLY)
    data = RetrievalDataset(images, LEVELS)
    evaluations = [
        RetrievalEvaluation(data, k=1),
        RetrievalEvaluation(data.subset(np.arange(12)), k=2, prefix="half_"),
    ]
    history = tiny.fit(model, images, callbacks=evaluations, batch_size=24)
    for rows, k, name in [(24, 1, "val_recall@1"), (12, 2, "half_recall@2")]:
        points = model.embed(images[:rows])
        results = khp.retrieval.evaluate(points, LEVELS[:rows], k=k)
        assert history[name] == [results[f"recall@{k}"]]


def test_numbers_are_repeated_between_evaluations(model):
    evaluation = RetrievalEvaluation(DATA, k=1, every=2)
    epochs = []
    compute = evaluation.compute
    evaluation.compute = lambda: (
        epochs.append(len(epochs))
        or {
            **compute(),
            "val_recall@1": float(len(epochs)),
        }
    )
    # At the end of the first epoch of a run, and then of every second.
    assert logged(evaluation, model, 5)["val_recall@1"] == [1.0, 2.0, 2.0, 3.0, 3.0]
    epochs.clear()
    history = logged(evaluation, model, 5, initial_epoch=2)
    assert history["val_recall@1"] == [1.0, 2.0, 2.0]


def test_it_sees_the_weights_of_its_epoch(model):
    seen = []

    class Watch(RetrievalEvaluation):
        def _embed(self):
            seen.append(super()._embed())
            return seen[-1]

    model.optimizer.learning_rate = 0.1
    logged(Watch(DATA, k=1), model, 2)
    assert (seen[0] != seen[1]).any()
    np.testing.assert_array_equal(seen[1], model.embed(tiny.INPUTS))


@pytest.mark.parametrize("several_inputs", [False, True])
def test_a_plain_model(several_inputs):
    first, second = keras.Input((6,)), keras.Input((6,))
    merged = keras.layers.Add()([first, second]) if several_inputs else first
    layer = khp.layers.Proxies(4)
    outputs = layer(keras.layers.Dense(8)(merged))
    model = keras.Model([first, second] if several_inputs else first, outputs)
    loss = khp.losses.ProxyAnchorLoss(proxies=layer)
    model.compile("sgd", loss=loss, run_eagerly=tiny.EAGERLY)
    x = [tiny.INPUTS, tiny.INPUTS] if several_inputs else tiny.INPUTS
    history = tiny.fit(model, x, callbacks=[RetrievalEvaluation((x, tiny.LABELS), k=2)])
    points = model.predict(x, verbose=0)
    expected = khp.retrieval.evaluate(points, tiny.LABELS, k=2)["recall@2"]
    assert history["val_recall@2"] == [expected]


# Errors


def test_embeddings_that_are_not_finite(model):
    broken = tiny.embedding_model()
    broken.compile("sgd", loss=khp.losses.ProxyAnchorLoss(), run_eagerly=tiny.EAGERLY)
    kernel = broken.get_layer("dense").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(ValueError, match="(?i)nan"):
        logged(RetrievalEvaluation(DATA), broken)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"data": DATA, "k": 24}, "k=24 is larger than the gallery.*23"),
        ({"data": DATA, "k": (1, 0)}, "`k` must be a positive int"),
        ({"data": DATA, "metrics": ["accuracy"]}, "'recall'.*'accuracy'"),
        ({"data": DATA, "every": 0}, "`every` must be a positive int"),
        ({"data": (tiny.INPUTS, tiny.LABELS * 0.5)}, "must be integer class ids"),
        ({"data": (tiny.INPUTS, np.eye(4)[tiny.LABELS])}, "must be integer class ids"),
        ({"data": (tiny.INPUTS, tiny.LABELS[:-1])}, "23 rows of labels and 24 inputs"),
        ({"data": tiny.INPUTS}, "RetrievalDataset` or a tuple"),
    ],
)
def test_bad_arguments_are_seen_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        RetrievalEvaluation(**arguments)


def test_the_constructor_is_fast():
    fine = np.arange(20_000) // 5
    labels = np.stack([fine, fine // 10, fine // 100, fine // 2000], axis=1)
    start = time.perf_counter()
    metrics = ("recall", "r_precision", "map@r")
    evaluation = RetrievalEvaluation((np.zeros((20_000, 1)), labels), metrics=metrics)
    # Evaluating 20,000 stand-ins took 40 s.
    assert time.perf_counter() - start < 2
    assert len(evaluation.names) == 4 * 6


def test_queries_retrieve_from_their_gallery(model):
    is_query = np.arange(24) % 3 == 0
    data = RetrievalDataset(tiny.INPUTS, LEVELS, is_query=is_query)
    # A gallery of 16: no K beyond it.
    with pytest.raises(ValueError, match="k=17 is larger than the gallery"):
        RetrievalEvaluation(data, k=17)
    history = logged(RetrievalEvaluation(data, k=16), model)
    expected = khp.retrieval.evaluate(
        **data.retrieval_arguments(model.embed(tiny.INPUTS)), k=16
    )
    assert history["val_recall@16"] == [expected["recall@16"]]
