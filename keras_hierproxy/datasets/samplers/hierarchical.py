"""S super-classes a batch, P / S classes of each, K images of each class."""

import collections

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets.samplers.deal import (
    check_dense,
    deal_members,
    members_of,
)


class HierarchicalSampler:
    """Batches of S super-classes, P / S classes of each, K images of each class.

    A batch so holds hard negatives, the siblings of a class, and easy ones. Its
    super-classes are drawn with chances that follow their numbers of classes, so that
    classes come up equally often, as do the images of a class. Two limits:

    - Super-classes of fewer than P / S classes share a place, as if they were one.
    - S super-classes are always different ones. So the classes of a super-class that
      holds more than 1 / S of all classes come up less often: it is in every batch.

    An epoch has about as many images as there are. In a single one the turns of two
    classes may differ by up to 3, which over the epochs evens out.

    Args:
        labels: integer array `(N,)` of dense class ids.
        super_labels: integer array `(N,)` of dense ids of super-classes, in which the
            classes are nested.
        batch_size: images a batch at most; P / S is
            `batch_size // images_per_class // super_classes`.
        images_per_class: K.
        super_classes: S.

    Raises:
        ValueError: there are fewer super-classes, or too few with enough classes, or
            classes are not nested in them; ids are not dense, or a number is none.

    Example:

    >>> labels = np.arange(64) // 4  # 16 classes
    >>> sampler = khp.datasets.samplers.HierarchicalSampler(
    ...     labels, labels // 4, batch_size=16, images_per_class=2, super_classes=2
    ... )
    >>> rows = sampler.draw(np.random.default_rng(0))[0]
    >>> len(np.unique(labels[rows])), len(np.unique(labels[rows] // 4))
    (8, 2)
    """

    def __init__(
        self, labels, super_labels, batch_size, images_per_class, super_classes
    ):
        labels = self.labels = check_dense(labels, "labels")
        super_labels = check_dense(super_labels, "super_labels")
        batch_size = checks.integer("batch_size", batch_size, least=1)
        images_per_class = checks.integer("images_per_class", images_per_class, least=1)
        super_classes = checks.integer("super_classes", super_classes, least=1)
        self.images_per_class = images_per_class
        self.super_classes = super_classes
        self.classes_of_each = batch_size // images_per_class // super_classes
        _, first = np.unique(labels, return_index=True)
        _check_nested(labels, super_labels, first)
        siblings = members_of(super_labels[first])
        self._check(len(siblings), batch_size)
        self.groups = _join_small(siblings, self.classes_of_each)
        sizes = [len(classes) for classes in siblings]
        if (
            len(self.groups) < super_classes
            or len(self.groups[0]) < self.classes_of_each
        ):
            raise ValueError(
                f"sampler='hierarchical' puts {self.classes_of_each} classes of each "
                f"of {super_classes} super-classes in a batch. Received: "
                f"{len(siblings)} super-classes of {min(sizes)} to {max(sizes)} "
                f"classes, {sum(sizes)} in all, which are too few even with small "
                "super-classes put together. Pass a smaller batch_size, more "
                "images_per_class, or other super_classes."
            )
        self.batch_size = images_per_class * self.classes_of_each * super_classes
        self.num_batches = max(1, round(len(labels) / self.batch_size))

    def draw(self, rng):
        """Positions of the images in each batch of an epoch."""
        groups = self._draw_groups(rng)
        classes = deal_members(rng, self.groups, groups, self.classes_of_each)
        members = members_of(self.labels)
        return list(deal_members(rng, members, classes, self.images_per_class))

    def _draw_groups(self, rng):
        """Groups of each batch `(num_batches, super_classes)`, distinct in a batch."""
        sizes = np.array([len(group) for group in self.groups])
        quotas = _shares(sizes, self.num_batches * self.super_classes, self.num_batches)
        # Rounded so that they still add up, each up or down by chance.
        sums = np.append(0, np.round(np.cumsum(quotas), 6))
        left = np.diff(np.floor(sums + rng.random()).astype(int))
        drawn = np.empty((self.num_batches, self.super_classes), int)
        for row, batches_left in enumerate(range(self.num_batches, 0, -1)):
            with np.errstate(divide="ignore"):
                waiting = rng.exponential(size=len(left)) / left
            # Or it would have to come twice in one batch later.
            waiting[left >= batches_left] = 0
            drawn[row] = np.argsort(waiting)[: self.super_classes]
            left[drawn[row]] -= 1
        return drawn

    def _check(self, num_super_classes, batch_size):
        if num_super_classes < self.super_classes:
            raise ValueError(
                f"sampler='hierarchical' puts super_classes={self.super_classes} in a "
                f"batch, of {num_super_classes} at this level. Pass fewer "
                "super_classes, or the level of finer ones."
            )
        if not self.classes_of_each:
            raise ValueError(
                f"batch_size={batch_size} holds no {self.super_classes} super-classes "
                f"with {self.images_per_class} images of a class. Pass a batch_size "
                f"of at least {self.super_classes * self.images_per_class}."
            )


def _check_nested(labels, super_labels, first):
    if super_labels.shape != labels.shape:
        raise ValueError(
            f"super_labels must have shape {labels.shape}, one for each image. "
            f"Received shape {super_labels.shape}."
        )
    stray = np.flatnonzero(super_labels[first][labels] != super_labels)
    if len(stray):
        label = labels[stray[0]]
        raise ValueError(
            "Classes must be nested: each in one super-class. Received class "
            f"{label} in super-classes {super_labels[first][label]} and "
            f"{super_labels[stray[0]]}."
        )


def _join_small(siblings, least):
    """Puts together the groups of fewer than `least` classes, until they have these."""
    groups = [group for group in siblings if len(group) >= least]
    small = sorted((g for g in siblings if len(g) < least), key=len)
    small = collections.deque(small)
    while small:
        joined = small.pop()
        while small and len(joined) < least:
            joined = np.append(joined, small.popleft())
        if len(joined) < least and groups:
            joined = np.append(joined, groups.pop())
        groups.append(joined)
    return groups


def _shares(sizes, total, most):
    """Parts of `total` in proportion to `sizes`, but of at most `most` each."""
    full = np.zeros(len(sizes), bool)
    while True:
        rest = total - most * full.sum()
        parts = np.where(full, most, sizes * rest / max(1, sizes[~full].sum()))
        if (parts <= most).all():
            return parts
        full |= parts > most
