"""Embedders in int8: as near as said, smaller, saved and loaded."""

import json
import warnings

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import keras_hub, tiny

IMAGES = np.random.default_rng(0).uniform(0, 255, (6, 16, 16, 3)).astype("float32")
NUM_CLASSES = 6
BALL = khp.geometry.PoincareBall()


def small_deit():
    """A small DeiT in the ball, its preprocessor only partly built, as from presets."""
    backbone = keras_hub.models.DeiTBackbone(
        image_shape=(16, 16, 3),
        patch_size=4,
        num_layers=1,
        num_heads=2,
        hidden_dim=64,
        intermediate_dim=128,
    )
    return khp.models.ImageEmbedder(
        backbone,
        num_classes=NUM_CLASSES,
        embedding_dim=16,
        preprocessor=keras_hub.layers.ImageConverter(scale=1 / 100, offset=-1.0),
        geometry=BALL,
        latent=khp.layers.LatentHierarchy(8, geometry=BALL),
    )


def quantize(embedder):
    with warnings.catch_warnings():
        # Keras warns of every layer that it leaves as it is.
        warnings.simplefilter("ignore")
        embedder.quantize("int8")


def network_bytes(embedder):
    proxies = [*embedder.proxies.weights, *embedder.latent.weights]
    left_out = {id(variable) for variable in proxies}
    return sum(
        keras.ops.convert_to_numpy(variable).nbytes
        for variable in embedder.weights
        if id(variable) not in left_out
    )


def config_of(embedder):
    """As files hold it, without what loading a preset changes."""
    config = json.loads(json.dumps(embedder.get_config()))
    return config | {"pretrained": None}


@pytest.fixture(scope="module")
def quantized():
    """A compiled embedder in int8, its embeddings before, and its bytes before."""
    keras.utils.set_random_seed(0)
    embedder = small_deit()
    loss = khp.losses.HierProxyLoss() + khp.losses.HIERLoss(max_triplets=8)
    embedder.compile("adam", loss=loss, run_eagerly=tiny.EAGERLY)
    before, size = embedder.embed(IMAGES), network_bytes(embedder)
    quantize(embedder)
    return embedder, before, size


def test_int8_is_near_and_small(quantized):
    embedder, before, size = quantized
    after = embedder.embed(IMAGES)
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    assert (before * after).sum(axis=1).min() > 0.999 * lengths.max()
    # The function that was compiled before is not called again.
    assert np.abs(after - before).max() > 1e-5
    assert network_bytes(embedder) < 0.4 * size


def test_proxies_stay_as_they_are(quantized):
    embedder = quantized[0]
    for layer in (embedder.proxies, embedder.latent, embedder.get_layer("projection")):
        assert layer.dtype_policy.name == "float32"
        assert all(variable.dtype != "int8" for variable in layer.weights)


@pytest.mark.parametrize("kind", ["model", "preset"])
def test_saving(quantized, kind, tmp_path):
    embedder = quantized[0]
    if kind == "model":
        embedder.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    else:
        embedder.save_to_preset(tmp_path / "preset")
        loaded = khp.models.ImageEmbedder.from_preset(tmp_path / "preset")
    np.testing.assert_allclose(loaded.embed(IMAGES), embedder.embed(IMAGES), atol=1e-6)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(loaded.proxies.proxies),
        keras.ops.convert_to_numpy(embedder.proxies.proxies),
    )
    assert loaded.get_layer("head").quantization_mode == "int8"
    assert config_of(loaded) == config_of(embedder)


def test_a_model_of_other_data(tmp_path):
    model = tiny.compiled_model()
    quantize(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.embed(tiny.INPUTS), model.embed(tiny.INPUTS), atol=1e-6
    )


def test_export(quantized, tmp_path):
    embedder, backend = quantized[0], keras.config.backend()
    if backend != "jax":
        message = "LiteRT does not take|=tensorflow"
        with pytest.raises(ValueError, match=message):
            embedder.export(tmp_path / "model.tflite", format="litert")
    if backend != "tensorflow":
        return
    runtime = pytest.importorskip("onnxruntime")
    embedder.export(tmp_path / "model.onnx", format="onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    points = session.run(None, {"inputs": IMAGES})[0]
    np.testing.assert_allclose(points, embedder.embed(IMAGES), atol=1e-4)
