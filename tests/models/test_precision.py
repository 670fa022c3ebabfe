"""Under mixed precision, points stay in their space and proxies stay float32."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny


def embedding_model():
    inputs = keras.Input((6,))
    x = khp.layers.ProjectToGeometry()(keras.layers.Dense(8, name="head")(inputs))
    layer = khp.layers.HierProxies(tiny.NUM_CLASSES, level_sizes=(2,), name="proxies")
    return khp.models.EmbeddingModel(inputs, layer(x)), tiny.INPUTS, tiny.LABELS


def image_embedder():
    embedder = khp.models.ImageEmbedder(
        khp.models.conv4((16, 16, 3), filters=2), tiny.NUM_CLASSES, embedding_dim=8
    )
    return embedder, tiny.IMAGES, tiny.IMAGE_LABELS


@pytest.mark.parametrize("make", [embedding_model, image_embedder])
def test_mixed_bfloat16(make):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, x, y = make()
    assert model.get_layer("head").compute_dtype == "bfloat16"
    model.compile(loss=khp.losses.HierProxyLoss(), run_eagerly=tiny.EAGERLY)
    update = khp.callbacks.HierarchyUpdate(warmup_epochs=1)
    before = tiny.values(model.trainable_variables)
    history = tiny.fit(model, x, y, epochs=2, callbacks=[update])
    assert np.isfinite(history["loss"]).all()
    after = tiny.values(model.trainable_variables)
    assert all((after[path] != before[path]).any() for path in before)

    for variable in model.get_layer("proxies").proxy_variables():
        assert keras.backend.standardize_dtype(variable.dtype) == "float32"
    outputs = model(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    for points in (model.embed(x), keras.ops.convert_to_numpy(outputs)):
        assert points.dtype == "float32"
        lengths = np.linalg.norm(points.astype("float64"), axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_mixed_bfloat16_without_a_projection():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = tiny.compiled_model()
    points = model.embed(tiny.INPUTS)
    assert points.dtype == "float32"
    lengths = np.linalg.norm(points.astype("float64"), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_saved_in_mixed_precision(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    embedder, images, _ = image_embedder()
    embedder.save_to_preset(tmp_path / "preset")
    embedder.save(tmp_path / "embedder.keras")
    keras.config.set_dtype_policy("float32")
    for loaded in (
        khp.models.ImageEmbedder.from_preset(tmp_path / "preset"),
        keras.models.load_model(tmp_path / "embedder.keras"),
    ):
        assert loaded.get_layer("head").compute_dtype == "bfloat16"
        np.testing.assert_array_equal(loaded.embed(images), embedder.embed(images))


def test_in_float16_the_loss_is_scaled_also_when_saved(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    embedder, images, labels = image_embedder()
    optimizer = khp.optimizers.grouped(embedder, 1e-3, 1e-3, epsilon=1e-4)
    # Meanwhile the policy is that of another model.
    keras.config.set_dtype_policy("float32")
    embedder.compile(optimizer, khp.losses.ProxyAnchorLoss(), run_eagerly=tiny.EAGERLY)
    history = tiny.fit(embedder, images, labels, epochs=2)
    assert np.isfinite(history["loss"]).all()
    assert embedder.optimizer.inner_optimizer is optimizer
    embedder.save(tmp_path / "embedder.keras")
    again = keras.models.load_model(tmp_path / "embedder.keras")
    for mine, theirs in zip(
        embedder.optimizer.variables, again.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(again.embed(images), embedder.embed(images))
