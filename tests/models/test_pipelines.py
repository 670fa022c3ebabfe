"""`tf.data`, data loaders and generators, of any length, before any preprocessor."""

import keras
import numpy as np
import pytest

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


# Other frameworks are imported where they are used: all processes collect this file.
def pipeline(*arrays):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays or (X, Y)).batch(8)


def of_unknown_length():
    return pipeline().filter(lambda x, y: True)


class Pairs:
    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return X[index], Y[index], np.float32(1)


def stream():
    from torch.utils.data import IterableDataset

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(zip(X, Y, strict=True))

    return Stream()


def loader(data):
    from torch.utils.data import DataLoader

    return DataLoader(data, batch_size=8)


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
    "loader": lambda: loader(Pairs()),
    "loader of a stream": lambda: loader(stream()),
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
    weighted = pipeline(X, Y, each).filter(lambda x, y, weight: True)
    with pytest.raises(ValueError, match="without `sample_weight`"):
        tiny.fit(model, weighted, None, class_weight=weights)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_class_weights_of_batches_until_the_end(embedder):
    weights, expected = {0: 2.0, 1: 0.5, 3: 0.0}, []
    for data in (pipeline(), of_unknown_length()):
        model = embedder("function of NumPy")
        before = model.get_weights()
        expected.append(tiny.fit(model, data, None, class_weight=weights)["loss"])
        model.set_weights(before)
    assert expected[1] == pytest.approx(expected[0], rel=1e-5)


def test_labels_are_seen_where_the_graph_is_left(embedder):
    model = embedder("function of NumPy")
    with pytest.raises(ValueError, match="from 1 to 4"):
        tiny.fit(model, pipeline(X, Y + 1), None)


SMALL = tiny.INPUTS, tiny.LABELS
UNSEEN = {
    "wrong labels": (tiny.LABELS + 1, "labels are not all from 0 to 3"),
    "many classes": (tiny.LABELS, "more classes .* num_sampled=3"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_labels_of_tf_data_are_checked_or_told_of(name):
    labels, cause = UNSEEN[name]
    layer = khp.layers.SampledProxies(4, 3, seed=0)
    model = tiny.compiled_model(khp.losses.NormalizedSoftmaxLoss(), layer)
    data = pipeline(tiny.INPUTS, labels)
    if keras.backend.backend() == "tensorflow":
        with pytest.warns(UserWarning, match=f"by batch 1 of epoch 1.*{cause}") as told:
            history = tiny.fit(model, data, None, epochs=2, validation_data=data)
        assert np.isnan(history["loss"]).all()
        assert sum("not checked on TensorFlow" in str(w.message) for w in told) == 1
        with pytest.warns(UserWarning, match=f"of the evaluation.*{cause}"):
            assert np.isnan(model.evaluate(data, verbose=0))
        return
    expected = "Received labels from 1 to 4" if "wrong" in name else "of 4 classes"
    for act in (model.evaluate, model.fit):
        with pytest.raises(ValueError, match=expected):
            act(data, verbose=0)


def test_labels_of_grain_are_checked():
    grain = pytest.importorskip("grain")
    source = grain.MapDataset.source(np.arange(24))

    def batches(labels):
        return source.map(lambda i: (tiny.INPUTS[i], labels[i])).batch(8)

    model = tiny.compiled_model(optimizer="sgd")
    expected = model.evaluate(*SMALL, 8, verbose=0)
    good, bad = batches(tiny.LABELS), batches(tiny.LABELS + 1)
    for kind in (lambda data: data, lambda data: data.to_iter_dataset()):
        actual = model.evaluate(kind(good), verbose=0)
        assert actual == pytest.approx(expected, rel=1e-5)
        with pytest.raises(ValueError, match="Received labels from 1 to 4"):
            tiny.fit(model, kind(bad), None)


def test_a_loss_that_is_not_finite_is_told_of(recwarn):
    model = tiny.compiled_model(optimizer="sgd")
    tiny.fit(model, validation_data=SMALL)
    assert not any("The loss is" in str(each.message) for each in recwarn)
    inputs = np.where(np.arange(24)[:, None] == 9, np.nan, tiny.INPUTS)
    with pytest.warns(UserWarning, match="is nan, by batch 2 of epoch 1: the learning"):
        tiny.fit(model, inputs, shuffle=False)


def test_an_error_of_the_preprocessor_is_the_users(embedder):
    def broken(images):
        raise KeyError("no such image")

    model = embedder()
    model.preprocessor = broken
    for data in (pipeline(), of_unknown_length()):
        with pytest.raises(KeyError, match="no such image"):
            tiny.fit(model, data, None)
