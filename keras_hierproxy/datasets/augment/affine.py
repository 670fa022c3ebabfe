"""Random affine distortion of a batch of images."""

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets.augment.per_image import PerImage
from keras_hierproxy.datasets.augment.pixels import check_images, to_picture


class RandomAffine(PerImage):
    """Rotates, scales, shears and shifts each image of a batch a little.

    Meant for drawings and letters, which keep their meaning under it. The
    distortion is drawn from the generator that is passed in, so a batch of given
    seed, epoch and index is always distorted in the same way. Bilinear.

    Args:
        rotation: largest angle, degrees, either way. Defaults to 10.
        scale: largest change of size: factors lie between `1 / (1 + scale)` and
            `1 + scale`. Defaults to 0.1.
        shear: largest slant, degrees, either way. Defaults to 10.
        translation: largest shift, share of the image's side. Defaults to 0.08,
            some 3 of 32 pixels.
        fill: value, 0 to 255, of what comes in from outside. Defaults to 0.

    Example:

    >>> images = np.zeros((4, 32, 32, 1), "uint8")
    >>> data = khp.datasets.RetrievalDataset(images, [0, 0, 1, 1])
    >>> batches = data.batches(4, augment=khp.datasets.RandomAffine(rotation=15))
    """

    def __init__(self, rotation=10, scale=0.1, shear=10, translation=0.08, fill=0):
        self.rotation = checks.real("rotation", rotation, least=0)
        self.scale = checks.real("scale", scale, least=0)
        self.shear = checks.real("shear", shear, least=0, below=90)
        self.translation = checks.real("translation", translation, least=0)
        self.fill = checks.integer("fill", fill, least=0, most=255)

    def draw(self, rng, count):
        """Random numbers for each of `count` images, `(count, 5)` in [-1, 1)."""
        return rng.uniform(-1, 1, (5, count)).T

    def apply(self, images, draws):
        """Distorts each image as the row of `draws` that belongs to it says."""
        from PIL import Image

        check_images(type(self).__name__, images)
        gray = images.shape[3] == 1
        distorted = np.empty_like(images)
        maps = self._maps(draws, *images.shape[1:3])
        for image, result, inverse in zip(images, distorted, maps, strict=True):
            picture = to_picture(image)
            picture = picture.transform(
                picture.size,
                Image.Transform.AFFINE,
                tuple(inverse.ravel()),
                Image.Resampling.BILINEAR,
                fillcolor=self.fill if gray else (self.fill,) * 3,
            )
            result[...] = np.asarray(picture).reshape(image.shape)
        return distorted

    def _maps(self, draws, height, width):
        """Matrices (count, 2, 3) from points (x, y, 1) of the result to the source."""
        rotation, scale, shear, dx, dy = draws.T
        angle = np.radians(self.rotation) * rotation
        slant = np.tan(np.radians(self.shear) * shear)
        size = (1 + self.scale) ** scale
        cos, sin = np.cos(angle) / size, np.sin(angle) / size
        linear = np.stack([cos, cos * slant - sin, sin, sin * slant + cos], axis=-1)
        linear = linear.reshape(-1, 2, 2)
        center = np.array([width, height]) / 2
        shift = self.translation * np.stack([dx, dy], axis=-1) * 2 * center
        offset = center - np.einsum("nij,nj->ni", linear, center + shift)
        return np.concatenate([linear, offset[..., None]], axis=-1)
