"""Thicker and thinner strokes."""

import numpy as np
from scipy import ndimage

from keras_hierproxy import checks
from keras_hierproxy.datasets.augment.per_image import PerImage
from keras_hierproxy.datasets.augment.pixels import check_images


class RandomStrokeWidth(PerImage):
    """Makes the bright strokes of each image thicker or thinner, as another pen does.

    Blends each image with its dilation (the brightest of 3 x 3 pixels) or its erosion
    (the darkest of 2 x 2), in a random measure.

    Args:
        strength: the largest share of either, 0 to 1. Defaults to 0.6: all of the
            erosion would wipe out strokes that are one pixel wide.

    Example:

    >>> images = np.zeros((4, 32, 32, 1), "uint8")
    >>> data = khp.datasets.RetrievalDataset(images, [0, 0, 1, 1])
    >>> batches = data.batches(4, augment=khp.datasets.RandomStrokeWidth())
    """

    def __init__(self, strength=0.6):
        self.strength = checks.real("strength", strength, least=0, most=1)

    def draw(self, rng, count):
        """A random number in [-1, 1) for each of `count` images; above 0, thicker."""
        return rng.uniform(-1, 1, count)

    def apply(self, images, draws):
        """Redraws each image as its number in `draws` says."""
        check_images(type(self).__name__, images)
        thick = ndimage.maximum_filter(images, (1, 3, 3, 1), mode="constant")
        thin = ndimage.minimum_filter(images, (1, 2, 2, 1), mode="constant")
        share = (self.strength * draws).astype("float32")[:, None, None, None]
        other = np.where(share > 0, thick, thin).astype("float32")
        return np.rint(images + np.abs(share) * (other - images)).astype("uint8")
