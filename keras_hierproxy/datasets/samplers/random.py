"""Each image once an epoch."""

import math

import numpy as np

from keras_hierproxy import checks


class RandomSampler:
    """Each image once an epoch, in a new order each time.

    Args:
        num_images: how many there are.
        batch_size: images a batch; the last one may be smaller.
        shuffle: whether to draw an order; otherwise images come in theirs.
        drop_remainder: whether to leave out a smaller last batch.

    Raises:
        ValueError: no batch would be left, or a number is none.

    Example:

    >>> sampler = khp.datasets.samplers.RandomSampler(10, batch_size=4)
    >>> sampler.draw(np.random.default_rng(0))
    [array([4, 6, 2, 7]), array([3, 5, 9, 0]), array([8, 1])]
    """

    def __init__(self, num_images, batch_size, shuffle=True, drop_remainder=False):
        self.num_images = checks.integer("num_images", num_images, least=1)
        self.batch_size = checks.integer("batch_size", batch_size, least=1)
        self.shuffle = checks.flag("shuffle", shuffle)
        self.num_batches = (
            self.num_images // self.batch_size
            if checks.flag("drop_remainder", drop_remainder)
            else math.ceil(self.num_images / self.batch_size)
        )
        if not self.num_batches:
            raise ValueError(
                f"batch_size={batch_size} with drop_remainder=True makes no "
                f"batch of {num_images} images. Pass a smaller batch_size."
            )

    def draw(self, rng):
        """Positions of the images in each batch of an epoch."""
        size = self.num_images
        order = rng.permutation(size) if self.shuffle else np.arange(size)
        batches = np.split(order, range(self.batch_size, size, self.batch_size))
        return batches[: self.num_batches]
