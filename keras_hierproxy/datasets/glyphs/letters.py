"""Printed and drawn letters together: the glyph set and Omniglot."""

import dataclasses

import numpy as np

from keras_hierproxy.datasets.augment.pixels import to_picture
from keras_hierproxy.datasets.dataset import RetrievalDataset, Splits
from keras_hierproxy.datasets.glyphs.glyphs import load_glyphs
from keras_hierproxy.datasets.glyphs.turns import with_quarter_turns
from keras_hierproxy.datasets.images import resize
from keras_hierproxy.datasets.official.omniglot import load_omniglot


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

    >>> data = khp.datasets.load_letters("data")  # holds images_background_small1.zip
    >>> data.train.level_names
    ('character', 'script')
    """
    drawn = load_omniglot(
        root, train_groups, test_groups, image_size, validation, seed, skip_bad
    )
    if quarter_turns:
        drawn = dataclasses.replace(drawn, train=with_quarter_turns(drawn.train))
    printed = load_glyphs()
    splits = {"train": ["train"], "validation": ["validation"]}
    if drawn.validation is None:
        splits = {"train": ["train", "validation"]}
    joined = {
        name: _joined(
            [getattr(printed, split) for split in taken],
            getattr(drawn, name),
            image_size,
            name=f"letters/{name}",
        )
        for name, taken in splits.items()
    }
    return Splits(joined["train"], joined.get("validation"), drawn.test)


def _joined(printed, drawn, image_size, name):
    """Printed and drawn letters, which share no class of any level.

    Args:
        printed: splits of the glyph set, whose scripts are the same ones.
        drawn: a split of Omniglot.
        image_size: side to which images are brought.
        name: of the new data set.

    Returns:
        A `RetrievalDataset`.
    """
    parts = [*printed, drawn]
    columns, names = [], []
    for of_glyphs, of_drawings in ((0, 0), (2, 1)):
        ids, column = {}, []
        for part in parts:
            level = of_drawings if part is drawn else of_glyphs
            known = [(part is drawn, each) for each in part.class_names[level]]
            places = [ids.setdefault(each, len(ids)) for each in known]
            column.append(np.array(places)[part.labels[:, level]])
        columns.append(np.concatenate(column))
        names.append([each for _, each in ids])
    return RetrievalDataset(
        np.concatenate([_resized(part.images, image_size) for part in parts]),
        np.stack(columns, axis=1),
        class_names=names,
        level_names=("character", "script"),
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
