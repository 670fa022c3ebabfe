"""`tf.data`, data loaders and generators, of any length, before any preprocessor."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from torch.utils.data import DataLoader, Dataset, IterableDataset

import keras_hierproxy as khp
from tests import tiny

X = np.random.default_rng(0).integers(0, 256, (24, 20, 20, 1)).astype("uint8")
Y = tiny.LABELS


@keras.saving.register_keras_serializable(package="tests")
class Halved(keras.layers.Layer):
    """Made of `keras.ops`."""

    def call(self, images):
        images = keras.ops.cast(images[:, :8, :8], "float32")
        return keras.ops.where(images > 127.0, images / 2.0, images)


PREPROCESSORS = {
    "layer of ours": khp.layers.FitToInk(8),
    "layer of the user's": Halved(),
    "pipeline": keras.Sequential([Halved(), keras.layers.Rescaling(1 / 255)]),
    "function of keras.ops": lambda x: keras.ops.cast(x[:, :8, :8], "float32") / 255.0,
    "function of NumPy": lambda x: np.asarray(x)[:, :8, :8] / np.float32(255),
}


@pytest.fixture(scope="module")
def model():
    """One for all, since JAX compiles each anew."""
    inputs = keras.Input((8, 8, 1))
    backbone = keras.Model(inputs, keras.layers.Conv2D(4, 3, 4)(inputs))
    model = khp.models.ImageEmbedder(backbone, num_classes=4, embedding_dim=8)
    loss = khp.losses.ProxyAnchorLoss()
    model.compile("sgd", loss=loss, run_eagerly=tiny.EAGERLY)
    return model


@pytest.fixture
def embedder(model):
    """A function of a preprocessor's name."""

    def embedder(name="layer of ours"):
        model.preprocessor = PREPROCESSORS[name]
        return model

    return embedder


def steps(model):
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def pipeline(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays or (X, Y)).batch(8)


def of_unknown_length():
    return pipeline().filter(lambda x, y: True)


class Pairs(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return X[index], Y[index], np.float32(1)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


def generator():
    return ((X[i : i + 8], Y[i : i + 8]) for i in (0, 8, 16))


@pytest.mark.parametrize("name", PREPROCESSORS)
def test_any_preprocessor_before_tf_data(embedder, name):
    model = embedder(name)
    history = tiny.fit(model, pipeline(), None, epochs=2, validation_data=pipeline())
    assert np.isfinite(history["loss"] + history["val_loss"]).all()
    expected = model.embed(X, batch_size=8)
    np.testing.assert_allclose(model.embed(pipeline()), expected, atol=1e-5)
    actual = model.predict(pipeline(X), verbose=0)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    expected = model.evaluate(X, Y, 8, verbose=0)
    assert model.evaluate(pipeline(), verbose=0) == pytest.approx(expected, rel=1e-5)


KINDS = {
    "known": pipeline,
    "unknown": of_unknown_length,
    "weighted": lambda: pipeline(X, Y, np.ones(24, "float32")),
    "loader": lambda: DataLoader(Pairs(), batch_size=8),
    "loader of a stream": lambda: DataLoader(Stream(), batch_size=8),
    "generator": generator,
}


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("kind", KINDS)
def test_data_of_any_length(embedder, kind):
    model, make = embedder(), KINDS[kind]
    epochs, before = 1 if kind == "generator" else 3, steps(model)
    history = tiny.fit(model, make(), None, epochs=epochs, validation_data=make())
    assert len(history["val_loss"]) == epochs
    assert steps(model) - before == 3 * epochs
    expected = model.evaluate(X, Y, 8, verbose=0)
    assert model.evaluate(make(), verbose=0) == pytest.approx(expected, rel=1e-5)
    expected = model.embed(X, batch_size=8)
    np.testing.assert_allclose(model.embed(make()), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["layer of ours", "function of NumPy"])
def test_data_without_end(embedder, name):
    model, data = embedder(name), pipeline().repeat()
    before = steps(model)
    options = {"validation_data": data, "validation_steps": 2, "steps_per_epoch": 4}
    history = tiny.fit(model, data, None, epochs=2, **options)
    assert len(history["val_loss"]) == 2
    assert steps(model) - before == 8


def test_class_weights_of_pipelines(embedder):
    model, weights = embedder("function of NumPy"), {0: 2.0, 1: 0.5, 2: 1.0, 3: 1.0}
    each = np.array([weights[label] for label in Y], "float32")
    expected = model.evaluate(X, Y, 8, sample_weight=each, verbose=0)
    rate, model.optimizer.learning_rate = model.optimizer.learning_rate, 0.0
    history = tiny.fit(model, pipeline(), None, class_weight=weights)
    model.optimizer.learning_rate = rate
    assert history["loss"] == pytest.approx([expected], rel=1e-4)
    with pytest.raises(ValueError, match="known number of batches"):
        tiny.fit(model, of_unknown_length(), None, class_weight=weights)


def test_labels_are_seen_where_the_graph_is_left(embedder):
    model = embedder("function of NumPy")
    with pytest.raises(ValueError, match="from 1 to 4"):
        tiny.fit(model, pipeline(X, Y + 1), None)


def test_an_error_of_the_preprocessor_is_the_users(embedder):
    def broken(images):
        raise KeyError("no such image")

    model = embedder()
    model.preprocessor = broken
    for data in (pipeline(), of_unknown_length()):
        with pytest.raises(KeyError, match="no such image"):
            tiny.fit(model, data, None)
