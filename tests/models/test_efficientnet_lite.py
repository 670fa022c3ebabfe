"""EfficientNet-Lite: shapes, sizes, scaling, bad arguments."""

import keras
import numpy as np
import pytest

from keras_hierproxy.models import ImageEmbedder, efficientnet_lite

# As published, without the classifier.
WEIGHTS = (3_413_024, 4_189_344, 4_869_168, 6_992_768, 11_837_936)


@pytest.mark.parametrize("variant", range(5))
def test_weights_and_the_shape_of_features(variant):
    backbone = efficientnet_lite(variant, (33, 64, 3))
    assert backbone.count_params() == WEIGHTS[variant]
    assert backbone.output_shape == (None, 2, 2, 1280)


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
