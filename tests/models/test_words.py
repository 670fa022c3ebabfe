"""What is said to what users write by mistake."""

import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.models.preset_files import first_line
from tests import tiny


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (khp.losses.ProxyAnchorLoss, r"pass `khp.losses.ProxyAnchorLoss\(\)`"),
        ("proxy_anchor", r"pass `khp.losses.ProxyAnchorLoss\(\)`.*'proxy_anchor'"),
        ("ArcFaceLoss", r"pass `khp.losses.ArcFaceLoss\(\)`"),
        ("multi-similarity", r"pass `khp.losses.MultiSimilarityLoss\(\)`"),
        ("nonsense", r"pass `khp.losses.\w+\(\)`.*'nonsense'"),
    ],
)
def test_a_loss_that_is_no_object(loss, message):
    with pytest.raises(ValueError, match=message):
        tiny.compiled_model(loss)


def test_input_shape_of_conv4():
    with pytest.raises(TypeError, match="input_shape. Pass it as image_shape="):
        khp.models.conv4(input_shape=(32, 32, 1))
    with pytest.raises(TypeError, match="image_shape= and filters=.*width"):
        khp.models.conv4(width=8)


def test_a_run_is_loaded_as_a_preset_is(tmp_path):
    backbone = khp.models.conv4((16, 16, 3), filters=4)
    embedder = khp.models.ImageEmbedder(backbone, tiny.NUM_CLASSES, embedding_dim=8)
    embedder.save(tmp_path / "model.keras")
    expected = embedder.embed(tiny.IMAGES)
    for path in (tmp_path, tmp_path / "model.keras"):
        loaded = khp.models.ImageEmbedder.from_preset(path, num_classes=7)
        assert loaded.num_classes == 7 and loaded.pretrained
        np.testing.assert_array_equal(loaded.embed(tiny.IMAGES), expected)


def test_modules_show_their_names():
    assert {"ImageEmbedder", "upload_preset", "conv4"} <= set(dir(khp.models))
    names = {}
    exec("from keras_hierproxy.models import *", names)
    assert names["ImageEmbedder"] is khp.models.ImageEmbedder


def test_the_reason_of_an_error_is_not_cut_off():
    error = ValueError(
        "Could not load the weights:\n\n  layer 'a' has 2 variables.\nMore"
    )
    expected = "Could not load the weights: layer 'a' has 2 variables"
    assert first_line(error) == expected
