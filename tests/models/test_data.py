"""What `fit`, `evaluate`, `predict` and `embed` take, in which order, and refuse."""

import keras
import numpy as np
import pytest
from PIL import Image

import keras_hierproxy as khp
from keras_hierproxy.datasets import ImageFiles, RetrievalDataset
from tests import tiny

BACKEND = keras.backend.backend()


class MeanSquare(khp.losses.EmbeddingLoss):
    """A loss that compiles at once."""

    def __init__(self, name="mean_square"):
        super().__init__(name)

    def call(self, labels, embeddings, weights):
        return keras.ops.mean(keras.ops.square(embeddings))


class Recorder(khp.models.EmbeddingModel):
    """Records the labels of the batches that it trains on."""

    def train_step(self, *args):
        labels = keras.ops.convert_to_numpy(args[-1][1])
        self.trained_on.append(labels.ravel().tolist())
        return super().train_step(*args)


def recorder():
    # 24 samples of 24 classes: labels tell which samples a batch holds.
    inputs = keras.Input((6,))
    model = Recorder(inputs, khp.layers.Proxies(24)(keras.layers.Dense(2)(inputs)))
    model.trained_on = []
    model.compile("sgd", loss=MeanSquare(), run_eagerly=True)
    return model


def batches_seen(x, y=None, **options):
    model = recorder()
    tiny.fit(model, x, y, **options)
    return model.trained_on


def dataset(labels=tiny.LABELS):
    return RetrievalDataset(tiny.INPUTS.reshape(24, 1, 6, 1), labels)


def image_model(loss=None):
    """A model of the images of `dataset`."""
    inputs = keras.Input((1, 6, 1))
    x = keras.layers.Dense(8)(keras.layers.Flatten()(inputs))
    model = khp.models.EmbeddingModel(inputs, khp.layers.Proxies(tiny.NUM_CLASSES)(x))
    loss = loss or khp.losses.ProxyAnchorLoss()
    model.compile("sgd", loss=loss, run_eagerly=tiny.EAGERLY)
    return model


def steps(model):
    """How many steps a model was trained for."""
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


@pytest.fixture(scope="module")
def model():
    return tiny.compiled_model(optimizer="sgd")


# Labels

BAD_LABELS = {
    "out of range": (tiny.LABELS + 1, "0 to 3.*Received labels from 1 to 4"),
    "negative": (tiny.LABELS - 1, "Received labels from -1 to 2"),
    "float": (tiny.LABELS.astype("float32"), "integer class ids.*float32"),
    "one-hot": (np.eye(4)[tiny.LABELS], r"float64.*y.argmax\(-1\)"),
    "one-hot integers": (np.eye(4, dtype=int)[tiny.LABELS], r"\(24, 4\).*argmax"),
    "two levels": (np.stack([tiny.LABELS, tiny.LABELS // 2], 1), r"y\[:, 0\]"),
    "strings": (np.array(["cat", "dog"] * 12), "integer class ids"),
    "missing": (None, "needs labels"),
}
bad_labels = pytest.mark.parametrize(
    "labels, message", BAD_LABELS.values(), ids=BAD_LABELS.keys()
)


@bad_labels
def test_bad_labels_of_arrays(model, labels, message):
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=message):
            method(tiny.INPUTS, labels, verbose=0)
    assert steps(model) == 0


@pytest.mark.parametrize("length", [23, 25])
def test_labels_of_another_length(model, length):
    labels = np.resize(tiny.LABELS, length)
    with pytest.raises(ValueError, match=rf"\({len(tiny.INPUTS)}, {length}, None\)"):
        tiny.fit(model, tiny.INPUTS, labels)
    with pytest.raises(ValueError, match="rows"):
        tiny.fit(model, sample_weight=np.ones(length))


def test_no_data(model):
    with pytest.raises(ValueError, match="the arrays are empty"):
        tiny.fit(model, tiny.INPUTS[:0], tiny.LABELS[:0])


@bad_labels
def test_bad_labels_in_a_later_batch(labels, message):
    if labels is None:
        arrays = (tiny.INPUTS,)
    else:
        labels = np.asarray(labels)
        good = labels if labels.ndim == 2 or labels.dtype.kind in "fU" else tiny.LABELS
        arrays = (tiny.INPUTS, np.concatenate([good[:16], labels[16:]]))
    model = tiny.compiled_model(optimizer="sgd")
    with pytest.raises(ValueError, match=message.split(".*")[-1].split("from")[0]):
        tiny.fit(model, tiny.Batches(*arrays), None, shuffle=False)


def test_bad_labels_of_a_generator():
    labels = tiny.LABELS.copy()
    labels[-1] = 9
    batches = tiny.Batches(tiny.INPUTS, labels)
    model = tiny.compiled_model(optimizer="sgd")
    with pytest.raises(ValueError, match="Received labels from 0 to 9"):
        tiny.fit(model, (batches[i] for i in range(3)), None)


def test_bad_labels_of_our_data_sets_are_seen_before_training():
    labels = tiny.LABELS.copy()
    labels[-1] = 4
    model = image_model()
    batches = dataset(labels).batches(8)
    with pytest.raises(ValueError, match="Received labels from 0 to 4"):
        tiny.fit(model, batches, None)
    assert steps(model) == 0


def test_losses_over_pairs_take_any_ids():
    model = tiny.compiled_model(khp.losses.SupConLoss(), optimizer="sgd")
    tiny.fit(model, y=tiny.LABELS * 1000)
    with pytest.raises(ValueError, match="integer class ids"):
        tiny.fit(model, y=tiny.LABELS * 0.5)


@pytest.mark.parametrize("labels", [tiny.LABELS.tolist(), tiny.LABELS[:, None]])
def test_labels_as_a_list_or_a_column(model, labels):
    expected = model.evaluate(tiny.INPUTS, tiny.LABELS, verbose=0)
    assert model.evaluate(tiny.INPUTS, labels, verbose=0) == expected


def test_validation_data_with_classes_that_have_no_proxies(model):
    unknown = tiny.LABELS + 4
    with pytest.raises(ValueError, match="RetrievalEvaluation` instead"):
        tiny.fit(model, validation_data=(tiny.INPUTS, unknown))
    # Classes of a data set have ids from 0, and may happen to be fewer.
    images, batches = image_model(), dataset(np.arange(24) // 4).batches(8)
    with pytest.raises(ValueError, match="RetrievalEvaluation` instead"):
        tiny.fit(images, dataset().batches(8), None, validation_data=batches)


def test_a_data_set_that_is_not_in_batches(model):
    with pytest.raises(ValueError, match=r"data.batches\(batch_size\)"):
        tiny.fit(model, dataset(), None)


def test_labels_beside_a_dataset(model):
    with pytest.raises(ValueError, match="a dataset yields its own"):
        tiny.fit(model, tiny.Batches(tiny.INPUTS, tiny.LABELS), tiny.LABELS)


def test_lists_as_inputs(model):
    with pytest.raises(ValueError, match="np.asarray"):
        tiny.fit(model, tiny.INPUTS.tolist(), tiny.LABELS)


# Order


def test_arrays_in_an_order_of_the_epoch():
    x, y = tiny.INPUTS, np.arange(24)
    full = batches_seen(x, y, epochs=3)
    assert len(full) == 9
    epochs = [sum(full[start : start + 3], []) for start in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert batches_seen(x, y, epochs=3, initial_epoch=2) == full[6:]
    in_order = batches_seen(x, y, epochs=2, shuffle=False)
    assert sum(in_order, []) == 2 * list(range(24))


def test_batches_of_a_dataset_in_an_order_of_the_epoch():
    batches = tiny.Batches(tiny.INPUTS, np.arange(24))
    full = batches_seen(batches, epochs=6)
    epochs = [full[start : start + 3] for start in range(0, 18, 3)]
    in_order = [batches[i][1].tolist() for i in range(3)]
    assert all(sorted(epoch) == in_order for epoch in epochs)
    assert any(epoch != in_order for epoch in epochs)
    assert batches_seen(batches, epochs=6, initial_epoch=4) == full[12:]
    assert batches_seen(batches, epochs=1, shuffle=False) == in_order


def test_our_data_sets_are_told_the_epoch():
    data = RetrievalDataset(tiny.INPUTS.reshape(24, 6, 1, 1), np.arange(24))

    def squeezed(images, rng):
        return images[:, :, 0, 0]

    def batches():
        return data.batches(8, seed=5, augment=squeezed)

    expected = batches()
    for epoch, seen in enumerate(
        np.reshape(batches_seen(batches(), epochs=3), (3, -1))
    ):
        expected.epoch = epoch
        assert seen.tolist() == np.concatenate([y for _, y in expected]).tolist()
    seen = batches_seen(batches(), epochs=3, initial_epoch=2)
    assert sum(seen, []) == np.concatenate([y for _, y in expected]).tolist()


# Weights


def test_sample_weight(model):
    weights = np.arange(24) % 3.0
    expected = model.loss(tiny.LABELS, model(tiny.INPUTS), weights)
    actual = model.evaluate(
        tiny.INPUTS, tiny.LABELS, 24, sample_weight=weights, verbose=0
    )
    assert actual == pytest.approx(float(keras.ops.convert_to_numpy(expected)))
    # A weight of 0 is absence.
    weights = (np.arange(24) < 16).astype("float32")
    actual = model.evaluate(
        tiny.INPUTS, tiny.LABELS, 24, sample_weight=weights, verbose=0
    )
    expected = model.evaluate(tiny.INPUTS[:16], tiny.LABELS[:16], 24, verbose=0)
    assert actual == pytest.approx(expected, rel=1e-5)


def test_weights_of_a_dataset(model):
    weights = np.arange(24) % 3.0
    batches = tiny.Batches(tiny.INPUTS, tiny.LABELS, weights)
    expected = model.evaluate(
        tiny.INPUTS, tiny.LABELS, 8, sample_weight=weights, verbose=0
    )
    assert model.evaluate(batches, verbose=0) == pytest.approx(expected)


def test_class_weight():
    model = tiny.compiled_model(optimizer="sgd")
    weights = {0: 1.0, 1: 2.0, 2: 0.0, 3: 0.5}
    each = np.array([weights[label] for label in tiny.LABELS])
    expected = model.loss(tiny.LABELS, model(tiny.INPUTS), each)
    history = tiny.fit(model, class_weight=weights, batch_size=24)
    assert history["loss"] == pytest.approx(
        [float(keras.ops.convert_to_numpy(expected))], rel=1e-5
    )


# Kinds of data


@pytest.mark.parametrize("structure", [list, dict])
def test_several_inputs(structure):
    image, text = keras.Input((6,), name="image"), keras.Input((2,), name="text")
    x = keras.layers.Dense(8)(keras.layers.Concatenate()([image, text]))
    inputs = [image, text] if structure is list else {"image": image, "text": text}
    model = khp.models.EmbeddingModel(inputs, khp.layers.Proxies(4)(x))
    model.compile("sgd", loss=MeanSquare(), run_eagerly=tiny.EAGERLY)
    data = [tiny.INPUTS, tiny.INPUTS[:, :2]]
    data = data if structure is list else {"image": data[0], "text": data[1]}
    evaluation = khp.callbacks.RetrievalEvaluation((data, tiny.LABELS))
    history = tiny.fit(model, data, callbacks=[evaluation], validation_split=0.5)
    assert {"loss", "val_loss", "val_recall@1"} <= set(history)
    points = model.embed(data)
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, data)
    raw = keras.ops.convert_to_numpy(model(tensors))
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(points, expected, atol=1e-6)


def test_tensors_as_inputs(model):
    x = keras.ops.convert_to_tensor(tiny.INPUTS)
    y = keras.ops.convert_to_tensor(tiny.LABELS)
    expected = model.evaluate(tiny.INPUTS, tiny.LABELS, verbose=0)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected)
    np.testing.assert_allclose(model.embed(x), model.embed(tiny.INPUTS), atol=1e-6)


def test_a_generator():
    def endless():
        while True:
            yield from (batches[i] for i in range(3))

    batches = tiny.Batches(tiny.INPUTS, tiny.LABELS)
    model = tiny.compiled_model(optimizer="sgd")
    history = tiny.fit(model, endless(), None, steps_per_epoch=3, epochs=2)
    assert history["loss"][1] != history["loss"][0]
    assert steps(model) == 6
    points = model.embed(batches[i][0] for i in range(3))
    np.testing.assert_allclose(points, model.embed(tiny.INPUTS), atol=1e-6)


def test_a_tf_data_pipeline():
    import tensorflow as tf

    def pipeline(labels):
        return tf.data.Dataset.from_tensor_slices((tiny.INPUTS, labels)).batch(8)

    model = tiny.compiled_model(optimizer="sgd")
    good = pipeline(tiny.LABELS)
    history = tiny.fit(model, good, None, validation_data=good)
    assert np.isfinite(history["loss"] + history["val_loss"]).all()
    expected = model.evaluate(tiny.INPUTS, tiny.LABELS, 8, verbose=0)
    assert model.evaluate(good, verbose=0) == pytest.approx(expected)
    np.testing.assert_allclose(model.embed(good), model.embed(tiny.INPUTS), atol=1e-6)
    with pytest.raises(ValueError, match="integer class ids"):
        model.evaluate(pipeline(tiny.LABELS + 0.5), verbose=0)


def test_a_torch_data_loader():
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def loader(labels):
        tensors = [torch.from_numpy(each) for each in (tiny.INPUTS, labels)]
        return DataLoader(TensorDataset(*tensors), batch_size=8)

    model = tiny.compiled_model(optimizer="sgd")
    good = loader(tiny.LABELS)
    history = tiny.fit(model, good, None, epochs=2, validation_data=good)
    assert len(history["val_loss"]) == 2
    assert steps(model) == 6
    expected = model.evaluate(tiny.INPUTS, tiny.LABELS, 8, verbose=0)
    assert model.evaluate(good, verbose=0) == pytest.approx(expected)
    np.testing.assert_allclose(model.embed(good), model.embed(tiny.INPUTS), atol=1e-6)
    with pytest.raises(ValueError, match="Received labels from 1 to 4"):
        tiny.fit(model, loader(tiny.LABELS + 1), None)


def test_validation_split():
    model = tiny.compiled_model(optimizer=keras.optimizers.SGD(0.0))
    history = tiny.fit(model, validation_split=0.25, batch_size=24)
    for name, rows in [("loss", slice(18)), ("val_loss", slice(18, None))]:
        x, y = tiny.INPUTS[rows], tiny.LABELS[rows]
        expected = model.evaluate(x, y, 24, verbose=0)
        assert history[name] == pytest.approx([expected], rel=1e-5)
    with pytest.raises(ValueError, match="`validation_split` cuts arrays"):
        tiny.fit(model, dataset().batches(8), None, validation_split=0.5)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has it on TensorFlow and JAX")
def test_several_steps_in_one_execution():
    one, three = (
        tiny.compiled_model(
            optimizer="sgd", run_eagerly=False, steps_per_execution=number
        )
        for number in (1, 3)
    )
    three.set_weights(one.get_weights())
    expected, actual = tiny.fit(one, epochs=2), tiny.fit(three, epochs=2)
    assert steps(three) == 6
    assert actual["loss"] == pytest.approx(expected["loss"], rel=1e-5)


# Embedding


def test_embed_gives_points_of_any_data():
    model, data = image_model(), dataset()
    points = model.embed(data.images)
    assert type(points) is np.ndarray and points.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-6)
    # Labels do not matter here: these are of classes that have no proxies.
    others = dataset(np.arange(24) // 2).batches(5, shuffle=False)
    np.testing.assert_allclose(model.embed(others), points, atol=1e-6)
    raw = model.predict(data.images, verbose=0)
    assert (np.abs(np.linalg.norm(raw, axis=1) - 1) > 1e-3).any()
    np.testing.assert_array_equal(model.predict(others, verbose=0).shape, raw.shape)
    np.testing.assert_array_equal(model.embed(data.images, batch_size=7).shape, (24, 8))


def test_embed_before_compiling():
    model = tiny.embedding_model()
    assert model.embed(tiny.INPUTS).shape == (24, 8)


def test_images_that_are_decoded_on_demand(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(len(tiny.IMAGES))]
    for path, pixels in zip(paths, tiny.IMAGES, strict=True):
        Image.fromarray(pixels).save(path)
    files = ImageFiles(paths, (16, 16))
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Dense(8)(keras.layers.GlobalAveragePooling2D()(inputs))
    model = khp.models.EmbeddingModel(inputs, khp.layers.Proxies(4)(x))
    model.compile("sgd", loss=MeanSquare(), run_eagerly=tiny.EAGERLY)
    data = RetrievalDataset(files, tiny.IMAGE_LABELS)
    evaluation = khp.callbacks.RetrievalEvaluation(data, k=1)
    for x, y in [(files, tiny.IMAGE_LABELS), (data.batches(4), None)]:
        assert "val_recall@1" in tiny.fit(model, x, y, callbacks=[evaluation])
    np.testing.assert_allclose(model.embed(files), model.embed(tiny.IMAGES), atol=1e-6)


def test_fit_before_compile():
    with pytest.raises(ValueError, match="compile"):
        tiny.fit(tiny.embedding_model())


@bad_labels
def test_bad_labels_of_single_batches(labels, message):
    model = tiny.compiled_model(optimizer="sgd")
    for method in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match=message):
            method(tiny.INPUTS, labels)
    assert steps(model) == 0
