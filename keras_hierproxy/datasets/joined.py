"""Data sets put together."""

import numpy as np

from keras_hierproxy.datasets.dataset import RetrievalDataset


def joined(parts, levels, level_names, name):
    """The images of several data sets, which share no class of any level.

    Args:
        parts: `RetrievalDataset`s with arrays of images of one shape.
        levels: of each part its levels to keep, finest first.
        level_names: what to call them.
        name: of the new data set.

    Returns:
        A `RetrievalDataset`.
    """
    labels, names = [], [[] for _ in level_names]
    for part, kept in zip(parts, levels, strict=True):
        labels.append(part.labels[:, kept] + [len(known) for known in names])
        for known, level in zip(names, kept, strict=True):
            known += part.class_names[level]
    return RetrievalDataset(
        np.concatenate([part.images for part in parts]),
        np.concatenate(labels),
        class_names=names,
        level_names=level_names,
        name=name,
    )
