"""Printed and drawn letters together: the glyph set and Omniglot."""

import dataclasses

import numpy as np

from keras_hierproxy.datasets.dataset import RetrievalDataset, Splits
from keras_hierproxy.datasets.omniglot import load_omniglot
from keras_hierproxy.datasets.turns import with_quarter_turns


def load_letters(
    root,
    train_groups=("Korean", "Latin", "Greek"),
    test_groups=("Balinese", "Early_Aramaic"),
    validation=0.2,
    seed=0,
    skip_bad=False,
    quarter_turns=False,
):
    """The glyph set's and Omniglot's letters, to learn to read any handwriting.

    Fonts show how characters differ, and drawings how the same one varies from hand to
    hand. The levels are character and script (of drawings: alphabet). No character is
    both printed and drawn: `A` of a font and `A` of a hand are two classes.

    Args:
        root: folder with Omniglot's files, as of `load_omniglot`.
        train_groups, test_groups, validation, seed, skip_bad: as of `load_omniglot`,
            of the drawings. Images have the size of the glyphs', 32 pixels.
        quarter_turns: whether drawings for training, turned by 90, 180 and 270
            degrees, are further classes (`with_quarter_turns`): drawn characters are
            few. Defaults to `False`.

    Returns:
        `Splits`: training and validation letters of both, and for the test those of
        Omniglot alone.

    Raises:
        FileNotFoundError, ValueError: as `load_omniglot`.

    Example:

    ```python
    from keras_hierproxy.datasets import load_letters

    data = load_letters("data")  # holds images_background_small1.zip
    data.train.level_names  # ("character", "script")
    ```
    """
    from keras_hierproxy.datasets.glyphs import IMAGE_SIZE, load_glyphs

    drawn = load_omniglot(
        root, train_groups, test_groups, IMAGE_SIZE, validation, seed, skip_bad
    )
    if quarter_turns:
        drawn = dataclasses.replace(drawn, train=with_quarter_turns(drawn.train))
    printed = load_glyphs()
    train, validation = (
        _joined(
            [getattr(printed, part), getattr(drawn, part)],
            levels=[(0, 2), (0, 1)],
            level_names=("character", "script"),
            name=f"letters/{part}",
        )
        for part in ("train", "validation")
    )
    return Splits(train, validation, drawn.test)


def _joined(parts, levels, level_names, name):
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
