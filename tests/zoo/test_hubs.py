"""Backbones of keras-hub, timm and keras-cv by name; hubs that cannot be reached."""

import contextlib
import json
import pathlib

import huggingface_hub
import kagglehub
import keras
import numpy as np
import pytest
import requests
from huggingface_hub.errors import LocalEntryNotFoundError
from kagglehub.exceptions import KaggleApiHTTPError

import keras_hierproxy as khp
from tests import keras_hub, tiny
from tests.models.test_image_embedder import mobilenet, resnet, vision_transformer
from tests.photos import write_photos

ImageEmbedder = khp.models.ImageEmbedder
DEIT = "deit_small_distilled_patch16_224_imagenet"
once = pytest.mark.host


@pytest.fixture(scope="module")
def deit(tmp_path_factory):
    """A little DeiT, and what Kaggle would send: a classifier's preset."""
    keras.utils.set_random_seed(0)
    classifier = keras_hub.models.DeiTImageClassifier(
        vision_transformer("DeiTBackbone", "intermediate_dim"),
        num_classes=3,
        preprocessor=keras_hub.models.DeiTImageClassifierPreprocessor(
            keras_hub.layers.DeiTImageConverter(image_size=(16, 16), scale=1 / 255)
        ),
    )
    folder = tmp_path_factory.mktemp("hub")
    classifier.save_to_preset(str(folder))
    return classifier.backbone, folder


@pytest.fixture
def kaggle(monkeypatch, deit):
    """Kaggle as it answers; the list of the handles that were asked for."""
    asked = []

    def download(handle, path):
        asked.append(handle)
        if not (deit[1] / path).exists():
            raise KaggleApiHTTPError("404 Client Error.")
        return str(deit[1] / path)

    monkeypatch.setattr(kagglehub, "model_download", download)
    return asked


@pytest.mark.parametrize("name", [DEIT, "kaggle://someone/deit/keras/small/2"])
def test_a_name_of_keras_hub(kaggle, deit, name):
    embedder = ImageEmbedder.from_preset(name, num_classes=100, embedding_dim=384)
    assert type(embedder.backbone) is keras_hub.models.DeiTBackbone
    weights = tiny.values(deit[0].weights)
    for path, value in tiny.values(embedder.backbone.weights).items():
        np.testing.assert_array_equal(value, weights[path], err_msg=path)
    assert embedder.preprocessor.image_size == (16, 16)
    assert embedder.proxies.proxies.shape == (100, 384)
    assert embedder.pretrained
    assert embedder.embed(tiny.IMAGES).shape == (12, 384)
    builtin = keras_hub.models.Backbone.presets.get(name, {"kaggle_handle": name})
    assert {"kaggle://" + handle for handle in kaggle} == {builtin["kaggle_handle"]}


def test_a_handle_of_hugging_face(monkeypatch, deit):
    def download(repo_id, filename):
        assert repo_id == "someone/deit"
        if not (deit[1] / filename).exists():
            raise huggingface_hub.errors.EntryNotFoundError("404")
        return str(deit[1] / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    embedder = ImageEmbedder.from_preset("hf://someone/deit", num_classes=5)
    assert embedder.embed(tiny.IMAGES).shape == (12, 128)


def test_the_class_token_is_the_first_of_two(deit):
    """DeiT's second token is the one that is distilled."""
    embedder = ImageEmbedder.from_preset(deit[1], preprocessor=None)
    images = tiny.IMAGES / np.float32(255)
    tokens = keras.ops.convert_to_numpy(embedder.backbone(images))
    assert tokens.shape[1] == 2 + (16 // 8) ** 2
    # What tells them apart is in the model, not in the order of the patches.
    (first,) = (w for w in embedder.backbone.weights if w.path.endswith("/class_token"))
    first.assign(first + 10)
    moved = keras.ops.convert_to_numpy(embedder.backbone(images))
    change = np.abs(moved - tokens).mean((0, 2))
    assert change.argmax() == 0


# Backbones of every kind


def dino(kind, **options):
    return getattr(keras_hub.models, kind)(
        patch_size=14,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
        intermediate_dim=8,
        image_shape=(28, 28, 3),
        **options,
    )


def swin():
    return keras_hub.models.SwinTransformerBackbone(
        image_shape=(32, 32, 3),
        embed_dim=8,
        depths=(1, 1),
        num_heads=(2, 2),
        window_size=4,
    )


def hgnet():
    return keras_hub.models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[8, 16],
        stem_channels=[3, 4, 8],
        hidden_act="relu",
        use_learnable_affine_block=False,
        stackwise_stage_filters=[(8, 8, 8, 1, 1, 3), (8, 8, 16, 1, 1, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, False],
        image_shape=(32, 32, 3),
    )


def vit_without_class_token():
    return keras_hub.models.ViTBackbone(
        image_shape=(16, 16, 3),
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=8,
        use_class_token=False,
    )


def keras_cv_mobilenet(side):
    from keras_cv.models import MobileNetV3Backbone

    return MobileNetV3Backbone(
        stackwise_expansion=[1],
        stackwise_filters=[16],
        stackwise_kernel_size=[3],
        stackwise_stride=[2],
        stackwise_se_ratio=[0.25],
        stackwise_activation=["hard_swish"],
        include_rescaling=True,
        input_shape=(side, side, 3),
    )


def keras_cv_densenet():
    from keras_cv.models import DenseNetBackbone

    return DenseNetBackbone(
        stackwise_num_repeats=[1, 1],
        growth_rate=8,
        include_rescaling=True,
        input_shape=(32, 32, 3),
    )


BACKBONES = {
    "dinov2": lambda: dino("DINOV2Backbone", position_embedding_shape=(28, 28)),
    "dinov3": lambda: dino("DINOV3Backbone"),
    "swin": swin,
    "hgnet": hgnet,
    "vit without class token": vit_without_class_token,
    "keras.applications": mobilenet,
    "keras-cv": lambda: keras_cv_mobilenet(32),
    "keras-cv, any size": lambda: keras_cv_mobilenet(None),
    "keras-cv, dense": keras_cv_densenet,
}


@pytest.mark.nightly
@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_embed_and_come_back(name, tmp_path):
    embedder = ImageEmbedder(BACKBONES[name](), num_classes=4, embedding_dim=8)
    side = embedder.input_shape[1] or 32
    images = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), "uint8")
    # The others train no differently. At initialisation, and without statistics of
    # batches, MobileNetV2's activations vanish.
    if name in ("dinov2", "keras-cv", "keras.applications"):
        embedder.compile(loss=khp.losses.ProxyNCALoss(), run_eagerly=tiny.EAGERLY)
        tiny.fit(embedder, images, np.arange(4), batch_size=4)
    points = embedder.embed(images)
    assert points.shape == (4, 8)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-5)
    embedder.save_to_preset(tmp_path)
    again = ImageEmbedder.from_preset(tmp_path)
    np.testing.assert_allclose(again.embed(images), points, atol=1e-6)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name, pool",
    [
        ("swin", lambda x: x.mean(1)),
        ("vit without class token", lambda x: x.mean(1)),
        ("dinov2", lambda x: x[:, 0]),
        ("hgnet", lambda x: x["stage2"].mean((1, 2))),
    ],
)
def test_what_is_pooled(name, pool):
    backbone = BACKBONES[name]()
    embedder = ImageEmbedder(backbone, embedding_dim=8)
    side = embedder.input_shape[1]
    images = np.random.default_rng(0).random((2, side, side, 3), "float32")
    inputs = images
    if isinstance(backbone.input, dict):
        inputs = dict.fromkeys(backbone.input, images)
    features = keras.tree.map_structure(keras.ops.convert_to_numpy, backbone(inputs))
    kernel, bias = embedder.get_layer("head").get_weights()
    expected = pool(features) @ kernel + bias
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed(images), expected, atol=1e-5)


def test_tokens_have_no_data_format():
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(3, 16, 16),
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=6,
        mlp_dim=8,
        data_format="channels_first",
    )
    embedder = ImageEmbedder(backbone, embedding_dim=8, pooling="avg")
    assert embedder.get_layer("pooler").output.shape == (None, 6)


@once
@pytest.mark.parametrize(
    "backbone", ["resnet_18_imagenet", None, keras.Sequential(), keras.layers.Flatten()]
)
def test_what_is_no_backbone(backbone):
    with pytest.raises(ValueError, match="must be a built `keras.Model` of images"):
        ImageEmbedder(backbone)


@once
def test_a_backbone_of_two_inputs():
    inputs = [keras.Input((4, 4, 3), name=name) for name in ("left", "right")]
    backbone = keras.Model(inputs, keras.layers.Add()(inputs), name="pair")
    with pytest.raises(ValueError, match="'pair' with 2: left, right"):
        ImageEmbedder(backbone)


@once
def test_an_argument_that_there_is_not():
    with pytest.raises(TypeError, match="num_clases"):
        ImageEmbedder(resnet(), num_clases=3)


@once
def test_a_model_of_timm(tmp_path):
    config = {
        "architecture": "resnet18",
        "num_classes": 1000,
        "pretrained_cfg": {
            "input_size": [3, 48, 48],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    embedder = ImageEmbedder.from_preset(tmp_path, load_weights=False, num_classes=3)
    assert type(embedder.backbone) is keras_hub.models.ResNetBackbone
    assert embedder.preprocessor.image_size == (48, 48)
    # Only safetensors are read, no pickles.
    (tmp_path / "pytorch_model.bin").touch()
    # keras-hub asks for the package first.
    with pytest.raises((ValueError, ImportError), match="safetensors"):
        ImageEmbedder.from_preset(tmp_path)


@once
def test_keras_cvs_resnet_v2_is_refused(tmp_path):
    name = "keras_cv.models>ResNetV2Backbone"
    config = {"registered_name": name, "class_name": "ResNetV2Backbone", "config": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="cannot be built on Keras 3.15"):
        ImageEmbedder.from_preset(tmp_path)


# No way to the hub


def response(status):
    answer = requests.Response()
    answer.status_code = status
    answer.request = requests.Request("GET", "https://hub").prepare()
    return answer


@contextlib.contextmanager
def raises_connection_error(*parts):
    with pytest.raises(ConnectionError) as caught:
        yield caught
    (line,) = str(caught.value).splitlines()
    for part in parts:
        assert part in line
    assert caught.value.__cause__ is not None


@once
@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ConnectionError("Name or service not known\nmore"),
        requests.exceptions.ReadTimeout("too slow"),
        KaggleApiHTTPError("500 Server Error", response=response(500)),
        KaggleApiHTTPError("403 Client Error", response=response(403)),
    ],
    ids=lambda error: str(error)[:8],
)
def test_kaggle_cannot_be_reached(monkeypatch, error):
    def download(handle, path):
        raise error

    monkeypatch.setattr(kagglehub, "model_download", download)
    with raises_connection_error(DEIT, "is known to keras-hub, but could not be"):
        ImageEmbedder.from_preset(DEIT)
    with raises_connection_error("kaggle://a/b/keras/c", "handle right"):
        ImageEmbedder.from_preset("kaggle://a/b/keras/c")


@once
@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("nothing in the cache, and no connection"),
        requests.exceptions.ConnectionError("no route"),
    ],
)
def test_hugging_face_cannot_be_reached(monkeypatch, error):
    def download(repo_id, filename):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with raises_connection_error("hf://someone/net", str(error), "handle right"):
        ImageEmbedder.from_preset("hf://someone/net")


@once
@pytest.mark.parametrize(
    "handle, message",
    [
        ("kaggle://someone", "should have the form kaggle://"),
        ("hf://a/b/c", "should have the form 'hf://"),
        ("deit_smal_distilled_patch16_224_imagenet", f"Did you mean '{DEIT}'"),
        ("ftp://somewhere", "no preset and no folder 'ftp://somewhere'"),
    ],
)
def test_names_that_cannot_be(handle, message):
    with pytest.raises(ValueError, match=message):
        ImageEmbedder.from_preset(handle)


@once
def test_a_hub_without_such_a_model(monkeypatch):
    def download(handle, path):
        raise KaggleApiHTTPError("404 Client Error", response=response(404))

    monkeypatch.setattr(kagglehub, "model_download", download)
    with pytest.raises(ValueError, match="no preset at 'kaggle://a/b/keras/c'"):
        ImageEmbedder.from_preset("kaggle://a/b/keras/c")


@once
def test_the_command_says_it_in_one_line(call, monkeypatch, tmp_path):
    def download(handle, path):
        raise requests.exceptions.ConnectionError("Name or service not known\nmore")

    monkeypatch.setattr(kagglehub, "model_download", download)
    write_photos(pathlib.Path("photos"), "abcdef")
    options = ("--data", "photos", "--image-size", 16)
    code, _, stderr = call("train", *options, "--preset", DEIT)
    (line,) = stderr.splitlines()
    assert code == 2 and line.startswith(f"Error: The preset '{DEIT}' is known")


def test_a_backbone_whose_layers_are_numbered_goes_on_training(tmp_path):
    """keras-cv leaves some without a name; the rates are the groups' all the same."""
    embedder = ImageEmbedder(keras_cv_mobilenet(32), num_classes=4, embedding_dim=8)
    optimizer = khp.optimizers.grouped(embedder, backbone=1e-3, head=1e-4)
    embedder.compile(optimizer, khp.losses.ProxyNCALoss(), run_eagerly=tiny.EAGERLY)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), "uint8")
    tiny.fit(embedder, images, np.arange(4), batch_size=4)
    embedder.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    paths = [{weight.path for weight in m.weights} for m in (embedder, again)]
    assert paths[0] != paths[1], "else there is nothing to see here"
    rates = [
        [
            float(m.optimizer._optimizer_map(v).learning_rate)
            for v in m.trainable_variables
        ]
        for m in (embedder, again)
    ]
    assert rates[0] == rates[1] and len(set(rates[0])) == 3
    moments = [
        [keras.ops.convert_to_numpy(v) for v in m.optimizer.variables]
        for m in (embedder, again)
    ]
    for here, there in zip(*moments, strict=True):
        np.testing.assert_array_equal(here, there)
