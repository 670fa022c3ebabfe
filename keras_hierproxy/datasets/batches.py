"""Batches whose order and augmentation depend on (seed, epoch, batch index) alone."""

import math

import keras
import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets.hosts import check_host, share
from keras_hierproxy.datasets.images import ImageFiles
from keras_hierproxy.datasets.prefetch import Prefetcher
from keras_hierproxy.datasets.samplers import (
    BalancedSampler,
    HierarchicalSampler,
    RandomSampler,
)
from keras_hierproxy.labels import DISTRACTOR, check_labels

SAMPLERS = ("random", "balanced", "hierarchical")
# Second words of the random streams of an epoch.
_ORDER, _AUGMENT, _AUGMENT_ON_HOST = 1, 2, 3


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

    Several hosts that train together pass the same arguments and each its own `host`.
    They draw the same epoch, each reads its share of every batch, and the shares,
    joined, are the batch that one host would see. Keras (3.15, on JAX) takes what a
    `PyDataset` yields for this host's share, once it is told that the data is shared
    out already: of `d = keras.distribution.DataParallel(auto_shard_dataset=False)`,
    pass `host=(d.data_shard_id, d.num_processes)`.

    Args:
        images: array, or `ImageFiles`, of `N` images.
        labels: integer array `(N,)` of dense class ids.
        batch_size: images a batch, over all hosts. Defaults to 128.
        sampler: `"random"`, each image once an epoch; `"balanced"`, for losses
            over pairs: each batch holds `P = batch_size // images_per_class`
            classes and `K = images_per_class` images of each, `P * K` in all; or
            `"hierarchical"`: the `P` classes come from `S = super_classes`
            super-classes, `P // S` of each. See
            `keras_hierproxy.datasets.samplers`.
        images_per_class: `K`. Defaults to 2, the least that gives every image a
            positive.
        super_classes: `S`. Defaults to 2, the least that gives a class both
            siblings and others.
        super_labels: integer array `(N,)` of dense ids of super-classes, for the
            hierarchical sampler.
        seed: non-negative integer.
        augment: `None`; or a callable `(images, rng) -> images` on a batch of
            images, with a `numpy.random.Generator`, as `RandomAffine`; or a list of
            such, applied one after another. See
            `keras_hierproxy.datasets.augment`.
        shuffle: whether the random sampler draws a new order each epoch; otherwise
            images come in theirs. Defaults to `True`.
        drop_remainder: whether to leave out the last batch of the random sampler
            if it is smaller than the rest. Defaults to `False`.
        workers: threads that decode and augment the next batches while the model
            trains. Defaults to 0, none. They stand in for those of
            `keras.utils.PyDataset`, which in Keras 3.15 begin the first epoch with
            batches left over from building the model.
        host: `(index, count)` of this host. Defaults to `(0, 1)`, a single one.
            `count` must divide the batch. If a smaller last batch is left that it
            does not divide, it is filled up with copies of its images, and every
            batch is `(images, labels, weights)`, with weight 0 for a copy: to the
            losses of this package it is absent. An augmentation with a method
            `draw`, as `RandomAffine` and `RandomResizedCrop`, does to an image what
            it would do on a single host. Any other, as `KerasLayers`, draws for
            the rows of its host: what it does to an image depends on `host`.

    Raises:
        ValueError: arguments that make no batch, or of hosts that cannot share it.

    Attributes:
        epoch: the epoch that the next batches are of.

    Example:

    >>> images = np.zeros((20, 8, 8, 1), "uint8")
    >>> data = khp.datasets.RetrievalDataset(images, np.arange(20) // 4)
    >>> batches = data.batches(6, sampler="balanced", images_per_class=2)
    >>> x, y = batches[0]  # 3 classes, 2 images of each
    """

    def __init__(
        self,
        images,
        labels,
        batch_size=128,
        sampler="random",
        images_per_class=2,
        super_classes=2,
        super_labels=None,
        seed=0,
        augment=None,
        shuffle=True,
        drop_remainder=False,
        workers=0,
        host=(0, 1),
    ):
        super().__init__()
        self.images = images
        self.labels = _check_labels(labels, len(images))
        self.batch_size = checks.integer("batch_size", batch_size, least=1)
        self.images_per_class = checks.integer("images_per_class", images_per_class, 1)
        self.super_classes = checks.integer("super_classes", super_classes, least=1)
        self.super_labels = super_labels
        self.seed = checks.integer("seed", seed, least=0)
        self.threads = checks.integer("workers", workers, least=0)
        self.augment = _check_augment(augment)
        self.shuffle = checks.flag("shuffle", shuffle)
        self.drop_remainder = checks.flag("drop_remainder", drop_remainder)
        self.sampler = sampler
        self._sampler = self._make_sampler(sampler)
        self.host = check_host(host)

        self.epoch = 0
        self._order = (None, None)
        self._weighted = self._is_weighted()
        # Whether images are left to be decoded by the first augmentation.
        self._late = isinstance(images, ImageFiles) and any(
            getattr(augment, "takes_files", False) for augment in self.augment[:1]
        )
        self._prefetcher = None
        # Batches left of the pass that `on_epoch_begin` announced.
        self._remaining = math.inf

    def __len__(self):
        return self._sampler.num_batches

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
        """Positions of the images in each batch of an epoch, over all hosts.

        Args:
            epoch: integer.

        Returns:
            List of `len(self)` integer arrays.
        """
        epoch = checks.integer("epoch", epoch, least=0)
        cached, order = self._order
        if cached != epoch:
            rng = np.random.default_rng((self.seed, epoch, _ORDER))
            order = self._sampler.draw(rng)
            self._order = (epoch, order)
        return order

    def _make(self, epoch, index):
        batch = self.indices(epoch)[index]
        rows, weights = share(len(batch), self.host)
        chosen = batch[rows]
        images = self.images.subset(chosen) if self._late else self.images[chosen]
        rng = np.random.default_rng((self.seed, epoch, _AUGMENT, index))
        own_rng = np.random.default_rng(
            (self.seed, epoch, _AUGMENT_ON_HOST, index, self.host[0])
        )
        for augment in self.augment:
            if hasattr(augment, "draw"):
                images = augment.apply(images, augment.draw(rng, len(batch))[rows])
            else:
                images = augment(images, own_rng)
        labels = self.labels[chosen]
        return (images, labels, weights) if self._weighted else (images, labels)

    def _make_sampler(self, name):
        if name not in SAMPLERS:
            raise ValueError(f"sampler must be one of {SAMPLERS}. Received: {name!r}")
        if name == "random":
            return RandomSampler(
                len(self.labels), self.batch_size, self.shuffle, self.drop_remainder
            )
        if not self.shuffle:
            raise ValueError(
                f"sampler={name!r} draws its batches: it has no shuffle=False."
            )
        if name == "balanced":
            return BalancedSampler(self.labels, self.batch_size, self.images_per_class)
        if self.super_labels is None:
            raise ValueError(
                "sampler='hierarchical' needs super_labels, the super-class of each "
                "image. `RetrievalDataset.batches` passes those of its level 1."
            )
        return HierarchicalSampler(
            self.labels,
            self.super_labels,
            self.batch_size,
            self.images_per_class,
            self.super_classes,
        )

    def _is_weighted(self):
        """Whether hosts cannot share the last batch equally."""
        _, count = self.host
        if count == 1:
            return False
        size = self._sampler.batch_size
        if size % count:
            raise ValueError(
                f"{count} hosts cannot share batches of {size} images equally. Pass a "
                f"batch_size that makes their number a multiple of {count}."
            )
        return len(self.indices(0)[-1]) % count > 0


def _check_labels(labels, num_images):
    """Class ids `(N,)` as int32: those of one level, without distractors."""
    labels = check_labels(labels, num_images, rows_are="images")
    if labels.shape[1] > 1:
        raise ValueError(
            "labels must be those of one level, the finest: pass `labels[:, 0]`. "
            f"Received shape {labels.shape}."
        )
    if labels.min() == DISTRACTOR or labels.max() > np.iinfo("int32").max:
        raise ValueError(
            "labels must be ids of classes to train on, from 0 to 2^31 - 1. Received "
            f"ids from {labels.min()} to {labels.max()}: leave distractors (-1) out, "
            "make ids dense with `np.unique(labels, return_inverse=True)[1]`."
        )
    return labels[:, 0].astype("int32")


def _check_augment(augment):
    augments = () if augment is None else augment
    augments = tuple(augments) if isinstance(augments, list | tuple) else (augments,)
    for one in augments:
        if not callable(one):
            raise ValueError(
                "augment must be None, a callable (images, rng) -> images, such as "
                f"RandomAffine(), or a list of such. Received: {one!r}"
            )
    return augments
