"""The classes that a step computes with, where there are too many for all."""

import keras
from keras import ops

# Draws beyond twice the number that is wanted, from at least four times as many
# classes: at least 3 of 4 draws are new, and the chance that all of them are too few is
# below 1e-30.
_SPARE = 64


def draw_classes(labels, num_classes, num_sampled, seed):
    """The classes of a batch, and others at random, all of them different.

    Every set of others has the same chance: it is a simple random sample without
    replacement of those that are not in the batch. It costs what is drawn, not what
    there is.

    Args:
        labels: int32 `(b,)`, of no more than `num_sampled` classes.
        num_classes: int, C.
        num_sampled: int, S, below C.
        seed: int or `keras.random.SeedGenerator`.

    Returns:
        ids: int32 `(S,)`: the batch's classes in order, then the others.
        own: int32 `(b,)`, the labels, sorted.
        ranks: int32 `(b,)`, where in `ids` each of `own` is.
        num_own: int32 scalar, how many classes the batch has.

    Example:

    >>> labels = np.array([7, 3, 7])
    >>> ids, own, ranks, num_own = khp.ops.draw_classes(labels, 1000, 10, seed=0)
    >>> keras.ops.convert_to_numpy(ids)[:2], int(num_own)
    (array([3, 7], dtype=int32), 2)
    """
    own = ops.sort(ops.cast(labels, "int32"))
    new = _is_new(own)
    if num_classes < 4 * num_sampled + _SPARE:
        drawn = ops.arange(num_classes, dtype="int32")
        usable = ops.ones((num_classes,), "bool")
    else:
        shape = (2 * num_sampled + _SPARE,)
        drawn = keras.random.randint(shape, 0, num_classes, dtype="int32", seed=seed)
        drawn = ops.sort(drawn)
        usable = _is_new(drawn)
    usable = ops.logical_and(usable, ops.logical_not(position_in(own, drawn)[1]))

    # In this order: the batch's, the others at random, what is there already.
    size = ops.shape(own)[0]
    first = ops.cast(ops.arange(size) - size, "float32")
    others = keras.random.uniform(ops.shape(drawn), seed=seed)
    keys = [ops.where(new, first, 2.0), ops.where(usable, others, 2.0)]
    order = ops.argsort(ops.concatenate(keys))[:num_sampled]
    ids = ops.take(ops.concatenate([own, drawn]), order)
    new = ops.cast(new, "int32")
    return ids, own, ops.cumsum(new) - 1, ops.sum(new)


def position_in(sequence, values):
    """Where values first stand in a sorted sequence, and whether they do.

    Args:
        sequence: int `(n,)`, sorted.
        values: int `(m,)`.

    Returns:
        int32 `(m,)`, positions in `[0, n)`, and bool `(m,)`.
    """
    position = ops.cast(ops.searchsorted(sequence, values), "int32")
    position = ops.minimum(position, ops.shape(sequence)[0] - 1)
    return position, ops.take(sequence, position) == values


def _is_new(sequence):
    """Of each entry of a sorted sequence, whether it is another than the one before."""
    first = ops.ones((1,), "bool")
    return ops.concatenate([first, sequence[1:] != sequence[:-1]])
