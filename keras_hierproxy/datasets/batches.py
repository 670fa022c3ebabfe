"""Batches whose order and augmentation depend on (seed, epoch, batch index) alone."""

import math

import keras
import numpy as np

from keras_hierproxy.datasets.prefetch import Prefetcher

SAMPLERS = ("random", "balanced")
# Second words of the random streams of an epoch.
_ORDER, _AUGMENT = 1, 2


class Batches(keras.utils.PyDataset):
    """Batches `(images, labels)` of a `RetrievalDataset`, made by its `batches()`.

    What a batch holds is a pure function of `(seed, epoch, index)`, so a resumed
    run sees the batches of an uninterrupted one. The models of this package set
    `epoch` at the beginning of each epoch. Elsewhere it advances by itself after
    each full pass, from 0 on; for a run that starts at another epoch, set it in
    a callback's `on_epoch_begin(epoch)`. In a plain `keras.Model`, pass
    `fit(..., shuffle=False)`: with its default, Keras visits the batches in an
    order drawn from Python's global `random`. Leave `steps_per_epoch` unset: it
    makes epochs begin in the middle of a pass.

    Args:
        images: array, or `ImageFiles`, of `N` images.
        labels: integer array `(N,)` of dense class ids.
        batch_size: images a batch. Defaults to 128.
        sampler: `"random"`, each image once an epoch; or `"balanced"`, for losses
            over pairs: each batch holds `P = batch_size // images_per_class`
            classes and `K = images_per_class` images of each, `P * K` in all.
            Classes come up equally often, whatever their size, and none again
            before all have; so do the images of a class. A class of fewer than
            `K` images repeats some. An epoch has about `N` images.
        images_per_class: `K` of the balanced sampler. Defaults to 2, the least
            that gives every image a positive.
        seed: non-negative integer.
        augment: `None`, or a callable `(images, rng) -> images` on a batch of
            images, with a `numpy.random.Generator`, as `RandomAffine`.
        shuffle: whether the random sampler draws a new order each epoch; otherwise
            images come in theirs. Defaults to `True`.
        drop_remainder: whether to leave out the last batch of the random sampler
            if it is smaller than the rest. Defaults to `False`.
        workers: threads that decode and augment the next batches while the model
            trains. Defaults to 0, none. They stand in for those of
            `keras.utils.PyDataset`, which in Keras 3.15 begin the first epoch with
            batches left over from building the model.

    Attributes:
        epoch: the epoch that the next batches are of.

    Example:

    ```python
    import numpy as np
    from keras_hierproxy.datasets import RetrievalDataset

    images = np.zeros((20, 8, 8, 1), "uint8")
    data = RetrievalDataset(images, np.arange(20) // 4)
    batches = data.batches(6, sampler="balanced", images_per_class=2)
    x, y = batches[0]  # 3 classes, 2 images of each
    ```
    """

    def __init__(
        self,
        images,
        labels,
        batch_size=128,
        sampler="random",
        images_per_class=2,
        seed=0,
        augment=None,
        shuffle=True,
        drop_remainder=False,
        workers=0,
    ):
        super().__init__()
        self.images = images
        self.labels = np.asarray(labels, "int32")
        self.batch_size = _check_int("batch_size", batch_size, least=1)
        self.images_per_class = _check_int("images_per_class", images_per_class, 1)
        self.seed = _check_int("seed", seed, least=0)
        self.threads = _check_int("workers", workers, least=0)
        self.sampler = sampler
        self.augment = augment
        self.shuffle = shuffle
        self.drop_remainder = drop_remainder
        self._check_sampler()

        self.epoch = 0
        self._order = (None, None)
        self._prefetcher = None
        # Batches left of the pass that `on_epoch_begin` announced.
        self._remaining = math.inf

    def __len__(self):
        if self.sampler == "balanced":
            return max(1, round(len(self.labels) / self._balanced_size))
        if self.drop_remainder:
            return len(self.labels) // self.batch_size
        return math.ceil(len(self.labels) / self.batch_size)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        self._remaining -= 1
        if not self.threads:
            return self._make(self.epoch, index)
        self.indices(self.epoch)  # drawn once, here, not on every thread
        if self._prefetcher is None:
            self._prefetcher = Prefetcher(self._make, len(self), self.threads)
        return self._prefetcher.get(self.epoch, index)

    def __getstate__(self):
        return {**self.__dict__, "_prefetcher": None}

    def on_epoch_begin(self):
        self._remaining = len(self)

    def on_epoch_end(self):
        # Keras also calls this before the first epoch, when it has taken no batch,
        # or one to build the model with.
        if self._remaining <= 0:
            self.epoch += 1
        self._remaining = math.inf

    def indices(self, epoch):
        """Positions of the images in each batch of an epoch.

        Args:
            epoch: integer.

        Returns:
            List of `len(self)` integer arrays.
        """
        cached, order = self._order
        if cached != epoch:
            order = self._draw_order(np.random.default_rng((self.seed, epoch, _ORDER)))
            self._order = (epoch, order)
        return order

    @property
    def _balanced_size(self):
        return self.batch_size // self.images_per_class * self.images_per_class

    def _make(self, epoch, index):
        chosen = self.indices(epoch)[index]
        images = self.images[chosen]
        if self.augment is not None:
            rng = np.random.default_rng((self.seed, epoch, _AUGMENT, index))
            images = self.augment(images, rng)
        return images, self.labels[chosen]

    def _draw_order(self, rng):
        if self.sampler == "balanced":
            return self._draw_balanced(rng)
        size = len(self.labels)
        order = rng.permutation(size) if self.shuffle else np.arange(size)
        return np.split(order, range(self.batch_size, size, self.batch_size))

    def _draw_balanced(self, rng):
        classes_per_batch = self.batch_size // self.images_per_class
        members = _positions_by_id(self.labels)
        classes = deal(rng, len(members), len(self), classes_per_batch).ravel()
        order = np.empty((len(classes), self.images_per_class), int)
        for member, turns in zip(members, _positions_by_id(classes), strict=False):
            order[turns] = member[
                deal(rng, len(member), len(turns), self.images_per_class)
            ]
        return list(order.reshape(len(self), -1))

    def _check_sampler(self):
        if self.sampler not in SAMPLERS:
            raise ValueError(
                f"sampler must be one of {SAMPLERS}. Received: {self.sampler!r}"
            )
        if self.sampler == "balanced":
            self._check_balanced()
        elif not len(self):
            raise ValueError(
                f"batch_size={self.batch_size} with drop_remainder=True makes no "
                f"batch of {len(self.labels)} images. Pass a smaller batch_size."
            )

    def _check_balanced(self):
        num_classes = self.labels.max() + 1
        classes_per_batch = self.batch_size // self.images_per_class
        if not self.shuffle:
            raise ValueError(
                "sampler='balanced' draws its batches: it has no shuffle=False."
            )
        if not 1 <= classes_per_batch <= num_classes:
            raise ValueError(
                f"sampler='balanced' puts batch_size // images_per_class = "
                f"{self.batch_size} // {self.images_per_class} = {classes_per_batch} "
                f"classes in a batch, of {num_classes}. Pass a batch_size between "
                f"{self.images_per_class} and {num_classes * self.images_per_class}, "
                "or other images_per_class."
            )


def deal(rng, size, hands, hand_size):
    """Deals hands of distinct items, each item once before any comes up again.

    Args:
        rng: `numpy.random.Generator`.
        size: number of items.
        hands: number of hands.
        hand_size: items in a hand; if there are fewer items, a hand holds all of
            them, and some repeatedly.

    Returns:
        Integer array `(hands, hand_size)` of items in `[0, size)`.
    """
    dealt = np.empty((hands, hand_size), int)
    deck = np.empty(0, int)
    for hand in dealt:
        if size < hand_size:
            hand[:] = np.resize(rng.permutation(size), hand_size)
            continue
        if len(deck) < hand_size:
            fresh = rng.permutation(size)
            # What is still in the old deck goes to the bottom of the new one.
            held = np.isin(fresh, deck)
            deck = np.concatenate([deck, fresh[~held], fresh[held]])
        hand[:], deck = deck[:hand_size], deck[hand_size:]
    return dealt


def _positions_by_id(ids):
    """For each id from 0 to the largest, where it stands."""
    return np.split(np.argsort(ids, kind="stable"), np.cumsum(np.bincount(ids))[:-1])


def _check_int(argument, value, least):
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{argument} must be an integer. Received: {value!r}")
    if value < least:
        raise ValueError(f"{argument} must be at least {least}. Received: {value}")
    return int(value)
