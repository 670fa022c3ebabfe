"""Printed and drawn letters together: the glyph set and Omniglot."""

import dataclasses

import numpy as np

from keras_hierproxy.datasets.augment.pixels import to_picture
from keras_hierproxy.datasets.dataset import RetrievalDataset, Splits
from keras_hierproxy.datasets.images import resize
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
    image_size=32,
):
    """The glyph set's and Omniglot's letters, to learn to read any handwriting.

    Fonts show how characters differ, and drawings how the same one varies from hand to
    hand. The levels are character and script (of drawings: alphabet). No character is
    both printed and drawn: `A` of a font and `A` of a hand are two classes.

    Args:
        root: folder with Omniglot's files, as of `load_omniglot`.
        train_groups, test_groups, seed, skip_bad: as of `load_omniglot`, of the
            drawings.
        validation: share of the drawn training characters to set aside beside the
            glyph set's validation characters; 0 sets neither aside, and trains on
            all of them.
        quarter_turns: whether drawings for training, turned by 90, 180 and 270
            degrees, are further classes (`with_quarter_turns`): drawn characters are
            few. Defaults to `False`.
        image_size: side of the square images in pixels. Defaults to 32, as the glyphs
            have; larger, drawings show more of small loops, and glyphs are enlarged.

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
    from keras_hierproxy.datasets.glyphs import load_glyphs

    drawn = load_omniglot(
        root, train_groups, test_groups, image_size, validation, seed, skip_bad
    )
    if quarter_turns:
        drawn = dataclasses.replace(drawn, train=with_quarter_turns(drawn.train))
    printed = load_glyphs()
    parts = {
        "train": [printed.train, drawn.train],
        "validation": [printed.validation, drawn.validation],
    }
    if drawn.validation is None:
        whole = _unsplit(printed.train, printed.validation)
        parts = {"train": [whole, drawn.train]}
    joined = {
        name: _joined(
            each,
            image_size,
            levels=[(0, 2), (0, 1)],
            level_names=("character", "script"),
            name=f"letters/{name}",
        )
        for name, each in parts.items()
    }
    return Splits(joined["train"], joined.get("validation"), drawn.test)


def _unsplit(first, second):
    """Two splits of a data set in one; classes of the same name are one class."""
    names, labels = [], []
    for level, (a, b) in enumerate(
        zip(first.class_names, second.class_names, strict=True)
    ):
        names.append(list(dict.fromkeys([*a, *b])))
        place = {name: number for number, name in enumerate(names[-1])}
        ids = [np.array([place[name] for name in known]) for known in (a, b)]
        labels.append(
            np.concatenate(
                [ids[0][first.labels[:, level]], ids[1][second.labels[:, level]]]
            )
        )
    return RetrievalDataset(
        np.concatenate([first.images, second.images]),
        np.stack(labels, axis=1),
        class_names=names,
        level_names=first.level_names,
        name=first.name,
    )


def _joined(parts, image_size, levels, level_names, name):
    """The images of several data sets, which share no class of any level.

    Args:
        parts: `RetrievalDataset`s with arrays of square images of one channel.
        image_size: side to which they are brought.
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
        np.concatenate([_resized(part.images, image_size) for part in parts]),
        np.concatenate(labels),
        class_names=names,
        level_names=level_names,
        name=name,
    )


def _resized(images, image_size):
    size = images.shape[1:3]
    if size == (image_size, image_size):
        return images
    whole = (0, 0, *size[::-1])
    return np.stack(
        [
            resize(to_picture(image), (image_size, image_size), whole, "bicubic")
            for image in images
        ]
    )
