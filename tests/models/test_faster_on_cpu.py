import contextlib

import keras
import numpy as np
import pytest
from keras import layers

import keras_hierproxy as khp
from keras_hierproxy.keras_internals import all_layers
from keras_hierproxy.models.faster_on_cpu import faster_on_cpu
from tests.gradients import value_and_gradients

X = np.random.default_rng(0).normal(1, 2, (5, 9, 8, 4)).astype("float32")
BACKEND = keras.config.backend()

ON_JAX = [
    layers.DepthwiseConv2D(3, padding="same", activation="relu6"),
    layers.DepthwiseConv2D((5, 2), 2, "same", use_bias=False),
    layers.DepthwiseConv2D(3, 3, "valid"),
    layers.DepthwiseConv2D(3, padding="same", dilation_rate=(1, 2)),
    layers.DepthwiseConv2D(1, 2, "same"),
    # Left to Keras in the end.
    layers.DepthwiseConv2D(3, 2, "same", depth_multiplier=2),
    layers.DepthwiseConv2D(3, padding="same", dtype="mixed_bfloat16"),
]
ON_TORCH = [
    *ON_JAX,
    layers.Conv2D(6, 3, padding="same", activation="relu"),
    layers.Conv2D(6, (3, 2), strides=2, padding="same", use_bias=False),
    layers.Conv2D(6, 3, dilation_rate=2, activation="softmax"),
    layers.Conv2D(6, 3, groups=2),
    layers.MaxPooling2D(),
    layers.MaxPooling2D(3, 2, "same"),
    layers.AveragePooling2D(3, 2, "same"),
    layers.BatchNormalization(epsilon=1e-2, momentum=0.9),
    layers.BatchNormalization(axis=3),
    layers.BatchNormalization(dtype="mixed_bfloat16"),
]
# Left as they are.
OTHERS = [
    layers.Conv2D(6, 3, data_format="channels_first"),
    layers.BatchNormalization(axis=1),
    layers.BatchNormalization(scale=False),
    layers.BatchNormalization(center=False),
    layers.BatchNormalization(renorm=True),
    layers.DepthwiseConv2D(3, data_format="channels_first"),
]
FASTER = {"torch": ON_TORCH, "jax": ON_JAX}.get(BACKEND, [])


def computed(layer, context):
    """Output, gradients and statistics of a fresh copy of a layer."""
    model = keras.Sequential(
        [keras.Input(X.shape[1:]), type(layer).from_config(layer.get_config())]
    )
    model.compile(jit_compile=False)
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.5, 2, w.shape) for w in model.weights])
    weights = rng.normal(size=(len(X), *model.output_shape[1:])).astype("float32")
    weights = keras.ops.convert_to_tensor(weights)

    def value(x):
        outputs = keras.ops.cast(model(x, training=True), "float32")
        return keras.ops.sum(outputs * weights)

    with context(model):
        changed = "call" in vars(model.layers[0])
        outputs = keras.ops.convert_to_numpy(model(X, training=True))
        _, by_inputs, by_weights = value_and_gradients(
            value, [X], model.trainable_variables
        )
    assert not any("call" in vars(each) for each in all_layers(model))
    statistics = [weight.numpy() for weight in model.non_trainable_variables]
    return changed, [outputs, *by_inputs, *by_weights, *statistics]


@pytest.mark.parametrize("layer", [*ON_TORCH, *OTHERS], ids=lambda each: each.name)
def test_computes_what_keras_does(layer):
    if layer not in [*FASTER, *OTHERS]:
        pytest.skip("is left as it is here")
    try:
        _, expected = computed(layer, lambda model: contextlib.nullcontext())
    except Exception as error:
        if "only supports the NHWC" not in str(error):
            raise
        pytest.skip("TensorFlow has none on a CPU where it leaves oneDNN off")
    changed, actual = computed(layer, faster_on_cpu)
    assert changed == (layer in FASTER)
    tolerance = 1e-2 if layer.compute_dtype == "bfloat16" else 1e-4
    for one, other in zip(actual, expected, strict=True):
        scale = tolerance * max(1, np.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=scale)


def changed_while_fitting():
    """Which of an embedder's layers are others while it trains."""
    embedder = khp.models.ImageEmbedder(
        khp.models.conv4((16, 16, 1), filters=2), num_classes=2, embedding_dim=4
    )
    embedder.compile(loss=khp.losses.ProxyAnchorLoss())
    changed = []
    tell = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: changed.extend(
            type(each).__name__ for each in all_layers(embedder) if "call" in vars(each)
        )
    )
    images = np.zeros((4, 16, 16, 1), "float32")
    embedder.fit(images, np.arange(4) % 2, verbose=0, callbacks=[tell])
    assert not any("call" in vars(each) for each in all_layers(embedder))
    return changed


def test_an_embedder_is_faster_while_it_trains():
    kinds = (
        4 * ["BatchNormalization", "Conv2D", "MaxPooling2D"]
        if BACKEND == "torch"
        else []
    )
    assert sorted(changed_while_fitting()) == sorted(kinds)


@pytest.mark.parametrize(
    "run",
    [
        lambda embedder, x: embedder.embed(x),
        lambda embedder, x: embedder.predict_on_batch(x),
        lambda embedder, x: embedder.embed_on_batch(x),
        lambda embedder, x: embedder.evaluate(x, np.arange(len(x)) % 2, verbose=0),
    ],
    ids=["embed", "predict_on_batch", "embed_on_batch", "evaluate"],
)
def test_an_embedder_is_faster_while_it_embeds(run, monkeypatch):
    embedder = khp.models.ImageEmbedder(
        khp.models.conv4((16, 16, 1), filters=2), num_classes=2, embedding_dim=4
    )
    embedder.compile(loss=khp.losses.ProxyAnchorLoss())
    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 1))
    contexts = []

    @contextlib.contextmanager
    def none(model):
        contexts.append(model)
        yield

    actual = run(embedder, images.astype("float32"))
    monkeypatch.setattr("keras_hierproxy.models.embedder.faster_on_cpu", none)
    expected = run(embedder, images.astype("float32"))
    assert contexts == [embedder]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_layers_are_as_before_after_an_error():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.MaxPooling2D()])
    model.compile(jit_compile=False)
    with pytest.raises(KeyboardInterrupt), faster_on_cpu(model):
        raise KeyboardInterrupt
    assert "call" not in vars(model.layers[0])


def test_layers_of_ones_own_are_left():
    class Own(layers.MaxPooling2D):
        pass

    model = keras.Sequential([keras.Input((4, 4, 1)), Own()])
    model.compile(jit_compile=False)
    with faster_on_cpu(model):
        assert "call" not in vars(model.layers[0])


def test_frozen_and_predicting_normalization_uses_its_statistics():
    model = keras.Sequential([keras.Input(X.shape[1:]), layers.BatchNormalization()])
    model.compile(jit_compile=False)
    with faster_on_cpu(model):
        expected = keras.ops.convert_to_numpy(model(X, training=False))
        model.layers[0].trainable = False
        actual = keras.ops.convert_to_numpy(model(X, training=True))
    np.testing.assert_array_equal(actual, expected)
    assert not model.layers[0].moving_mean.numpy().any()


def test_pieces_are_more_than_one(monkeypatch):
    monkeypatch.setattr("keras_hierproxy.models.faster_on_cpu._PIECE_SIZE", 600)
    test_computes_what_keras_does(ON_TORCH[-3])
