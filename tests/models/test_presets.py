"""Embedders from presets, folders that keras-hub reads as well."""

import json

import h5py
import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import keras_hub, tiny
from tests.models.test_image_embedder import conv4_embedder, halved, resnet

ImageEmbedder = khp.models.ImageEmbedder
TAXONOMY = [[0], [0], [1], [1]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An embedder that is not as it was initialised, and its preset."""
    keras.utils.set_random_seed(0)
    layer = khp.layers.HierProxies(tiny.NUM_CLASSES, taxonomy=TAXONOMY, name="proxies")
    embedder = conv4_embedder(
        proxies=layer, preprocessor=keras_hub.layers.ImageConverter(scale=0.5)
    )
    for variable in embedder.weights:
        if variable.dtype == "float32" and variable.ndim:
            variable.assign(variable + 0.1)
    folder = tmp_path_factory.mktemp("preset")
    embedder.save_to_preset(folder)
    return embedder, folder


def assert_same_embeddings(embedder, other):
    np.testing.assert_array_equal(other.embed(tiny.IMAGES), embedder.embed(tiny.IMAGES))


def test_the_whole_embedder(saved):
    embedder, folder = saved
    again = ImageEmbedder.from_preset(folder)
    assert again.preprocessor.scale == 0.5
    weights = tiny.values(again.weights)
    for path, value in tiny.values(embedder.weights).items():
        np.testing.assert_array_equal(weights[path], value, err_msg=path)
    np.testing.assert_array_equal(again.proxies.parents(1), [0, 0, 1, 1])
    assert again.pretrained


@pytest.mark.parametrize("num_classes", [2, 7, None])
def test_another_number_of_classes_keeps_the_trained_head(saved, num_classes):
    embedder, folder = saved
    again = ImageEmbedder.from_preset(folder, num_classes=num_classes)
    assert again.num_classes == num_classes
    assert_same_embeddings(embedder, again)
    if num_classes is None:
        assert again.proxies is None
    else:
        assert again.proxies.proxies.shape == (num_classes, 8)
        assert again.proxies.learned, "the taxonomy was that of other classes"


def test_the_same_number_of_classes_keeps_the_proxies(saved):
    embedder, folder = saved
    again = ImageEmbedder.from_preset(folder, num_classes=tiny.NUM_CLASSES)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(again.proxies.proxies),
        keras.ops.convert_to_numpy(embedder.proxies.proxies),
    )


@pytest.mark.parametrize("num_classes", [tiny.NUM_CLASSES, 9])
def test_proxies_of_ones_own(saved, num_classes):
    embedder, folder = saved
    layer = khp.layers.Proxies(num_classes, name="proxies")
    again = ImageEmbedder.from_preset(folder, proxies=layer)
    assert again.proxies is layer and again.num_classes == num_classes
    assert_same_embeddings(embedder, again)
    drawn = keras.ops.convert_to_numpy(layer.proxies)
    trained = keras.ops.convert_to_numpy(embedder.proxies.proxies)
    assert drawn.shape != trained.shape or (drawn != trained).any()


def test_what_is_loaded_trains(saved):
    _, folder = saved
    again = ImageEmbedder.from_preset(folder, num_classes=tiny.NUM_CLASSES + 1)
    again.compile(loss=khp.losses.ProxyNCALoss(), run_eagerly=tiny.EAGERLY)
    tiny.fit(again, tiny.IMAGES, tiny.IMAGE_LABELS + 1, batch_size=12)


def test_the_architecture_alone(saved):
    embedder, folder = saved
    again = ImageEmbedder.from_preset(folder, load_weights=False, embedding_dim=5)
    assert not again.pretrained
    assert again.embedding_dim == 5
    ours, theirs = embedder.backbone.weights[0], again.backbone.weights[0]
    assert (tiny.values([ours])[ours.path] != tiny.values([theirs])[theirs.path]).any()


def test_another_embedding_dimension_than_the_trained_head(saved):
    with pytest.raises(ValueError, match="embedding_dim=8. Received: embedding_dim=5"):
        ImageEmbedder.from_preset(saved[1], embedding_dim=5)


# Without a head


@pytest.fixture(scope="module")
def headless(tmp_path_factory):
    """An embedder without a head, with proxies, and its preset."""
    keras.utils.set_random_seed(0)
    embedder = conv4_embedder(embedding_dim=None)
    folder = tmp_path_factory.mktemp("headless")
    embedder.save_to_preset(folder)
    return embedder, folder


def test_an_embedder_without_a_head(headless):
    embedder, folder = headless
    again = ImageEmbedder.from_preset(folder)
    assert again.head is None and again.embedding_dim == 2
    assert_same_embeddings(embedder, again)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(again.proxies.proxies),
        keras.ops.convert_to_numpy(embedder.proxies.proxies),
    )


@pytest.mark.parametrize("num_classes", [tiny.NUM_CLASSES, 7, None])
def test_a_new_head(headless, num_classes):
    embedder, folder = headless
    again = ImageEmbedder.from_preset(folder, embedding_dim=5, num_classes=num_classes)
    assert again.pretrained and again.embed(tiny.IMAGES).shape == (12, 5)
    weights = tiny.values(embedder.backbone.weights)
    for path, value in tiny.values(again.backbone.weights).items():
        np.testing.assert_array_equal(value, weights[path], err_msg=path)
    if num_classes is None:
        assert again.proxies is None
        return
    # The trained ones lie in another space.
    assert again.proxies.proxies.shape == (num_classes, 5)
    again.compile(loss=khp.losses.HierProxyLoss(), run_eagerly=tiny.EAGERLY)
    before = again.head.get_weights()[0]
    tiny.fit(again, tiny.IMAGES, tiny.IMAGE_LABELS, batch_size=12)
    assert (again.head.get_weights()[0] != before).any()


def test_a_trained_head_is_left_out(saved):
    embedder, folder = saved
    again = ImageEmbedder.from_preset(folder, embedding_dim=None)
    assert again.head is None
    assert again.proxies.proxies.shape == (tiny.NUM_CLASSES, 2)
    features = keras.ops.convert_to_numpy(embedder.backbone(tiny.IMAGES * 0.5))
    pooled = features.mean((1, 2))
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(again.embed(tiny.IMAGES), pooled, atol=1e-5)


# Images of another size


@pytest.mark.parametrize("shape", [(24, 20, 3), [None, None, 3]])
def test_images_of_another_size(saved, shape):
    embedder, folder = saved
    again = ImageEmbedder.from_preset(folder, image_shape=shape)
    assert again.input_shape == (None, *shape)
    images = np.resize(tiny.IMAGES, (2, 24, 20, 3))
    weights = tiny.values(embedder.weights)
    for path, value in tiny.values(again.weights).items():
        np.testing.assert_array_equal(value, weights[path], err_msg=path)
    assert again.embed(images).shape == (2, 8)


def test_in_another_precision(saved):
    embedder, folder = saved
    policy = "mixed_bfloat16"
    again = ImageEmbedder.from_preset(folder, dtype=policy)
    layers = again.backbone.layers[1:]
    assert {layer.dtype_policy.name for layer in layers} == {policy}
    weights = tiny.values(embedder.weights)
    for path, value in tiny.values(again.weights).items():
        assert value.dtype == weights[path].dtype
        np.testing.assert_array_equal(value, weights[path], err_msg=path)
    points = again.embed(tiny.IMAGES)
    assert points.dtype == "float32"
    np.testing.assert_allclose(points, embedder.embed(tiny.IMAGES), atol=5e-2)


@pytest.mark.parametrize("shape", [(24, 20), (24, 20, 1), 24, (0, 20, 3), (2.5, 20, 3)])
def test_images_of_no_size(saved, shape):
    with pytest.raises(ValueError, match="image_shape"):
        ImageEmbedder.from_preset(saved[1], image_shape=shape)


# Weights in half of the space


def test_weights_stored_as_float16(saved, tmp_path):
    embedder, folder = saved
    embedder.save_to_preset(tmp_path, weights_dtype="float16")
    assert json.loads((tmp_path / "metadata.json").read_text())["weights_dtype"] == (
        "float16"
    )
    again = ImageEmbedder.from_preset(tmp_path)
    weights = tiny.values(again.weights)
    rounded = 0
    for path, value in tiny.values(embedder.weights).items():
        assert weights[path].dtype == value.dtype, path
        if value.dtype == "float32":
            rounded += (weights[path] != value).any()
            value = value.astype("float16").astype("float32")
        np.testing.assert_array_equal(weights[path], value, err_msg=path)
    assert rounded
    for name in ("model.weights.h5", "task.weights.h5"):
        there, before = arrays_in(tmp_path / name), arrays_in(folder / name)
        assert "float16" in there.values() and "float32" not in there.values()
        assert there.keys() == before.keys()


def test_shards_of_weights_stored_as_float16(saved, tmp_path):
    embedder, _ = saved
    embedder.save_to_preset(tmp_path, 5e-7, "float16")
    assert len(list(tmp_path.glob("model_*.weights.h5"))) > 1
    again = ImageEmbedder.from_preset(tmp_path)
    points = embedder.embed(tiny.IMAGES)
    np.testing.assert_allclose(again.embed(tiny.IMAGES), points, atol=1e-2)


def arrays_in(path):
    """The names in a file of weights, with the dtypes of arrays."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda n, each: found.update({n: getattr(each, "dtype", None)}))
    return found


@pytest.mark.parametrize("value", [65520, -1e9, np.nan, np.inf])
def test_what_float16_does_not_hold(tmp_path, value):
    embedder = conv4_embedder()
    kernel = embedder.head.get_weights()[0]
    kernel[0, 0] = value
    embedder.head.kernel.assign(kernel)
    with pytest.raises(ValueError, match="float16 does not: it ends at 65504"):
        embedder.save_to_preset(tmp_path, weights_dtype="float16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", None, np.float16])
def test_weights_in_another_format(tmp_path, dtype):
    with pytest.raises(ValueError, match="`weights_dtype` must be one of"):
        conv4_embedder().save_to_preset(tmp_path, weights_dtype=dtype)


def test_an_embedder_without_proxies_gets_some(tmp_path):
    embedder = conv4_embedder(num_classes=None)
    embedder.save_to_preset(tmp_path)
    again = ImageEmbedder.from_preset(tmp_path, num_classes=3)
    assert again.proxies.num_classes == 3
    assert_same_embeddings(embedder, again)


def test_the_optimizer_stays_behind(tmp_path):
    embedder = conv4_embedder()
    embedder.save_to_preset(tmp_path / "before")
    embedder.compile(loss=khp.losses.ProxyNCALoss(), run_eagerly=tiny.EAGERLY)
    tiny.fit(embedder, tiny.IMAGES, tiny.IMAGE_LABELS, batch_size=12)
    embedder.save_to_preset(tmp_path / "after")
    names = {}
    for moment in ("before", "after"):
        with h5py.File(tmp_path / moment / "task.weights.h5") as file:
            names[moment] = []
            file.visit(names[moment].append)
    assert names["after"] == names["before"]


def test_a_function_does_not_fit_into_a_preset(tmp_path):
    embedder = conv4_embedder(preprocessor=halved)
    with pytest.raises(ValueError, match="is registered with"):
        embedder.save_to_preset(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_old", [False, True])
def test_what_a_preprocessor_has_learned(tmp_path, is_old):
    norm = keras.layers.Normalization()
    norm.adapt(tiny.IMAGES.astype("float32"))
    embedder = conv4_embedder(preprocessor=norm)
    embedder.save_to_preset(tmp_path)
    if is_old:  # by keras-hub, which left out what its layers were built for
        task = json.loads((tmp_path / "task.json").read_text())
        del task["config"]["preprocessor"]["build_config"]
        (tmp_path / "task.json").write_text(json.dumps(task))
    assert_same_embeddings(embedder, ImageEmbedder.from_preset(tmp_path))


# Presets of keras-hub


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classifier of keras-hub, and its preset."""
    converter = keras_hub.layers.ResNetImageConverter(image_size=(12, 12), scale=0.25)
    classifier = keras_hub.models.ResNetImageClassifier(
        backbone=resnet(),
        num_classes=2,
        preprocessor=keras_hub.models.ResNetImageClassifierPreprocessor(converter),
    )
    folder = tmp_path_factory.mktemp("classifier")
    classifier.save_to_preset(str(folder))
    return classifier, folder


def test_the_backbone_and_the_images_of_a_classifier(classifier):
    classifier, folder = classifier
    embedder = ImageEmbedder.from_preset(folder, num_classes=3, embedding_dim=5)
    assert type(embedder.backbone) is keras_hub.models.ResNetBackbone
    weights = tiny.values(classifier.backbone.weights)
    for path, value in tiny.values(embedder.backbone.weights).items():
        np.testing.assert_array_equal(value, weights[path], err_msg=path)
    assert embedder.pretrained
    converter = embedder.preprocessor
    assert isinstance(converter, keras_hub.layers.ResNetImageConverter)
    assert (converter.image_size, converter.scale) == ((12, 12), 0.25)
    assert embedder.embed(tiny.IMAGES).shape == (12, 5)


def test_a_preprocessor_of_ones_own(classifier):
    _, folder = classifier
    embedder = ImageEmbedder.from_preset(folder, preprocessor=None)
    assert embedder.preprocessor is None
    embedder = ImageEmbedder.from_preset(folder, preprocessor=halved)
    assert embedder.preprocessor is halved


def test_a_preset_of_a_backbone_alone(tmp_path):
    resnet().save_to_preset(str(tmp_path))
    embedder = ImageEmbedder.from_preset(str(tmp_path))
    assert embedder.preprocessor is None and embedder.num_classes is None


def test_a_preset_that_does_not_exist(tmp_path):
    with pytest.raises(ValueError, match="no preset and no folder 'no_such_preset'"):
        ImageEmbedder.from_preset("no_such_preset")
    with pytest.raises(ValueError, match="no config.json"):
        ImageEmbedder.from_preset(tmp_path)
