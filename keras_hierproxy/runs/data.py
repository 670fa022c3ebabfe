"""The data of a run."""

import dataclasses
import os

from keras_hierproxy import datasets
from keras_hierproxy.datasets.glyphs.turns import with_quarter_turns
from keras_hierproxy.datasets.sources.csv_file import column_names
from keras_hierproxy.recipes.combinations import (
    misplaced,
    no_such_data,
    parameters,
)
from keras_hierproxy.runs.place import is_csv

# Data sets of drawings, which are square and gray.
DRAWINGS = ("omniglot", "letters")
# The side of photos, where nothing says another: of data sets, and of other folders.
_SIDE, _SIDE_OF_FOLDERS = 96, 64


def load_data(source, place, image_shape=None, **reading):
    """The splits of a known data set, a folder or a CSV file.

    Args:
        source: `khp.recipes.Source`, such as the `data` of a recipe.
        place: `Place`.
        image_shape: `(height, width, channels)`, None where any will do, that a
            trained model takes, or `image_shape` of a recipe. By default the source
            decides.
        **reading: for photos, further arguments of `from_directory`, `from_csv` and
            the readers of `datasets.load`.
    """
    if source.name in datasets.NAMES:
        splits = _load_known(source, place, image_shape, **reading)
    elif is_csv(source) and "split" in column_names(source.name):
        splits = _check_parts(_read_csv(source, place, image_shape, **reading))
    else:
        splits = _split_classes(read_folder(source, place, image_shape, **reading))
    # Some readers know which images to turn.
    if source.quarter_turns and "quarter_turns" not in _taken_by(source):
        splits = dataclasses.replace(splits, train=with_quarter_turns(splits.train))
    return splits


def _load_known(source, place, image_shape, **reading):
    _check_options(source)
    taken = _taken_by(source)
    options = source.model_dump(exclude={"name", "image_size"}, exclude_none=True)
    options["skip_bad"] = place.skip_bad
    size = _image_size(source, image_shape)
    if "color_mode" in taken:
        options["image_size"] = size or _SIDE
        options["color_mode"] = _color_mode(image_shape)
    elif size is not None:
        options["image_size"] = size[0]
    options = {name: value for name, value in options.items() if name in taken}
    if "memory_limit" in taken:
        options |= reading
    return datasets.load(source.name, root=place.root, **options)


def _taken_by(source):
    """The arguments of the reader of a data set with a name."""
    if source.name not in datasets.NAMES:
        return ()
    return parameters(datasets.loader(source.name))


def check_images(data, embedder):
    """Raises where images do not fit; sizes only where nothing resizes them."""
    expected, received = embedder.input_shape[1:], data.images.shape[1:]
    if getattr(embedder, "preprocessor", None) is not None:
        expected = (None, None, expected[-1])
    if len(expected) != 3 or any(
        e not in (None, r) for e, r in zip(expected, received, strict=True)
    ):
        square = len(expected) == 3 and expected == (*expected[:1] * 2, received[-1])
        raise ValueError(
            f"The model takes images of shape {embedder.input_shape[1:]}; those of "
            f"{data.name!r} have shape {received}."
            + (f" Pass image_size={expected[0]}." if square else "")
        )


def read_folder(source, place, image_shape, min_images=2, **reading):
    """All images of a folder that has a folder for each class, or of a CSV file.

    Args:
        source, place, image_shape, **reading: as of `load_data`.
        min_images: for a folder, the least number of images in a class.
    """
    if is_csv(source):
        return _read_csv(source, place, image_shape, split=None, **reading)
    check_images_folder(source, place)
    size, color_mode = size_and_color(source, image_shape)
    return datasets.from_directory(
        source.name,
        image_size=size,
        color_mode=color_mode,
        split=None,
        min_images=min_images,
        skip_bad=place.skip_bad,
        **reading,
    )


def check_images_folder(source, place):
    if not os.path.isdir(source.name):
        raise no_such_data(source.name)
    if place.root is not None:
        raise ValueError(
            f"--root does not go with --data {source.name}. Received: {place.root!r}."
        )
    _check_options(source)


def _read_csv(source, place, image_shape, **reading):
    _check_options(source)
    size, color_mode = size_and_color(source, image_shape)
    return datasets.from_csv(
        source.name,
        image_size=size,
        root=place.root,
        color_mode=color_mode,
        skip_bad=place.skip_bad,
        **reading,
    )


def size_and_color(source, image_shape):
    """Of photos in a folder or a CSV file."""
    size = _image_size(source, image_shape) or _SIDE_OF_FOLDERS
    return size, _color_mode(image_shape)


def _image_size(source, image_shape):
    """`(height, width)` of a trained model, else as asked for, else None."""
    if image_shape is not None and None not in image_shape[:2]:
        return image_shape[:2]
    return source.image_size and (source.image_size, source.image_size)


def _color_mode(image_shape):
    return "grayscale" if image_shape and image_shape[2] == 1 else "rgb"


def _check_options(source):
    for name in misplaced(source):
        raise ValueError(
            f"--{name.replace('_', '-')} does not go with --data {source.name}. "
            f"Received: {getattr(source, name)!r}."
        )


def _check_parts(splits):
    """Of a CSV file's own split; of one validation class every neighbour is right."""
    name = splits.train.name.split("/")[0]
    if splits.test is None:
        raise ValueError(
            f"{name!r} has no lines of the split 'test', or 'query' and 'gallery'."
        )
    if splits.validation.num_classes < 2:
        raise ValueError(
            f"{name!r} has one validation class, and at least 2 are needed: give lines "
            "of more classes the split 'validation', or, for them to be drawn out of "
            "the training classes, more of these."
        )
    return splits


def _split_classes(data):
    """15% of the classes for validation and for the test, at least two each.

    Of one class every neighbour is right.
    """
    if data.num_classes < 6:
        raise ValueError(
            f"{data.name!r} has {data.num_classes} classes, and at least 6 are "
            "needed: 2 each for training, validation and the test."
        )
    share = max(0.15, 2 / data.num_classes)
    return data.split(validation=share, test=share)
