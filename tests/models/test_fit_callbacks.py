"""Callbacks of Keras beside ours: what they see, and what is refused in time."""

import csv

import keras
import numpy as np
import pytest
from keras.callbacks import CSVLogger, EarlyStopping, LambdaCallback, ModelCheckpoint

import keras_hierproxy as khp
from keras_hierproxy.callbacks import RetrievalEvaluation
from tests import tiny

DATA = (tiny.INPUTS, tiny.LABELS)


def evaluation():
    return RetrievalEvaluation(DATA, k=(1, 2))


def checkpoint(**options):
    settings = {"filepath": "unused.keras", "save_best_only": True}
    return ModelCheckpoint(**settings | options)


@pytest.fixture(scope="module")
def model():
    return tiny.compiled_model(optimizer="sgd")


def steps(model):
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


@pytest.mark.parametrize("kind", [EarlyStopping, checkpoint])
@pytest.mark.parametrize("mode", ["auto", "min"])
def test_more_recall_is_better(model, kind, mode):
    callback = kind(monitor="val_recall@1", mode=mode)
    before = steps(model)
    with pytest.raises(ValueError, match=f'(?s)mode="max".*Received: mode={mode!r}'):
        tiny.fit(model, callbacks=[evaluation(), callback])
    assert steps(model) == before


def test_less_of_a_term_is_better():
    loss = khp.losses.ProxyAnchorLoss() + khp.losses.SupConLoss()
    model = tiny.compiled_model(loss)
    with pytest.raises(ValueError, match='the smallest.*mode="min"'):
        tiny.fit(model, callbacks=[EarlyStopping("sup_con_loss")])
    tiny.fit(model, callbacks=[EarlyStopping("sup_con_loss", mode="min")])


@pytest.mark.parametrize("kind", [EarlyStopping, checkpoint])
@pytest.mark.parametrize(
    "monitor", ["val_recall@3", "recall@1", "val_accuracy", "val_loss"]
)
def test_a_monitor_that_nothing_logs(model, kind, monitor):
    before = steps(model)
    callbacks = [kind(monitor=monitor, mode="max"), evaluation()]
    with pytest.raises(ValueError, match=f"'{monitor}'.*log: loss, val_recall@1, val"):
        tiny.fit(model, callbacks=callbacks)
    assert steps(model) == before


def test_the_error_names_terms_and_validation():
    model = tiny.compiled_model(khp.losses.SupConLoss() * 2.0)
    with pytest.raises(ValueError, match="log: loss, sup_con_loss, val_loss, val_sup"):
        tiny.fit(model, callbacks=[EarlyStopping("nothing")], validation_data=DATA)


class Silent(keras.callbacks.Callback):
    pass


@pytest.mark.filterwarnings("ignore:Early stopping conditioned on metric")
@pytest.mark.parametrize(
    "unknown",
    [Silent(), LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mine=1.0))],
)
def test_callbacks_of_the_users_own_may_log_anything(model, unknown):
    tiny.fit(model, callbacks=[unknown, EarlyStopping("mine", mode="max")])


def test_compiled_metrics_may_be_monitored():
    metric = keras.metrics.MeanMetricWrapper(
        lambda y, points: points[:, 0], name="first"
    )
    model = tiny.compiled_model(metrics=[metric])
    stop = EarlyStopping("first", mode="max")
    assert "first" in tiny.fit(model, callbacks=[stop])


@pytest.mark.parametrize("first", [True, False])
def test_readers_see_the_numbers_of_their_epoch(model, first, tmp_path, monkeypatch):
    results = iter([0.5, 0.9, 0.7, 0.6, 0.8])
    monkeypatch.setattr(
        RetrievalEvaluation,
        "compute",
        lambda self: dict.fromkeys(self.names, next(results)),
    )
    best = {"monitor": "val_recall@1", "mode": "max"}
    stop = EarlyStopping(**best, patience=2)
    keep = checkpoint(filepath=tmp_path / "{epoch}.keras", **best)
    readers = [stop, CSVLogger(tmp_path / "history.csv"), keep]
    callbacks = [evaluation(), *readers] if first else [*readers, evaluation()]
    history = tiny.fit(model, callbacks=callbacks, epochs=5, batch_size=24)
    assert history["val_recall@1"] == [0.5, 0.9, 0.7, 0.6]
    assert stop.best == 0.9
    with open(tmp_path / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_recall@1"]) for row in rows] == [0.5, 0.9, 0.7, 0.6]
    assert sorted(path.name for path in tmp_path.glob("*.keras")) == [
        "1.keras",
        "2.keras",
    ]


def test_the_best_model_is_kept_whole(tmp_path):
    path = tmp_path / "best.keras"
    model = tiny.compiled_model(khp.losses.HierProxyLoss())
    best = ModelCheckpoint(path, "val_recall@1", mode="max", save_best_only=True)
    history = tiny.fit(model, callbacks=[best, evaluation()], epochs=3)
    points = keras.models.load_model(path).embed(tiny.INPUTS)
    results = khp.retrieval.evaluate(points, tiny.LABELS, k=1)
    assert results["recall@1"] == max(history["val_recall@1"])


def test_the_callers_list_is_left_alone(model):
    callbacks = [CSVLogger("never written"), evaluation()]
    kept = list(callbacks)
    with pytest.raises(ValueError, match="labels"):
        tiny.fit(model, y=None, callbacks=callbacks)
    assert callbacks == kept


# Orthogonality


def test_the_excess_over_the_floor_is_logged():
    penalty = khp.regularizers.SoftOrthogonality(0.1)
    layer = khp.layers.HierProxies(4, level_sizes=(2,), regularizer=penalty)
    model = tiny.compiled_model(layer=layer)
    seen = []
    later = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    history = tiny.fit(model, callbacks=[later], epochs=2)
    excess = penalty.excess(keras.ops.convert_to_tensor(layer.proxies))
    expected = float(keras.ops.convert_to_numpy(excess))
    assert history["orthogonality_excess"][-1] == pytest.approx(expected, rel=1e-5)
    assert [logs["orthogonality_excess"] for logs in seen] == history[
        "orthogonality_excess"
    ]
    with pytest.raises(ValueError, match='mode="min"'):
        tiny.fit(model, callbacks=[EarlyStopping("orthogonality_excess")])


def test_the_excess_of_each_layer():
    penalty = khp.regularizers.SoftOrthogonality(0.1)
    a, b = (khp.layers.Proxies(4, regularizer=penalty, name=name) for name in "ab")
    inputs = keras.Input((6,))
    model = khp.models.EmbeddingModel(inputs, a(b(keras.layers.Dense(8)(inputs))))
    loss = khp.losses.ProxyNCALoss(proxies=a) + khp.losses.ProxyNCALoss(proxies=b)
    model.compile("sgd", loss=loss, run_eagerly=tiny.EAGERLY)
    history = tiny.fit(model)
    for layer in (a, b):
        excess = penalty.excess(keras.ops.convert_to_tensor(layer.proxies))
        np.testing.assert_allclose(
            history[f"orthogonality_excess_{layer.name}"],
            keras.ops.convert_to_numpy(excess),
            rtol=1e-5,
        )


def test_no_excess_without_the_regularizer(model):
    assert set(tiny.fit(model)) == {"loss"}
