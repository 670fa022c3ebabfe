"""Image embedders: any backbone, pooling, and what is done to images before."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import keras_hub, tiny

BACKEND = keras.backend.backend()
FEATURES = np.random.default_rng(2).normal(size=(5, 4, 4, 3)).astype("float32")


@keras.saving.register_keras_serializable("tests")
def halved(images):
    return np.asarray(images) / 2


def backbone_of(output_shape):
    """A backbone that only reshapes its images."""
    inputs = keras.Input((4, 4, 3))
    return keras.Model(inputs, keras.layers.Reshape(output_shape)(inputs))


def conv4_embedder(**options):
    settings = {"num_classes": tiny.NUM_CLASSES, "embedding_dim": 8} | options
    backbone = khp.models.conv4((16, 16, 3), filters=2)
    return khp.models.ImageEmbedder(backbone, **settings)


def compiled(embedder, loss=None, **options):
    loss = loss or khp.losses.ProxyNCALoss()
    embedder.compile("sgd", loss=loss, run_eagerly=tiny.EAGERLY, **options)
    return embedder


def resnet():
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )


def vision_transformer(kind, width):
    return getattr(keras_hub.models, kind)(
        image_shape=(16, 16, 3),
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        **{width: 8},
    )


def mobilenet():
    return keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, include_top=False, weights=None
    )


# Backbones and pooling


@pytest.mark.parametrize(
    "output_shape, pooling, pool",
    [
        ((4, 4, 3), "auto", lambda x: x.mean((1, 2))),
        ((4, 4, 3), "avg", lambda x: x.mean((1, 2))),
        ((4, 4, 3), "max", lambda x: x.max((1, 2))),
        ((4, 4, 3), "avg_max", lambda x: x.mean((1, 2)) + x.max((1, 2))),
        (
            (4, 4, 3),
            "gem",
            lambda x: (np.maximum(x, 1e-6) ** 3).mean((1, 2)) ** (1 / 3),
        ),
        ((16, 3), "auto", lambda x: x[:, 0]),
        ((16, 3), "token", lambda x: x[:, 0]),
        ((16, 3), "avg", lambda x: x.mean(1)),
        ((16, 3), "max", lambda x: x.max(1)),
        ((48,), "auto", lambda x: x),
    ],
)
def test_pooling(output_shape, pooling, pool):
    embedder = khp.models.ImageEmbedder(
        backbone_of(output_shape), embedding_dim=6, pooling=pooling
    )
    kernel, bias = embedder.get_layer("head").get_weights()
    expected = pool(FEATURES.reshape(-1, *output_shape)) @ kernel + bias
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    actual = keras.ops.convert_to_numpy(embedder(FEATURES))
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["avg", "gem"])
@pytest.mark.parametrize(
    "geometry", [khp.geometry.Sphere(), khp.geometry.PoincareBall()]
)
def test_without_a_head_what_is_pooled_is_the_embedding(pooling, geometry, tmp_path):
    embedder = conv4_embedder(embedding_dim=None, pooling=pooling, geometry=geometry)
    assert embedder.head is None and embedder.embedding_dim == 2
    pooled = embedder.get_layer("pooler")(embedder.backbone(tiny.IMAGES))
    expected = keras.ops.convert_to_numpy(geometry.project(pooled))
    points = embedder.embed(tiny.IMAGES)
    np.testing.assert_allclose(points, expected, atol=1e-5)
    embedder.save(tmp_path / "model.keras")
    for other in (
        keras.models.load_model(tmp_path / "model.keras"),
        khp.models.ImageEmbedder.from_config(embedder.get_config()),
        keras.models.clone_model(embedder),
    ):
        assert other.head is None and other.embedding_dim == 2
        other.set_weights(embedder.get_weights())
        np.testing.assert_allclose(other.embed(tiny.IMAGES), points, atol=1e-6)


def test_an_embedder_without_a_head_trains():
    embedder = conv4_embedder(embedding_dim=None)
    embedder.compile(loss=khp.losses.HierProxyLoss(), run_eagerly=tiny.EAGERLY)
    before = tiny.values(embedder.backbone.trainable_variables)
    history = tiny.fit(embedder, tiny.IMAGES, tiny.IMAGE_LABELS, batch_size=12)
    assert np.isfinite(history["loss"]).all()
    after = tiny.values(embedder.backbone.trainable_variables)
    assert any((after[path] != value).any() for path, value in before.items())


@pytest.mark.parametrize(
    "output_shape, pooling, message",
    [
        ((4, 4, 3), "token", "'auto', 'avg', 'max', 'avg_max', 'gem'"),
        ((16, 3), "gem", "'auto', 'token', 'avg', 'max'"),
        ((48,), "avg", r"\('auto',\)"),
        ((4, 2, 2, 3), "auto", "feature map .batch, h, w, c."),
    ],
)
def test_pooling_that_does_not_fit(output_shape, pooling, message):
    with pytest.raises(ValueError, match=message):
        khp.models.ImageEmbedder(backbone_of(output_shape), pooling=pooling)


def test_a_backbone_of_several_outputs():
    inputs = keras.Input((4, 4, 3))
    backbone = keras.Model(inputs, {"p2": inputs, "p3": inputs}, name="pyramid")
    with pytest.raises(ValueError, match="(?s)'pyramid'"):
        khp.models.ImageEmbedder(backbone)


def test_a_residual_network_of_keras_hub_trains():
    converter = keras_hub.layers.ImageConverter(image_size=(8, 8), scale=1 / 255)
    embedder = khp.models.ImageEmbedder(resnet(), 4, converter, embedding_dim=8)
    embedder.compile(loss=khp.losses.HierProxyLoss(), run_eagerly=tiny.EAGERLY)
    before = tiny.values(embedder.trainable_variables)
    tiny.fit(
        embedder,
        tiny.IMAGES,
        tiny.IMAGE_LABELS,
        batch_size=6,
        callbacks=[khp.callbacks.HierarchyUpdate(0)],
    )
    after = tiny.values(embedder.trainable_variables)
    still = [path for path in before if (before[path] == after[path]).all()]
    assert not still
    assert_points(embedder.embed(tiny.IMAGES), (12, 8))


@pytest.mark.parametrize(
    "kind, width", [("ViTBackbone", "mlp_dim"), ("DeiTBackbone", "intermediate_dim")]
)
def test_vision_transformers_of_keras_hub(kind, width):
    embedder = khp.models.ImageEmbedder(
        vision_transformer(kind, width), 4, embedding_dim=8
    )
    images = tiny.IMAGES[:3].astype("float32") / 255
    assert_points(keras.ops.convert_to_numpy(embedder(images)), (3, 8))
    tokens = keras.ops.convert_to_numpy(embedder.backbone(images))
    head = embedder.get_layer("head")
    expected = keras.ops.convert_to_numpy(head(tokens[:, 0]))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    actual = keras.ops.convert_to_numpy(embedder(images))
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.nightly
def test_a_backbone_of_keras_applications():
    embedder = khp.models.ImageEmbedder(mobilenet(), num_classes=4, embedding_dim=8)
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype("float32")
    # At initialisation its activations vanish without batch statistics.
    points = embedder(images, training=True)
    assert_points(keras.ops.convert_to_numpy(points), (2, 8))
    assert embedder.backbone.name.startswith("mobilenetv2")
    embedder.compile(loss=khp.losses.HierProxyLoss())
    assert len(embedder.optimizer.optimizers) == 3


def assert_points(points, shape):
    assert points.shape == shape and points.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-6)


# Proxies


def test_an_embedder_without_proxies():
    embedder = conv4_embedder(num_classes=None)
    assert embedder.proxies is None and embedder.num_classes is None
    with pytest.raises(ValueError, match="gets one with `num_classes=...`"):
        compiled(embedder, khp.losses.ProxyAnchorLoss())
    compiled(embedder, khp.losses.SupConLoss())
    # Any ids will do.
    tiny.fit(embedder, tiny.IMAGES, tiny.IMAGE_LABELS + 50, batch_size=12)
    assert embedder.embed(tiny.IMAGES).shape == (12, 8)


def test_proxies_of_ones_own():
    layer = khp.layers.Proxies(tiny.NUM_CLASSES, centers_per_class=3)
    embedder = conv4_embedder(num_classes=None, proxies=layer)
    assert embedder.proxies is layer
    assert embedder.num_classes == tiny.NUM_CLASSES
    with pytest.raises(ValueError, match="must agree.* 7 and 4"):
        conv4_embedder(num_classes=7, proxies=layer)


def test_the_default_proxies_are_hierarchical():
    embedder = conv4_embedder(num_classes=100)
    assert isinstance(embedder.proxies, khp.layers.HierProxies)
    assert embedder.proxies.level_sizes == (10,)


@pytest.mark.parametrize("pretrained, rate", [(False, 1e-3), (True, 1e-5)])
def test_the_automatic_optimizer(pretrained, rate):
    embedder = conv4_embedder()
    embedder.pretrained = pretrained
    embedder.compile(loss=khp.losses.HierProxyLoss())
    kernel = embedder.backbone.trainable_variables[0]
    actual = embedder.optimizer._optimizer_map(kernel).learning_rate
    assert float(keras.ops.convert_to_numpy(actual)) == pytest.approx(rate)


# Preprocessing


@pytest.mark.parametrize(
    "preprocessor",
    [
        lambda: halved,
        lambda: keras.layers.Rescaling(0.5),
        lambda: keras_hub.layers.ImageConverter(scale=0.5),
    ],
    ids=["function", "layer", "converter"],
)
def test_images_are_preprocessed_once_everywhere(preprocessor):
    embedder = conv4_embedder(preprocessor=preprocessor())
    embedder.compile(
        keras.optimizers.SGD(0.0), khp.losses.ProxyNCALoss(), run_eagerly=tiny.EAGERLY
    )
    # Batch statistics would tell training from evaluation.
    for layer in embedder.backbone.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    x, y, done = tiny.IMAGES, tiny.IMAGE_LABELS, tiny.IMAGES / 2

    expected = keras.ops.convert_to_numpy(embedder(done))
    np.testing.assert_allclose(embedder.embed(x), expected, atol=1e-5)
    np.testing.assert_allclose(embedder.predict(x, verbose=0), expected, atol=1e-5)
    loss = float(keras.ops.convert_to_numpy(embedder.loss(y, embedder(done))))
    assert embedder.evaluate(x, y, 12, verbose=0) == pytest.approx(loss, rel=1e-4)
    history = tiny.fit(embedder, x, y, batch_size=12, validation_data=(x, y))
    assert history["loss"] == pytest.approx([loss], rel=1e-4)
    assert history["val_loss"] == pytest.approx([loss], rel=1e-4)


def test_preprocessed_datasets():
    embedder = conv4_embedder(preprocessor=keras.layers.Rescaling(0.5))
    compiled(embedder)
    x, y = tiny.IMAGES[:8], tiny.IMAGE_LABELS[:8]
    loss = embedder.evaluate(x, y, 8, verbose=0)
    points = embedder.embed(x)
    for data in datasets(x, y):
        evaluated = data() if callable(data) else data
        assert embedder.evaluate(evaluated, verbose=0) == pytest.approx(loss, rel=1e-4)
        embedded = data() if callable(data) else data
        np.testing.assert_allclose(embedder.embed(embedded), points, atol=1e-5)
    # All kinds go together.
    for data in datasets(x, y):
        trained = data() if callable(data) else data
        tiny.fit(embedder, trained, None, validation_data=(x, y))
        validated = data() if callable(data) else data
        tiny.fit(embedder, x, y, validation_data=validated)


def datasets(x, y):
    """One batch as what Keras takes on every backend."""
    import tensorflow as tf
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    batches = tiny.Batches(x, y)
    tensors = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return [
        batches,
        lambda: (batches[i] for i in range(1)),
        tf.data.Dataset.from_tensor_slices((x, y)).batch(8),
        DataLoader(tensors, batch_size=8),
    ]


def test_single_batches_are_preprocessed():
    embedder = compiled(conv4_embedder(preprocessor=halved))
    x, y = tiny.IMAGES, tiny.IMAGE_LABELS
    expected = embedder.evaluate(x, y, 12, verbose=0)
    assert embedder.test_on_batch(x, y) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(
        embedder.predict_on_batch(x), embedder.predict(x, verbose=0), atol=1e-5
    )


def test_a_function_is_saved_with_the_model(tmp_path):
    embedder = conv4_embedder(preprocessor=halved)
    embedder.pretrained = True
    embedder.save(tmp_path / "embedder.keras")
    loaded = keras.models.load_model(tmp_path / "embedder.keras")
    assert loaded.preprocessor is halved
    assert loaded.pretrained
    np.testing.assert_array_equal(
        loaded.embed(tiny.IMAGES), embedder.embed(tiny.IMAGES)
    )


def test_conv4():
    backbone = khp.models.conv4((32, 48, 1), filters=5)
    assert backbone.output_shape == (None, 2, 3, 5)
    with pytest.raises(ValueError, match="at least 16"):
        khp.models.conv4((15, 32, 1))
    with pytest.raises(ValueError, match="height, width, channels"):
        khp.models.conv4((32, 32))


def test_conv4_of_widening_blocks():
    backbone = khp.models.conv4((16, 16, 3), filters=(2, 3, 4, 5))
    assert backbone.output_shape == (None, 1, 1, 5)
    with pytest.raises(ValueError, match="each of the 4 blocks"):
        khp.models.conv4(filters=(2, 3))


# Images that the network does not take


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((2, 16, 16, 3), 'color_mode="grayscale"'),
        ((2, 20, 16, 1), r"image_size=\(16, 16\)"),
        ((2, 16, 16), r"images\[..., None\]"),
        ((16, 16, 1), r"image\[None\]"),
    ],
)
@pytest.mark.parametrize("preprocessor", [None, keras.layers.Rescaling(1 / 2)])
def test_images_of_another_shape(shape, remedy, preprocessor):
    embedder = khp.models.ImageEmbedder(
        khp.models.conv4((16, 16, 1), (4, 4, 4, 4)), 2, preprocessor
    )
    embedder.compile(loss=khp.losses.ProxyNCALoss())
    images = np.zeros((2, 16, 16, 1), "float32")
    before = embedder.embed(images)
    wrong = np.zeros(shape, "float32")
    message = rf"takes images of shape \(n, 16, 16, 1\).*{remedy}"
    for use in (embedder.embed, embedder.predict, embedder.embed_on_batch):
        with pytest.raises(ValueError, match=message):
            use(wrong)
    with pytest.raises(ValueError, match=message):
        embedder.fit(wrong, np.zeros(len(wrong), int), verbose=0)
    np.testing.assert_array_equal(embedder.embed(images), before)


@pytest.mark.parametrize("bad", [0, 1])
def test_an_image_that_cannot_be_read_costs_no_weights(bad):
    class Photos(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            if index == bad:
                raise OSError("a broken photo")
            return np.zeros((2, 16, 16, 3), "float32"), np.zeros(2, int)

    embedder = compiled(conv4_embedder())
    images = np.zeros((2, 16, 16, 3), "float32")
    before = embedder.embed(images)
    weights = embedder.get_weights()
    for use in (embedder.embed, embedder.evaluate):
        with pytest.raises(OSError, match="a broken photo"):
            use(Photos())
    for value, old in zip(embedder.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(value, old)
    np.testing.assert_array_equal(embedder.embed(images), before)
    # After a first run Keras knows the model, and reads no batch ahead.
    embedder.fit(images, np.zeros(2, int), verbose=0)
    with pytest.raises(OSError, match="a broken photo"):
        embedder.fit(Photos(), shuffle=False, verbose=0)
    assert np.isfinite(embedder.embed(images)).all()
    embedder.fit(images, np.zeros(2, int), verbose=0)
