"""Random resized crop and flip, the papers' augmentation of photos."""

import functools

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets.augment.per_image import PerImage
from keras_hierproxy.datasets.augment.pixels import check_images, to_picture
from keras_hierproxy.datasets.images import (
    ImageFiles,
    center_box,
    check_interpolation,
    resize,
)

# As in torchvision: of so many boxes the first that lies inside the image.
_ATTEMPTS = 10
_FLIP, _X, _Y, _AREAS, _RATIOS = 0, 1, 2, slice(3, 13), slice(13, 23)


class RandomResizedCrop(PerImage):
    """Cuts a random part out of each image, resizes it, and flips every other one.

    The part has a random share of the image's area, random proportions and a random
    place (Szegedy et al., "Going Deeper with Convolutions", CVPR 2015). Parts have the
    size of the images that a model is evaluated on: that of `images`.

    From `ImageFiles` it cuts out of the original pixels, while they are decoded; large
    JPEGs are decoded at a fraction of their size, as far as the part allows. From an
    array, out of the pixels that are there.

    Args:
        scale: least and largest share of the area. Defaults to `(0.2, 1.0)`, with
            which HIER's authors train transformers; for ResNet-50 they take
            `(0.08, 1.0)`.
        ratio: least and largest width over height of the part, on a logarithmic
            scale. Defaults to `(3 / 4, 4 / 3)`.
        flip: whether half of the images are mirrored, left to right. Defaults to
            `True`; pass `False` where sides mean something, as in text.
        interpolation: as in `ImageFiles`. Defaults to `"bicubic"`, as HIER's authors
            do.

    Example:

    >>> images = np.zeros((4, 32, 32, 3), "uint8")
    >>> data = khp.datasets.RetrievalDataset(images, [0, 0, 1, 1])
    >>> crop = khp.datasets.RandomResizedCrop(scale=(0.08, 1.0))
    >>> batches = data.batches(4, augment=crop)
    """

    takes_files = True

    def __init__(
        self,
        scale=(0.2, 1.0),
        ratio=(3 / 4, 4 / 3),
        flip=True,
        interpolation="bicubic",
    ):
        self.scale = checks.interval("scale", scale, above=0, most=1)
        self.ratio = checks.interval("ratio", ratio, above=0)
        self.flip = checks.flag("flip", flip)
        check_interpolation(interpolation)
        self.interpolation = interpolation

    def draw(self, rng, count):
        """Random numbers for each of `count` images, `(count, 23)` in [0, 1)."""
        return rng.random((count, 3 + 2 * _ATTEMPTS))

    def apply(self, images, draws):
        """Crops each image as the row of `draws` that belongs to it says."""
        check_images(type(self).__name__, images)
        crops = np.empty(images.shape, "uint8")
        for i, draw in enumerate(draws):
            part = functools.partial(self.box, draw)
            if isinstance(images, ImageFiles):
                crop = images.decode(images.paths[i], part, self.interpolation)
            else:
                picture = to_picture(images[i])
                box = part(picture.size)
                crop = resize(picture, images.shape[1:3], box, self.interpolation)
            crops[i] = crop[:, ::-1] if self.flip and draw[_FLIP] < 0.5 else crop
        return crops

    def box(self, draw, size):
        """The part `(left, upper, right, lower)` that a row of random numbers means.

        Args:
            draw: array `(23,)`, a row of `draw`.
            size: `(width, height)` of the image.

        Returns:
            Tuple of floats, in pixels.
        """
        area = size[0] * size[1] * _between(self.scale, draw[_AREAS])
        ratio = np.exp(_between(np.log(self.ratio), draw[_RATIOS]))
        widths, heights = np.sqrt(area * ratio), np.sqrt(area / ratio)
        inside = np.flatnonzero((widths <= size[0]) & (heights <= size[1]))
        if not len(inside):
            # Of an image longer than all these the centre.
            ratio = np.clip(size[0] / size[1], *self.ratio)
            return center_box(size, (1, ratio))
        width, height = widths[inside[0]], heights[inside[0]]
        left, upper = draw[_X] * (size[0] - width), draw[_Y] * (size[1] - height)
        return left, upper, left + width, upper + height


def _between(range, share):
    return range[0] + (range[1] - range[0]) * share
