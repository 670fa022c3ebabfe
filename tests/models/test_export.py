"""Exported embedders give the embeddings of `embed`, or say what to do instead."""

import importlib.util

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.models.export import FORMATS, served_network
from keras_hierproxy.models.onnx_gaps import check_onnx
from tests import keras_hub, tiny

BACKEND = keras.config.backend()
SUPPORTED = {
    "tensorflow": FORMATS,
    "jax": ("tf_saved_model",),
    "torch": ("onnx",),
}[BACKEND]
PATHS = {"tf_saved_model": "served", "onnx": "model.onnx", "litert": "model.tflite"}
IMAGES = np.random.default_rng(0).uniform(0, 255, (5, 16, 16, 3)).astype("float32")


def served_by(format, path, images):
    """Points of images, by what serves files of a format."""
    if format == "onnx":
        runtime = pytest.importorskip("onnxruntime")
        session = runtime.InferenceSession(path)
        return session.run(None, {"inputs": images})[0]
    if format == "tf_saved_model":
        tf = pytest.importorskip("tensorflow")
        # Its variables live as long as it does.
        model = tf.saved_model.load(path)
        return model.serve(tf.constant(images)).numpy()
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(path)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def assert_served(embedder, format, folder, images=IMAGES, **options):
    """Batches of several sizes, exported, come to what `embed` says."""
    if format == "onnx":
        pytest.importorskip("tf2onnx")
    path = str(folder / PATHS[format])
    embedder.export(path, format=format, **options)
    expected = embedder.embed(images)
    for rows in (1, 2, 5):
        points = served_by(format, path, images[:rows])
        np.testing.assert_allclose(points, expected[:rows], atol=1e-4)


def conv4_embedder(**options):
    """Whose batch normalisation is not what it is at the start."""
    settings = {"num_classes": tiny.NUM_CLASSES, "embedding_dim": 8} | options
    backbone = khp.models.conv4((16, 16, 3), filters=4)
    embedder = khp.models.ImageEmbedder(backbone, **settings)
    rng = np.random.default_rng(1)
    for variable in embedder.non_trainable_variables:
        if "moving" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return embedder


def transformer(kind="DeiTBackbone", width="intermediate_dim", **options):
    backbone = getattr(keras_hub.models, kind)(
        image_shape=(16, 16, 3),
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        **{width: 8},
    )
    settings = {"num_classes": tiny.NUM_CLASSES, "embedding_dim": 8} | options
    return khp.models.ImageEmbedder(backbone, **settings)


# What is exported


@pytest.mark.parametrize("format", SUPPORTED)
def test_a_convolutional_network_in_the_ball(format, tmp_path):
    # Layers of images switch Keras's own export to training.
    preprocessor = keras.Sequential(
        [keras.layers.Resizing(16, 16), keras.layers.Rescaling(1 / 2)]
    )
    embedder = conv4_embedder(
        preprocessor=preprocessor, geometry=khp.geometry.PoincareBall()
    )
    raw = np.random.default_rng(2).uniform(0, 255, (5, 20, 24, 3)).astype("float32")
    signature = [keras.InputSpec(shape=(None, 20, 24, 3), dtype="float32")]
    assert_served(embedder, format, tmp_path, raw, input_signature=signature)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch's exporter takes none")
@pytest.mark.parametrize("format", SUPPORTED)
def test_a_transformer_on_the_sphere(format, tmp_path):
    preprocessor = None
    if BACKEND == "tensorflow":
        preprocessor = keras_hub.layers.ImageConverter(
            image_size=(16, 16), scale=(1 / 50, 1 / 60, 1 / 70), offset=(-2, -1, 0)
        )
    assert_served(transformer(preprocessor=preprocessor), format, tmp_path)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="from TensorFlow only")
def test_constants_of_layers_stay_constants(tmp_path):
    assert_served(transformer("ViTBackbone", "mlp_dim"), "onnx", tmp_path)


def test_letters_fitted_to_their_ink(tmp_path):
    embedder = conv4_embedder(preprocessor=khp.layers.FitToInk(16))
    raw = np.random.default_rng(2).uniform(0, 50, (5, 20, 24, 3)).astype("float32")
    raw[:, 3:9, 5:13] += 150
    size = (None, None) if BACKEND == "tensorflow" else (20, 24)
    signature = [keras.InputSpec(shape=(None, *size, 3), dtype="float32")]
    assert_served(embedder, SUPPORTED[0], tmp_path, raw, input_signature=signature)


def test_bytes_without_the_preprocessor(tmp_path):
    embedder = conv4_embedder(preprocessor=lambda images: np.asarray(images) / 2)
    path = str(tmp_path / PATHS[SUPPORTED[0]])
    signature = [keras.InputSpec(shape=(None, 16, 16, 3), dtype="uint8")]
    embedder.export(
        path, format=SUPPORTED[0], preprocess=False, input_signature=signature
    )
    pixels = IMAGES.astype("uint8")
    points = served_by(SUPPORTED[0], path, pixels)
    np.testing.assert_allclose(points, embedder.embed(pixels * 2.0), atol=1e-4)


def test_several_inputs_and_no_projection(tmp_path):
    inputs = {name: keras.Input((3,), name=name) for name in ("title", "text")}
    x = keras.layers.Dense(8)(keras.layers.Concatenate()(list(inputs.values())))
    model = khp.models.EmbeddingModel(inputs, khp.layers.Proxies(4)(x))
    values = {"title": tiny.INPUTS[:, :3], "text": tiny.INPUTS[:, 3:]}
    points = keras.ops.convert_to_numpy(served_network(model)(values))
    np.testing.assert_allclose(points, model.embed(values), atol=1e-6)
    path = tmp_path / PATHS[SUPPORTED[0]]
    model.export(path, format=SUPPORTED[0])
    assert path.exists()


def test_no_proxies_are_exported_and_training_goes_on(tmp_path):
    ball = khp.geometry.PoincareBall()
    embedder = conv4_embedder(num_classes=50_000, geometry=ball)
    loss = khp.losses.ProxyNCALoss()
    embedder.compile("sgd", loss=loss, run_eagerly=tiny.EAGERLY)
    before = embedder.embed(IMAGES)

    embedder.export(tmp_path / PATHS[SUPPORTED[0]], format=SUPPORTED[0])
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert size < 50_000 * 8 * 4 / 4
    kept = {id(variable) for variable in served_network(embedder).weights}
    left_out = [*embedder.proxies.weights, *embedder.latent.weights]
    assert kept == {id(v) for v in embedder.weights} - {id(v) for v in left_out}

    np.testing.assert_array_equal(embedder.embed(IMAGES), before)
    embedder.fit(IMAGES, np.arange(5), verbose=0)
    after = embedder.embed(IMAGES)
    assert np.abs(after - before).max() > 1e-6
    embedder.save(tmp_path / "trained.keras")
    loaded = keras.saving.load_model(tmp_path / "trained.keras")
    np.testing.assert_allclose(loaded.embed(IMAGES), after, atol=1e-6)


# What is refused


@pytest.mark.parametrize("format", [f for f in FORMATS if f not in SUPPORTED])
def test_formats_that_the_backend_does_not_export(format, tmp_path):
    with pytest.raises(ValueError, match=f"{format}.*KERAS_BACKEND=tensorflow"):
        conv4_embedder().export(tmp_path / PATHS[format], format=format)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(BACKEND != "torch", reason="a gap of PyTorch's exporter")
def test_a_transformer_from_pytorch(tmp_path):
    with pytest.raises(ValueError, match="LayerNormalization.*=tensorflow"):
        transformer().export(tmp_path / "model.onnx", format="onnx")


@pytest.mark.skipif(BACKEND != "jax", reason="a gap of JAX's exporter")
def test_a_preprocessor_of_keras_hub_from_jax(tmp_path):
    preprocessor = keras_hub.layers.ImageConverter(scale=1 / 2)
    embedder = conv4_embedder(preprocessor=preprocessor)
    with pytest.raises(ValueError, match="image converters.*=tensorflow.*=False"):
        embedder.export(tmp_path / "served")
    embedder.export(tmp_path / "served", preprocess=False)
    assert (tmp_path / "served").exists()


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow exports any size")
def test_images_of_any_size(tmp_path):
    inputs = keras.Input((None, None, 3))
    backbone = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))
    embedder = khp.models.ImageEmbedder(backbone)
    with pytest.raises(ValueError, match="of one size.*input_signature"):
        embedder.export(tmp_path / PATHS[SUPPORTED[0]], format=SUPPORTED[0])


def test_an_unknown_format(tmp_path):
    with pytest.raises(ValueError, match="'litert'.*format='openvino'"):
        conv4_embedder().export(tmp_path / "model.xml", format="openvino")


def test_a_preprocessor_that_cannot_be_traced(tmp_path):
    embedder = conv4_embedder(preprocessor=lambda images: np.asarray(images) / 2)
    with pytest.raises(ValueError, match="keras.ops.*preprocess=False"):
        embedder.export(tmp_path / PATHS[SUPPORTED[0]], format=SUPPORTED[0])


@pytest.mark.skipif(BACKEND == "jax", reason="JAX exports half precision")
def test_half_precision(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    embedder = conv4_embedder()
    with pytest.raises(ValueError, match="in bfloat16.*set_weights"):
        embedder.export(tmp_path / "model.onnx", format="onnx")
    keras.config.set_dtype_policy("float32")
    whole = conv4_embedder()
    whole.set_weights(embedder.get_weights())
    np.testing.assert_allclose(whole.embed(IMAGES), embedder.embed(IMAGES), atol=0.05)


@pytest.mark.skipif(BACKEND == "jax", reason="nothing of it is needed")
def test_a_missing_package(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"onnx: pip install .*\[onnx\]"):
        conv4_embedder().export(tmp_path / "model.onnx", format="onnx")


@pytest.mark.host
def test_an_onnx_file_with_an_input_too_many(tmp_path):
    onnx = pytest.importorskip("onnx")
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 3])
        for name in ("inputs", "positions", "points")
    ]
    node = onnx.helper.make_node("Add", ["inputs", "positions"], ["points"])
    graph = onnx.helper.make_graph([node], "graph", values[:2], values[2:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
    inputs = keras.Input((3,))
    with pytest.raises(RuntimeError, match="1 and the file 2, .*'positions'"):
        check_onnx(tmp_path / "model.onnx", keras.Model(inputs, inputs))
