"""Keras preprocessing layers as an augmentation."""

import inspect
import threading

import keras

from keras_hierproxy.keras_internals import all_layers

# A layer keeps the state of its random numbers to itself: it is set before each call,
# and nobody else may draw until it is over.
_LOCK = threading.Lock()
_NEEDS_LABELS = "mixes images of different classes but cannot mix their labels here."
_NOT_SEEDED = "draws from {}'s global random numbers: no epoch would be the same again."
_REFUSED = {
    "MixUp": _NEEDS_LABELS,
    "CutMix": _NEEDS_LABELS,
    "AugMix": _NOT_SEEDED.format("Python"),
}
if keras.backend.backend() == "torch":
    # Keras 3.15 passes the seed on to other backends only.
    _REFUSED["RandomElasticTransform"] = _NOT_SEEDED.format("PyTorch")


class KerasLayers:
    """Applies Keras preprocessing layers to each batch, as in training.

    Any layers of `keras.layers`, such as `RandomFlip`, `RandomRotation`,
    `RandomColorJitter` or `RandAugment`, and your own that draw from a
    `keras.random.SeedGenerator`. Their own seeds are not used: what becomes of a batch
    is a function of `rng` alone, whichever thread asks. Only one thread at a time is
    let through; files are decoded meanwhile.

    Args:
        *layers: layers, applied one after another.

    Raises:
        ValueError: what is no layer; `MixUp` and `CutMix`, which would need the labels;
            `AugMix`, `RandomElasticTransform` on PyTorch, and the layers of keras-cv,
            whose random numbers are global (for keras-cv's `RandomCropAndResize` there
            is `KerasCVCrop`).

    Example:

    >>> images = np.zeros((4, 32, 32, 3), "uint8")
    >>> data = khp.datasets.RetrievalDataset(images, [0, 0, 1, 1])
    >>> augment = khp.datasets.KerasLayers(
    ...     keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.05)
    ... )
    >>> images, labels = data.batches(4, augment=augment)[0]
    """

    def __init__(self, *layers):
        for layer in layers:
            _check_layer(layer)
        self.layers = layers

    def __call__(self, images, rng):
        """Augments a batch.

        Args:
            images: array `(B, H, W, C)`, values in [0, 255].
            rng: `numpy.random.Generator`.

        Returns:
            Array of what the last layer returns, usually `float32` `(B, H, W, C)`.
        """
        # Not all layers cast what they are given.
        images = images.astype("float32")
        for layer in self.layers:
            images = _call(layer, images, rng)
        return images


def _call(layer, images, rng):
    takes = inspect.signature(layer.call).parameters
    training = {"training": True} if "training" in takes else {}
    with _LOCK:
        if not layer.built:
            layer(images, **training)  # now it has all its parts
        for variable in layer.variables:
            if variable.name == "seed_generator_state":
                variable.assign([int(rng.integers(2**31)), 0])
        return keras.ops.convert_to_numpy(layer(images, **training))


def _check_layer(layer):
    if not isinstance(layer, keras.Layer):
        raise ValueError(
            "KerasLayers takes layers, such as keras.layers.RandomFlip('horizontal'). "
            f"Received: {layer!r}"
        )
    for part in all_layers(layer):
        name, (package, *_) = type(part).__name__, type(part).__module__.split(".")
        if package == "keras_cv":
            raise ValueError(
                f"keras-cv's {name} {_NOT_SEEDED.format('TensorFlow')} Pass a layer of "
                "keras.layers, or for RandomCropAndResize `khp.datasets.KerasCVCrop`."
            )
        if package == "keras" and name in _REFUSED:
            raise ValueError(f"{name} {_REFUSED[name]} Pass another layer.")
