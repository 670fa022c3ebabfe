"""What the published runs of HIER do: a last normalisation, an orthogonal head, and
parts of the backbone that stand still. All of it is saved."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny
from tests.models.test_image_embedder import (
    compiled,
    conv4_embedder,
    resnet,
    vision_transformer,
)

TRANSFORMERS = [("ViTBackbone", "mlp_dim"), ("DeiTBackbone", "intermediate_dim")]


def test_the_last_norm_has_no_weights():
    plain, normed = (
        conv4_embedder(last_norm=last_norm, name="embedder")
        for last_norm in (False, True)
    )
    assert len(normed.weights) == len(plain.weights)
    features = keras.layers.GlobalAveragePooling2D()(
        normed.backbone(tiny.IMAGES.astype("float32"))
    )
    x = keras.ops.convert_to_numpy(features)
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    kernel, bias = normed.get_layer("head").get_weights()
    points = x @ kernel + bias
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    np.testing.assert_allclose(normed.embed(tiny.IMAGES), points, atol=1e-5)


def test_an_orthogonal_head():
    embedder = conv4_embedder(head_initializer="orthogonal", embedding_dim=2)
    kernel = embedder.get_layer("head").get_weights()[0]
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(2), atol=1e-5)


@pytest.mark.parametrize("kind, width", TRANSFORMERS)
def test_the_patch_embedding_stands_still(kind, width, tmp_path):
    embedder = khp.models.ImageEmbedder(
        vision_transformer(kind, width),
        tiny.NUM_CLASSES,
        embedding_dim=8,
        frozen=["patch_embedding"],
        last_norm=True,
    )
    before = tiny.values(embedder.backbone.weights)
    compiled(embedder)
    tiny.fit(embedder, tiny.IMAGES, tiny.IMAGE_LABELS, batch_size=12)
    after = tiny.values(embedder.backbone.weights)
    moved = {path for path in before if (before[path] != after[path]).any()}
    patches = {path for path in before if "/patch_embedding/" in path}
    assert len(patches) == 2 and not moved & patches
    assert any("position_embedding" in path for path in moved)

    embedder.save(tmp_path / "embedder.keras")
    again = keras.models.load_model(tmp_path / "embedder.keras")
    assert_still_frozen(again, len(moved), patches)
    embedder.save_to_preset(tmp_path / "preset")
    again = khp.models.ImageEmbedder.from_preset(tmp_path / "preset", num_classes=9)
    assert_still_frozen(again, len(moved), patches)
    assert again.last_norm
    np.testing.assert_allclose(
        again.embed(tiny.IMAGES), embedder.embed(tiny.IMAGES), atol=1e-5
    )


def assert_still_frozen(embedder, num_trainable, paths):
    assert embedder.frozen == ("patch_embedding",)
    trainable = {v.path for v in embedder.backbone.trainable_variables}
    assert len(trainable) == num_trainable and not trainable & paths


def test_batch_norms_stand_still(tmp_path):
    embedder = khp.models.ImageEmbedder(
        resnet(), tiny.NUM_CLASSES, embedding_dim=8, frozen="batch_norm"
    )
    before = tiny.values(embedder.backbone.weights)
    compiled(embedder)
    tiny.fit(embedder, tiny.IMAGES, tiny.IMAGE_LABELS, batch_size=12)
    after = tiny.values(embedder.backbone.weights)
    still = {path for path in before if (before[path] == after[path]).all()}
    assert still and still == {path for path in before if "bn" in path.split("/")[-2]}
    embedder.save_to_preset(tmp_path / "preset")
    again = khp.models.ImageEmbedder.from_preset(tmp_path / "preset")
    assert not {v.path for v in again.trainable_variables} & still


def test_a_part_that_is_not_there():
    with pytest.raises(ValueError, match="'conv4' has no patch embedding to freeze"):
        conv4_embedder(frozen=["patch_embedding"])
    with pytest.raises(ValueError, match="any of 'patch_embedding', 'batch_norm'.*'a'"):
        conv4_embedder(frozen="a")
