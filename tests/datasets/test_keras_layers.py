"""Keras layers as augmentations, on each backend."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras import layers

from keras_hierproxy.datasets import (
    KerasCVCrop,
    KerasLayers,
    RandomResizedCrop,
    RetrievalDataset,
)

AUGMENTATIONS = {
    "flip": lambda: KerasLayers(layers.RandomFlip("horizontal")),
    "several": lambda: KerasLayers(layers.RandomFlip(), layers.RandomZoom(0.3)),
    "parts": lambda: KerasLayers(
        layers.RandomColorJitter(brightness_factor=0.2, hue_factor=0.1)
    ),
    "pipeline": lambda: KerasLayers(
        layers.Pipeline([layers.RandomFlip(), layers.RandomTranslation(0.2, 0.2)])
    ),
    "not_of_images": lambda: KerasLayers(layers.GaussianNoise(0.5)),
    "keras_cv": lambda: KerasCVCrop((16, 16)),
}


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), "uint8")


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_batch_is_a_function_of_the_generator_alone(name, images):
    """In whatever order and from whatever threads batches are asked for."""
    augment, other = AUGMENTATIONS[name](), AUGMENTATIONS[name]()
    expected = [other(images, np.random.default_rng(seed)) for seed in range(3)]
    assert not (expected[0] == expected[1]).all()
    seeds = [2, 0, 1, 1]
    with ThreadPoolExecutor(3) as pool:
        results = pool.map(lambda s: augment(images, np.random.default_rng(s)), seeds)
        for seed, result in zip(seeds, results, strict=True):
            assert isinstance(result, np.ndarray)
            np.testing.assert_array_equal(result, expected[seed])


@pytest.mark.parametrize("name", ["several", "keras_cv"])
def test_each_image_is_drawn_for_by_itself(name, images):
    alike = np.repeat(images[:1], 12, axis=0)
    result = AUGMENTATIONS[name]()(alike, np.random.default_rng(0))
    assert len({image.tobytes() for image in result}) == 12


def test_flip_is_that_of_keras(images):
    result = AUGMENTATIONS["flip"]()(images, np.random.default_rng(0))
    flipped = (result == images[:, :, ::-1]).all((1, 2, 3))
    kept = (result == images).all((1, 2, 3))
    assert (flipped ^ kept).all() and flipped.any() and kept.any()
    assert result.dtype == np.float32


def test_several_layers_draw_differently(images):
    """The second of two flips does not just undo the first."""
    twice = KerasLayers(layers.RandomFlip("horizontal"), layers.RandomFlip("vertical"))
    result = twice(images, np.random.default_rng(0))
    one_axis = (result == images[:, ::-1]).all((1, 2, 3)) | (
        result == images[:, :, ::-1]
    ).all((1, 2, 3))
    assert one_axis.any()


def test_seeds_of_layers_do_not_count(images):
    first, second = (
        KerasLayers(layers.RandomFlip(seed=seed))(images, np.random.default_rng(0))
        for seed in (1, 2)
    )
    np.testing.assert_array_equal(first, second)


def test_keras_own_random_numbers_are_left_alone(images):
    augment = AUGMENTATIONS["several"]()
    keras.utils.set_random_seed(0)
    expected = keras.ops.convert_to_numpy(keras.random.uniform((4,)))
    keras.utils.set_random_seed(0)
    augment(images, np.random.default_rng(0))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(keras.random.uniform((4,))), expected
    )


def test_layers_without_draws(images):
    augment = KerasLayers(layers.CenterCrop(8, 8), layers.Rescaling(1 / 255))
    result = augment(images, np.random.default_rng(0))
    np.testing.assert_allclose(result, images[:, 4:12, 4:12] / 255, atol=1e-6)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("name", ["several", "parts"])
def test_batches_do_not_depend_on_workers_nor_on_a_resumption(name, workers, images):
    data = RetrievalDataset(images, np.arange(12) // 2)

    def batches(augment, workers):
        augment = [RandomResizedCrop(), augment]
        return data.batches(4, augment=augment, workers=workers)

    whole = batches(AUGMENTATIONS[name](), workers)
    for whole.epoch in range(2):
        resumed = batches(AUGMENTATIONS[name](), 0)
        resumed.epoch = whole.epoch
        for (result, _), (expected, _) in zip(whole, resumed, strict=True):
            np.testing.assert_array_equal(result, expected)


def test_batches_are_pickled_in_use(images):
    data = RetrievalDataset(images, np.arange(12) // 2)
    batches = data.batches(4, augment=AUGMENTATIONS["flip"](), workers=1)
    expected, _ = batches[1]
    copy = pickle.loads(pickle.dumps(batches))
    np.testing.assert_array_equal(copy[1][0], expected)


class DrawsAnew(layers.Layer):
    """Makes its seed generator when it is built."""

    def build(self, input_shape):
        self.generator = keras.random.SeedGenerator(1)

    def call(self, images):
        noise = keras.random.uniform(keras.ops.shape(images), seed=self.generator)
        return images + noise


def test_layers_of_your_own(images):
    augment = KerasLayers(DrawsAnew())
    first, second, again = (
        augment(images.astype("float32"), np.random.default_rng(seed))
        for seed in (0, 1, 0)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.RandomFlip, "KerasLayers takes layers.* Received: <class"),
        (layers.MixUp(), "MixUp mixes images of different classes"),
        (layers.Pipeline([layers.CutMix()]), "CutMix mixes images of different"),
        (layers.AugMix(), "AugMix draws from Python's global random numbers"),
    ],
)
def test_layers_that_cannot_be_used(layer, message):
    with pytest.raises(ValueError, match=message):
        KerasLayers(layer)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="Keras seeds it there")
def test_elastic_transform_on_torch():
    with pytest.raises(ValueError, match="draws from PyTorch's global random numbers"):
        KerasLayers(layers.RandomElasticTransform(0.5))


def test_layers_of_keras_cv():
    import keras_cv

    layer = keras_cv.layers.RandomCropAndResize((16, 16), (0.5, 1), (0.75, 1.3))
    with pytest.raises(ValueError, match="keras-cv's RandomCropAndResize .*KerasCVCr"):
        KerasLayers(layer)


def test_keras_cv_crops(images):
    """Constant images stay so; gradients keep their direction; TensorFlow's seed, too.

    A part of a gradient is one of smaller range.
    """
    import tensorflow

    gradient = np.tile(np.linspace(0, 255, 16)[:, None], (40, 16, 1, 3))
    crop = KerasCVCrop((16, 16), scale=(0.25, 0.25), ratio=(1, 1))
    tensorflow.random.set_seed(7)
    expected = tensorflow.random.uniform((3,)).numpy()
    tensorflow.random.set_seed(7)
    result = crop(gradient, np.random.default_rng(0))
    np.testing.assert_array_equal(tensorflow.random.uniform((3,)).numpy(), expected)
    ranges = result[:, 0, -1, 0] - result[:, 0, 0, 0]
    np.testing.assert_allclose(ranges, 127.5, atol=1)
    assert np.ptp(result[:, 0, 0, 0]) > 80


def test_keras_cv_draws_areas_anew(images):
    """Its areas come from TensorFlow's random numbers, its places from a generator."""
    gradient = np.tile(np.linspace(0, 255, 16)[:, None], (1, 16, 1, 3))
    crop = KerasCVCrop((16, 16), scale=(0.05, 1), ratio=(1, 1))
    parts = [crop(gradient, np.random.default_rng(seed)) for seed in range(4)]
    assert len({round(float(np.ptp(part))) for part in parts}) == 4


def test_without_keras_cv(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "keras_cv", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-hierproxy\[keras-cv\]'"):
        KerasCVCrop((16, 16))
