"""keras-cv's random crop."""

import sys
import threading

from keras_hierproxy import checks
from keras_hierproxy.datasets.images import check_image_size

# While one of its layers runs, keras-cv exchanges functions of its own modules.
_LOCK = threading.Lock()


class KerasCVCrop:
    """Cuts a random part out of each image by `keras_cv.layers.RandomCropAndResize`.

    For results that are to match others of keras-cv. It takes 0.3 s or more a batch,
    in one thread at a time, since TensorFlow compiles it anew for each, and cuts from
    the images as they were decoded; `RandomResizedCrop` takes a millisecond an image
    and cuts from the original pixels. Its parts also differ: where proportions
    do not fit into an image, keras-cv stretches the part.

    Needs the extra `keras-cv`, on any backend.

    Args:
        image_size: `(height, width)` of the parts.
        scale: least and largest share of the area. Defaults to `(0.2, 1.0)`, as in
            `RandomResizedCrop`.
        ratio: least and largest width over height of the part, relative to the
            image's. Defaults to `(3 / 4, 4 / 3)`.
        interpolation: `"bilinear"`, the default, or `"nearest"`.

    Raises:
        ValueError: sizes or shares that are none.
        ImportError: keras-cv is not installed.

    Example:

    >>> images = np.zeros((4, 32, 32, 3), "uint8")
    >>> data = khp.datasets.RetrievalDataset(images, [0, 0, 1, 1])
    >>> flip = khp.datasets.KerasLayers(keras.layers.RandomFlip("horizontal"))
    >>> augment = [khp.datasets.KerasCVCrop((32, 32)), flip]
    >>> images, labels = data.batches(4, augment=augment)[0]
    """

    def __init__(
        self,
        image_size,
        scale=(0.2, 1.0),
        ratio=(3 / 4, 4 / 3),
        interpolation="bilinear",
    ):
        size = check_image_size(image_size)
        scale = checks.interval("scale", scale, above=0, most=1)
        ratio = checks.interval("ratio", ratio, above=0)
        checks.one_of("interpolation", interpolation, ("bilinear", "nearest"))
        try:
            import keras_cv
        except ImportError as error:
            raise ImportError(
                "KerasCVCrop needs keras-cv: pip install 'keras-hierproxy[keras-cv]'. "
                "RandomResizedCrop does without."
            ) from error
        self.layer = keras_cv.layers.RandomCropAndResize(
            size, scale, ratio, interpolation
        )

    def __call__(self, images, rng):
        """Crops a batch.

        Args:
            images: array `(B, H, W, C)`.
            rng: `numpy.random.Generator`.

        Returns:
            `float32` array `(B, *image_size, C)`.
        """
        tensorflow = sys.modules["tensorflow"]  # which keras-cv has imported
        seed, generator_seed = rng.integers(2**31, size=2).tolist()

        @tensorflow.function
        def crop(images):
            # Inside, the seed is this graph's; outside it would be everyone's.
            tensorflow.random.set_seed(seed)
            return self.layer(images, training=True)

        with _LOCK:
            self.layer._random_generator = tensorflow.random.Generator.from_seed(
                generator_seed
            )
            return crop(tensorflow.cast(images, "float32")).numpy()
