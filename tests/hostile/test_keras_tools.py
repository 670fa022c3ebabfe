"""Keras's own tools, as a user of Keras reaches for them."""

# ruff: noqa: E501, of a table with a line a case.

import copy
import pickle

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny
from tests.hostile.cases import refused, right

CALLBACKS = keras.callbacks
X, Y = tiny.INPUTS, tiny.LABELS


@pytest.fixture(scope="module")
def trained():
    """One for all, since JAX compiles each anew."""
    model = tiny.compiled_model(optimizer="sgd", layer=khp.layers.Proxies(4, name="p"))
    tiny.fit(model)
    return model


def evaluation():
    return khp.callbacks.RetrievalEvaluation((X, Y), k=1)


def stop():
    return CALLBACKS.EarlyStopping("val_recall@1", mode="max")


def logs(callbacks):
    return lambda model, _: sorted(tiny.fit(model, callbacks=callbacks()))


def fits(x=X, y=Y, **options):
    return lambda model, _: np.isfinite(tiny.fit(model, x, y, **options)["loss"]).all()


def reloaded(model, folder, **options):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras", **options)


def same(made):
    """Whether what is made of a model embeds as the model does."""
    return lambda model, folder: np.allclose(
        made(model, folder).embed(X, batch_size=8), model.embed(X, batch_size=8)
    )


def listed(*callbacks, **options):
    return CALLBACKS.CallbackList(list(callbacks), **options)


BOTH = ["loss", "val_recall@1"]
HALF = {0: 0.5, 1: 1.0, 2: 1.0, 3: 2.0}

# Actions take a trained model and a folder.
CASES = [
    right("one callback", logs(evaluation), BOTH),
    right("a tuple", logs(lambda: (stop(), evaluation())), BOTH),
    right("nested lists", logs(lambda: [[stop()], (evaluation(),)]), BOTH),
    right("a CallbackList", logs(lambda: listed(stop(), evaluation())), BOTH),
    right("nested ones", logs(lambda: [listed(listed(evaluation())), stop()]), BOTH),
    right("with history", logs(lambda: listed(evaluation(), add_history=True)), BOTH),
    right("an empty one", logs(CALLBACKS.CallbackList), ["loss"]),
    refused("a class", logs(lambda: [CALLBACKS.EarlyStopping]), "must be.*EarlyStop"),
    refused("a function", logs(lambda: [print]), "`callbacks` must be.*print"),
    refused("a name", logs(lambda: ["early_stopping"]), "`callbacks` must be"),
    refused("no evaluation", logs(lambda: listed(stop())), "RetrievalEvaluation"),
    right("ReduceLROnPlateau", logs(lambda: [CALLBACKS.ReduceLROnPlateau("loss"), evaluation()]), ["learning_rate", *BOTH]),
    right("LambdaCallback", logs(lambda: [CALLBACKS.LambdaCallback(), evaluation()]), BOTH),
    right("train_on_batch", lambda m, _: np.isfinite(m.train_on_batch(X[:8], Y[:8])), True),
    right("with class weights", lambda m, _: np.isfinite(m.train_on_batch(X[:8], Y[:8], class_weight=HALF)), True),
    right("test_on_batch", lambda m, _: np.isfinite(m.test_on_batch(X[:8], Y[:8])), True),
    right("predict_on_batch", lambda m, _: m.predict_on_batch(X[:8]).shape, (8, 8)),
    refused("one-hot batch", lambda m, _: m.train_on_batch(X[:8], np.eye(4)[Y[:8]]), "argmax"),
    refused("batch out of range", lambda m, _: m.train_on_batch(X[:8], Y[:8] + 1), "1 to 4"),
    refused("batch without labels", lambda m, _: m.test_on_batch(X[:8]), "needs labels"),
    right("fit in steps", fits(steps_per_epoch=2, epochs=2), True),
    right("validation_split", fits(validation_split=0.34), True),
    right("validation_data, a list", fits(validation_data=[X, Y]), True),
    right("validation_data, weighted", fits(validation_data=(X, Y, np.ones(24))), True),
    right("validation_freq", fits(validation_data=(X, Y), validation_freq=2, epochs=2), True),
    right("class_weight", fits(class_weight=HALF), True),
    right("initial_epoch", fits(initial_epoch=3, epochs=4), True),
    right("labels in a column", fits(y=Y[:, None]), True),
    right("labels as int64", fits(y=Y.astype("int64")), True),
    right("a generator", fits(x=((X[:8], Y[:8]) for _ in range(2)), y=None), True),
    right("copy", same(lambda m, _: copy.copy(m)), True),
    right("deepcopy", same(lambda m, _: copy.deepcopy(m)), True),
    right("pickle", same(lambda m, _: pickle.loads(pickle.dumps(m))), True),
    right("save", same(reloaded), True),
    right("uncompiled", same(lambda m, f: reloaded(m, f, compile=False)), True),
    right("custom_objects", same(lambda m, f: reloaded(m, f, custom_objects={"Own": int})), True),
    right("to_json", lambda m, _: type(keras.models.model_from_json(m.to_json())).__name__, "EmbeddingModel"),
    right("clone_model", lambda m, _: type(keras.models.clone_model(m).loss).__name__, "ProxyAnchorLoss"),
    right("weights", lambda m, _: m.set_weights(m.get_weights()), None),
    right("summary", lambda m, _: m.summary(print_fn=lambda *_, **__: None), None),
    right("a slice", lambda m, _: keras.Model(m.input, m.get_layer("dense").output)(X[:2]).shape, (2, 8)),
    right("in another model", lambda m, _: m(keras.Input((6,))).shape, (None, 8)),
    right("pickled loss", lambda m, _: pickle.loads(pickle.dumps(khp.losses.ProxyAnchorLoss(0.2))).margin, 0.2),
    right("copied layer", lambda m, _: copy.deepcopy(m.layers[-1]).num_classes, 4),
    right("geometry", lambda m, _: pickle.loads(pickle.dumps(khp.geometry.PoincareBall(0.2))), khp.geometry.PoincareBall(0.2)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_keras_tools(case, judge, trained, tmp_path):
    action = case.action
    judge("keras tools", type(case)(
        case.name, lambda: action(trained, tmp_path), case.message, case.expected
    ))  # fmt: skip
