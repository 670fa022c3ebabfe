"""Turned images as classes of their own."""

import numpy as np

from keras_hierproxy.datasets.dataset import RetrievalDataset
from keras_hierproxy.labels import DISTRACTOR

TURNS = (0, 90, 180, 270)


def with_quarter_turns(data):
    """A data set with each class four times: upright, and by one to three quarters.

    A letter on its side is another sign, so that letters make four times as many
    classes to train on (Santoro et al., "Meta-Learning with Memory-Augmented Neural
    Networks", ICML 2016). Coarser levels are turned along.

    Args:
        data: `RetrievalDataset` of an array of square images.

    Returns:
        A `RetrievalDataset`.

    Raises:
        ValueError: images that are not square, or not in memory.
    """
    shape = data.images.shape
    if not isinstance(data.images, np.ndarray) or shape[1] != shape[2]:
        raise ValueError(
            "Turned classes need square images in memory. Received: "
            f"{type(data.images).__name__} of shape {tuple(shape)}."
        )
    turns = np.arange(len(TURNS))
    labels = len(TURNS) * data.labels[None] + turns[:, None, None]
    labels[:, data.labels == DISTRACTOR] = DISTRACTOR
    return RetrievalDataset(
        np.concatenate([np.rot90(data.images, turn, (1, 2)) for turn in turns]),
        labels.reshape(-1, data.num_levels),
        class_names=[
            [f"{name} {turn}°" if turn else name for name in names for turn in TURNS]
            for names in data.class_names
        ],
        level_names=data.level_names,
        name=data.name,
        paths=data.paths and data.paths * len(TURNS),
        groups=None if data.groups is None else np.tile(data.groups, len(TURNS)),
        columns={key: np.tile(each, len(TURNS)) for key, each in data.columns.items()},
    )
