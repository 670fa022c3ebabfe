"""Runs whose first layers stand still: these see each image once."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy import models, recipes, runs
from keras_hierproxy.models.trunk import split_frozen
from keras_hierproxy.runs import frozen
from tests.small_run import make_data, new_run


@pytest.fixture(scope="module")
def data():
    return make_data()


@keras.saving.register_keras_serializable(package="tests_of_frozen_runs")
class Counts(keras.layers.Layer):
    """Scales pixels, and counts the batches that it was called with."""

    calls = 0

    def call(self, images):
        type(self).calls += 1
        return keras.ops.cast(images, "float32") / 255


def frozen_run(folder, data, epochs=3, **options):
    # What has trained, better or not.
    last = ['training.selection="last"']
    run = new_run(folder, last, loss="hpl", epochs=epochs, **options)
    keras.utils.set_random_seed(0)
    inputs = keras.Input(data.train.images.shape[1:])
    x = keras.layers.Conv2D(4, 3, strides=2, name="first")(inputs)
    x = keras.layers.BatchNormalization(name="second")(x)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="third")(x)
    embedder = models.ImageEmbedder(
        keras.Model(inputs, x),
        data.train.num_classes,
        preprocessor=Counts(),
        embedding_dim=8,
        frozen=["second"],
    )
    recipes.compile_embedder(run.recipe, embedder, 2)
    run.begin(data, embedder)
    return run


def test_the_same_comes_out_and_the_first_layers_see_an_image_once(
    data, tmp_path, monkeypatch
):
    results = {}
    for name in ("once", "always"):
        if name == "always":
            monkeypatch.setattr(frozen, "split_frozen", lambda embedder: None)
        run = frozen_run(tmp_path / name, data)
        Counts.calls = 0
        run.fit()
        results[name] = run, Counts.calls
    (once, few), (always, many) = results.values()
    once.finish()
    embedder = runs.load_embedder(tmp_path / "once")
    other = always.embedder
    batches = sum(-(-len(part) // 18) for part in (data.train, data.validation))
    # And one image, to know how large they are.
    assert few == batches + 1 < many
    np.testing.assert_allclose(
        embedder.embed(data.test.images), other.embed(data.test.images), atol=1e-4
    )
    for name, values in once.history.items():
        np.testing.assert_allclose(values, always.history[name], atol=1e-3)
    untrained = frozen_run(tmp_path / "untrained", data).embedder
    for name in ("first", "second", "third"):
        before, after = (
            each.backbone.get_layer(name).get_weights()
            for each in (untrained, embedder)
        )
        same = all(map(np.array_equal, before, after))
        assert same == (name != "third")


def test_it_goes_on_where_it_stopped(data, tmp_path):
    whole = frozen_run(tmp_path / "whole", data)
    whole.fit()
    first = frozen_run(tmp_path / "halves", data, epochs=2)
    first.fit()
    again = runs.resume_run(tmp_path / "halves", epochs=3)
    again.begin(data, first.embedder)
    again.fit()
    for name, values in whole.history.items():
        # The rate falls to 0 at the end of the epochs that were asked for.
        np.testing.assert_allclose(values[:1], again.history[name][:1], atol=1e-3)
    assert len(again.history["loss"]) == 3


@pytest.mark.host
@pytest.mark.parametrize(
    "limit, options", [(0, {}), (2**30, {"augment": "crop"})], ids=["memory", "augment"]
)
def test_images_that_change_or_maps_too_large_are_computed_each_time(
    data, tmp_path, monkeypatch, limit, options
):
    monkeypatch.setattr(frozen, "_MOST_BYTES", limit)
    run = frozen_run(tmp_path / "run", data, epochs=1, **options)
    embedder, batches = run._what_trains()
    assert embedder is run.embedder and batches is run.batches


@pytest.mark.host
def test_what_cannot_be_cut():
    def split(frozen):
        inputs = keras.Input((8, 8, 1))
        x = keras.layers.Conv2D(4, 3, name="first")(inputs)
        y = keras.layers.Conv2D(4, 3, padding="same", name="second")(x)
        x = keras.layers.Add(name="sum")([x, y])
        model = keras.Model(inputs, keras.layers.Conv2D(4, 3, name="last")(x))
        return split_frozen(models.ImageEmbedder(model, 3, frozen=frozen))

    assert split([]) is None
    # Both of these are read behind `second`.
    trunk, _ = split(["second"])
    assert [layer.name for layer in trunk.layers][-1] == "sum"
    trunk, rest = split(["first"])
    assert [layer.name for layer in trunk.layers][-1] == "first"
    assert rest.input_shape == (None, 6, 6, 4)


@pytest.mark.host
def test_a_layer_is_frozen_with_all_before_it(tmp_path):
    backbone = khp.models.conv4((16, 16, 1), filters=(4, 4, 8, 8))
    names = [layer.name for layer in backbone.layers if layer.weights]
    embedder = models.ImageEmbedder(backbone, 3, embedding_dim=8, frozen=names[3])
    trainable = [layer.name for layer in backbone.layers if layer.trainable_weights]
    assert trainable == names[4:]
    embedder.save(tmp_path / "embedder.keras")
    again = keras.models.load_model(tmp_path / "embedder.keras")
    assert again.frozen == (names[3],)
    assert len(again.trainable_weights) == len(embedder.trainable_weights)
    with pytest.raises(ValueError, match="Did you mean 'batch_norm"):
        models.ImageEmbedder(backbone, 3, frozen="batch_normx")
