"""Elastic distortion of a batch of images."""

import functools

import numpy as np
from scipy.interpolate import CubicSpline

from keras_hierproxy import checks
from keras_hierproxy.datasets.augment.per_image import PerImage
from keras_hierproxy.datasets.augment.pixels import check_images


class RandomElastic(PerImage):
    """Bends each image of a batch, as if it were drawn on rubber.

    Each point of a coarse grid is shifted at random, and the pixels between follow
    smoothly (cubic splines). Unlike an affine map it changes the parts of a letter
    against each other, as another hand does (Simard et al., "Best Practices for
    Convolutional Neural Networks Applied to Visual Document Analysis", ICDAR 2003,
    there with a shift for each pixel, smoothed). Bilinear; black comes in from
    outside.

    Args:
        strength: standard deviation of the shifts, share of the image's side.
            Defaults to 0.04, some 1.3 of 32 pixels.
        grid: points a side, at least 2. Defaults to 4: of letters, more would tear
            strokes apart.

    Example:

    >>> images = np.zeros((4, 32, 32, 1), "uint8")
    >>> data = khp.datasets.RetrievalDataset(images, [0, 0, 1, 1])
    >>> batches = data.batches(4, augment=khp.datasets.RandomElastic(strength=0.05))
    """

    def __init__(self, strength=0.04, grid=4):
        self.strength = checks.real("strength", strength, least=0)
        self.grid = checks.integer("grid", grid, least=2)

    def draw(self, rng, count):
        """Standard normal shifts `(count, 2, grid, grid)`, of rows and of columns."""
        return rng.normal(size=(count, 2, self.grid, self.grid))

    def apply(self, images, draws):
        """Distorts each image as the row of `draws` that belongs to it says."""
        check_images(type(self).__name__, images)
        height, width = images.shape[1:3]
        shifts = self.strength * np.asarray(draws, "float32")
        shifts = np.einsum(
            "yi,bcij,xj->cbyx",
            _spline(self.grid, height),
            shifts,
            _spline(self.grid, width),
            optimize=True,
        )
        rows = np.arange(height, dtype="float32")[:, None] + height * shifts[0]
        columns = np.arange(width, dtype="float32") + width * shifts[1]
        return _bilinear(images, rows, columns)


@functools.cache
def _spline(grid, size):
    """Weights `(size, grid)` of values on a grid in those at each pixel."""
    spline = CubicSpline(np.linspace(0, 1, grid), np.eye(grid))
    return spline(np.linspace(0, 1, size)).astype("float32")


def _bilinear(images, rows, columns):
    """Each image of a batch at places `(B, H, W)` of its own, black outside."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))).astype("float32")
    rows = np.clip(rows + 1, 0, height + 0.999)
    columns = np.clip(columns + 1, 0, width + 0.999)
    top, left = rows.astype("int64"), columns.astype("int64")
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    of = np.arange(len(images))[:, None, None]
    upper = padded[of, top, left] * (1 - right) + padded[of, top, left + 1] * right
    lower = padded[of, top + 1, left] * (1 - right)
    lower += padded[of, top + 1, left + 1] * right
    return np.rint(upper * (1 - down) + lower * down).astype("uint8")
