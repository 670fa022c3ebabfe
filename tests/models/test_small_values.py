"""Images in [0, 1] under a preprocessor that takes [0, 255] are told."""

import warnings

import keras
import numpy as np
import pytest

import keras_hierproxy as khp

PHOTOS = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3)).astype("uint8")
UNIT = (PHOTOS / 255).astype("float32")
LABELS = np.arange(6) // 2


def embedder(preprocessor):
    backbone = khp.models.conv4((16, 16, 3), filters=4)
    return khp.models.ImageEmbedder(
        backbone, num_classes=3, embedding_dim=4, preprocessor=preprocessor
    )


def told(action):
    """How often `action` warns of small values."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return sum("takes 0 to 255" in str(warning.message) for warning in caught)


class Given(keras.utils.PyDataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(2 * index, 2 * index + 2)
        return self.images[rows], LABELS[rows]


@pytest.fixture(scope="module")
def model():
    model = embedder(keras.layers.Rescaling(1 / 255))
    model.compile("sgd", khp.losses.ProxyAnchorLoss())
    return model


@pytest.mark.parametrize(
    "door",
    [
        lambda model, x: model.fit(x, LABELS, epochs=2, verbose=0),
        lambda model, x: model.fit(Given(x), verbose=0),
        lambda model, x: model.evaluate(x, LABELS, verbose=0),
        lambda model, x: model.predict(x, verbose=0),
        lambda model, x: model.embed(x, batch_size=2),
        lambda model, x: model.embed_on_batch(x),
    ],
    ids=["fit", "fit a PyDataset", "evaluate", "predict", "embed", "embed_on_batch"],
)
def test_every_door_tells_once(model, door):
    assert told(lambda: door(model, UNIT)) == 1
    assert told(lambda: door(model, PHOTOS)) == 0


@pytest.mark.parametrize(
    ("images", "count"),
    [
        (2 * UNIT - 1, 1),
        (UNIT.astype("float16"), 1),
        ((UNIT > 0.5).astype("uint8"), 1),
        (UNIT > 0.5, 1),
        (np.zeros_like(UNIT), 0),
        (np.zeros_like(PHOTOS), 0),
        (UNIT * 2, 0),
        (UNIT * 255, 0),
        (np.concatenate([UNIT[:5], UNIT[5:] * 255]), 0),
        (UNIT * np.nan, 0),
    ],
    ids=[
        "in [-1, 1]",
        "float16",
        "uint8 masks",
        "bool",
        "black floats",
        "black",
        "up to 2",
        "up to 255",
        "one up to 255",
        "NaN",
    ],
)
def test_what_is_small(model, images, count):
    assert told(lambda: model.embed(images)) == count


@pytest.mark.parametrize(
    ("preprocessor", "count"),
    [
        (None, 0),
        (keras.layers.Rescaling(2, -1), 0),
        (keras.layers.Normalization(mean=0.5, variance=0.05), 0),
        (khp.layers.FitToInk(16), 1),
        (keras.layers.Rescaling(1 / 127.5, -1), 1),
        (lambda images: np.asarray(images, "float32") / 255, 1),
    ],
    ids=["none", "to [-1, 1]", "normalized", "to ink", "from bytes", "a function"],
)
def test_preprocessors(preprocessor, count):
    model = embedder(preprocessor)
    assert told(lambda: model.embed(UNIT)) == count
