"""EfficientNet-Lite: shapes, sizes, scaling, bad arguments; ImageNet's weights."""

import pathlib

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy import shipped
from keras_hierproxy.models import ImageEmbedder, efficientnet_lite
from tests import tiny
from tests.models.test_export import SUPPORTED, assert_served

PRESET = "efficientnet_lite0_imagenet"

# As published, without the classifier.
WEIGHTS = (3_413_024, 4_189_344, 4_869_168, 6_992_768, 11_837_936)


@pytest.mark.nightly
@pytest.mark.parametrize("variant", range(5))
def test_weights_and_the_shape_of_features(variant):
    backbone = efficientnet_lite(variant, (33, 64, 3))
    assert backbone.count_params() == WEIGHTS[variant]
    assert backbone.output_shape == (None, 2, 2, 1280)


@pytest.mark.nightly
def test_any_size_of_images():
    backbone = efficientnet_lite(image_shape=(None, None, 3))
    for height, width in ((32, 32), (40, 70)):
        images = np.zeros((1, height, width, 3), "float32")
        assert backbone(images).shape[1:3] == (-(-height // 32), -(-width // 32))


def test_images_are_padded_behind():
    # At stride 2 and even sizes all of the padding is after the last row and column,
    # so that the first of a convolution of ones sees whole windows.
    backbone = efficientnet_lite(image_shape=(32, 32, 3))
    stem = backbone.get_layer("stem")
    stem.set_weights([np.ones_like(stem.get_weights()[0])])
    first = keras.Model(backbone.inputs, stem.output)
    # (255 - 127) / 128 = 1 in each of the 27 places.
    features = keras.ops.convert_to_numpy(first(np.full((1, 32, 32, 3), 255.0)))
    assert features[0, :, 0, 0].tolist() == [27.0] * 15 + [18.0]


def test_trains_in_an_embedder():
    embedder = ImageEmbedder(
        efficientnet_lite(image_shape=(32, 32, 3)), num_classes=2, embedding_dim=8
    )
    assert embedder.output_shape == (None, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": 5}, "variant"),
        ({"variant": "0"}, "variant"),
        ({"image_shape": (64, 64, 1)}, "colour images"),
        ({"image_shape": (64, 64)}, r"\(height, width, 3\)"),
        ({"image_shape": 64}, r"\(height, width, 3\)"),
        ({"image_shape": (16, 64, 3)}, "image_shape"),
        ({"image_shape": (64.0, 64, 3)}, "image_shape"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        efficientnet_lite(**arguments)


# The weights of ImageNet


@pytest.mark.nightly
def test_features_are_those_of_the_network_that_they_were_published_for():
    # By `python -m tools.efficientnet_lite_weights`, in PyTorch.
    path = pathlib.Path(__file__).with_name("efficientnet_lite0_features.npz")
    reference = np.load(path)
    preset = ImageEmbedder.from_preset(PRESET, image_shape=(None, None, 3)).backbone
    built = efficientnet_lite(image_shape=(None, None, 3))
    built.set_weights(preset.get_weights())
    for backbone in (preset, built):
        for size in ("64x64", "32x96"):
            images = reference[f"images_{size}"].astype("float32")
            features = keras.ops.convert_to_numpy(backbone(images, training=False))
            expected = reference[f"features_{size}"]
            assert expected.max() > 1
            np.testing.assert_allclose(features, expected, atol=2e-5)


@pytest.mark.nightly
def test_a_new_head_is_trained_from_them():
    embedder = ImageEmbedder.from_preset(
        PRESET, num_classes=2, embedding_dim=16, image_shape=(32, 32, 3)
    )
    assert embedder.pretrained and embedder.output_shape == (None, 16)
    embedder.compile(loss=khp.losses.ProxyAnchorLoss(), run_eagerly=tiny.EAGERLY)
    before = embedder.backbone.get_layer("top").get_weights()[0]
    images = np.resize(tiny.IMAGES, (4, 32, 32, 3))
    history = tiny.fit(embedder, images, np.array([0, 0, 1, 1]), batch_size=4)
    assert np.isfinite(history["loss"]).all()
    assert (embedder.backbone.get_layer("top").get_weights()[0] != before).any()


@pytest.mark.nightly
@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_they_are_exported(format, tmp_path):
    if format not in SUPPORTED:
        pytest.skip("not from this backend")
    embedder = ImageEmbedder.from_preset(PRESET, image_shape=(64, 64, 3))
    reference = np.load(shipped.preset_folder(PRESET) / "reference.npz")
    images = reference["images"][:5, :64, :64].astype("float32")
    assert_served(embedder, format, tmp_path, images)
