"""Trains, evaluates, embeds and loads presets where no extra can be imported.

    python -m tests.integration.without_extras FOLDER

Nor can TensorFlow, on the other backends.
"""

import os
import pathlib
import sys

import sitecustomize

ABSENT = ("keras_hub", "keras_cv", "keras_nlp", "onnx", "tf2onnx", "onnxruntime")
ABSENT += ("fastapi", "uvicorn", "gradio", "python_multipart")
ABSENT += ("networkx", "huggingface_hub", "kagglehub", "ai_edge_litert")
ABSENT += ("pymilvus", "milvus_lite")
if os.environ["KERAS_BACKEND"] != "tensorflow":
    ABSENT += ("tensorflow",)

# Backends look for some of them by themselves.
sitecustomize.absent.update(ABSENT)

import keras  # noqa: E402
import numpy as np  # noqa: E402

import hierproxy  # noqa: E402
import keras_hierproxy as khp  # noqa: E402
from tests.integration import runs  # noqa: E402
from tests.photos import write_photos  # noqa: E402


def command(*words):
    sys.argv = ["hierproxy", *map(str, words)]
    try:
        hierproxy.main()
    except SystemExit as end:
        return end.code or 0
    return 0


def by_command(folder):
    photos, run = folder / "photos", folder / "run"
    write_photos(photos, "abcdef")
    data = ("--data", photos, "--image-size", 16, "--from-scratch")
    assert command("train", *data, "--epochs", 1, "--output", run) == 0
    assert command("evaluate", run, "--data", photos) == 0
    assert command("embed", photos, run, "--output", folder / "points") == 0
    assert len(khp.embeddings.load(folder / "points")) == 24
    assert command("search", folder / "points", photos / "a") == 0
    assert command("serve", folder / "points") == 2


def by_hand(folder):
    """Training, `.keras` files, presets, arrays of images and labels."""
    data = runs.images()
    embedder = runs.compiled(runs.image_embedder())
    history = runs.fit_images(embedder, 2).history
    assert np.isfinite(history["loss"]).all()
    assert "val_recall@1" in history
    points = embedder.embed(data.images)

    embedder.save(folder / "embedder.keras")
    loaded = keras.models.load_model(folder / "embedder.keras")
    np.testing.assert_allclose(loaded.embed(data.images), points, atol=1e-6)
    runs.fit_images(loaded, 3, initial_epoch=2)

    embedder.save_to_preset(folder / "preset")
    preset = khp.models.ImageEmbedder.from_preset(folder / "preset", num_classes=5)
    np.testing.assert_allclose(preset.embed(data.images), points, atol=1e-6)
    few = data.labels[:, 0] < 5
    preset.compile(loss=khp.losses.ProxyAnchorLoss())
    preset.fit(data.images[few], data.labels[few, 0], epochs=1, verbose=0)


def by_preset():
    load = khp.models.ImageEmbedder.from_preset
    for name in khp.zoo.list_presets():
        if "cnn" not in name:
            continue
        reference = np.load(khp.shipped.preset_folder(name) / "reference.npz")
        points = load(name).embed(reference["images"])
        np.testing.assert_allclose(points, reference["embeddings"], atol=1e-4)
    for preset, extra in [
        ("so_deit_glyphs", "hub"),
        ("resnet_18_imagenet", "hub"),
        ("kaggle://someone/net/keras/small", "hub"),
        ("hf://someone/net", "huggingface"),
    ]:
        try:
            load(preset)
        except (ImportError, ValueError) as error:
            assert f"pip install 'keras-hierproxy[{extra}]'" in str(error), error
        else:
            raise AssertionError(f"{preset} needs the extra {extra}")


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    by_command(folder)
    if "tensorflow" in ABSENT:
        by_hand(folder)
    by_preset()
    assert not {each.partition(".")[0] for each in sys.modules} & set(ABSENT)
