"""The data of a run."""

import dataclasses
import os
import pathlib

from keras_hierproxy import datasets, shipped
from keras_hierproxy.datasets.finding import (
    is_clutter,
    names_of_images,
    warn_of_passed_over,
)
from keras_hierproxy.datasets.glyphs.turns import with_quarter_turns
from keras_hierproxy.datasets.image_reader import ImageReader
from keras_hierproxy.datasets.sources.csv_file import column_names
from keras_hierproxy.runs.settings import DATA_SETS

# Data sets with Omniglot's alphabets.
DRAWINGS = ("omniglot", "letters")
# Whose reader knows which images to turn.
_TURNED_BY_READER = ("letters",)
# The options of single data sets.
_OPTIONS = {
    "train_groups": DRAWINGS,
    "test_groups": DRAWINGS,
    "test_split": ("grocery_store",),
}


def load_data(settings, image_shape=None, **reading):
    """The splits that the settings name: a known data set, a folder or a CSV file.

    Args:
        settings: `Settings`.
        image_shape: `(height, width, channels)`, None where any will do, that a
            trained model takes. By default that of a shipped preset; else the
            settings decide.
        **reading: for photos, further arguments of `from_directory`, `from_csv` and
            the readers of `datasets.load`.
    """
    presets = shipped.presets()
    if image_shape is None and settings.image_size is None:
        if settings.preset in presets:
            image_shape = tuple(presets[settings.preset]["image_shape"])
    splits = _load_data(settings, image_shape, **reading)
    if settings.quarter_turns and settings.data not in _TURNED_BY_READER:
        train = with_quarter_turns(splits.train)
        splits = dataclasses.replace(splits, train=train)
    return splits


def _load_data(settings, image_shape, **reading):
    if settings.data not in DATA_SETS:
        if _is_csv(settings) and "split" in column_names(settings.data):
            return _check_parts(_read_csv(settings, image_shape, **reading))
        return _split_classes(read_folder(settings, image_shape, **reading))
    for name, data_sets in _OPTIONS.items():
        if settings.data not in data_sets:
            _refuse(settings, name)
    if settings.data == "glyphs":
        _refuse(settings, "image_size")
        return datasets.load("glyphs", root=settings.root)
    options = {name: getattr(settings, name) for name in _OPTIONS}
    options["skip_bad"] = settings.skip_bad
    options["validation"] = settings.validation
    size = _image_size(settings, image_shape)
    if settings.data == "letters":
        options["quarter_turns"] = settings.quarter_turns
    if settings.data in DRAWINGS:
        options["image_size"] = size and size[0]
    else:
        options["image_size"] = size or (224 if settings.preset else 96)
        options["color_mode"] = _color_mode(image_shape)
        options |= reading
    options = {name: value for name, value in options.items() if value is not None}
    return datasets.load(settings.data, root=settings.root, **options)


def data_root(settings):
    """The folder that the images of some data lie in, or None where they are no files.

    Of a data set with a name, and of a CSV file, `root`; of the latter by default the
    folder of the file. Else the folder of images itself.
    """
    if settings.data == "glyphs":
        return None
    if settings.data in DATA_SETS:
        return settings.root
    if _is_csv(settings):
        return settings.root or os.path.dirname(os.path.abspath(settings.data))
    return settings.data


def usual_split(settings):
    """The split that a model is tried on, where none is named.

    `"test"` where the data says what belongs to it: of a data set with a name, and of
    a CSV file with a column `split`. Else `"all"`.
    """
    splits = settings.data in DATA_SETS or (
        _is_csv(settings) and "split" in column_names(settings.data)
    )
    return "test" if splits else "all"


def read_folder(settings, image_shape, min_images=2, **reading):
    """All images of a folder that has a folder for each class, or of a CSV file.

    Args:
        settings, image_shape, **reading: as of `load_data`.
        min_images: for a folder, the least number of images in a class.
    """
    if _is_csv(settings):
        return _read_csv(settings, image_shape, split=None, **reading)
    _check_folder(settings)
    size, color_mode = _size_and_color(settings, image_shape)
    return datasets.from_directory(
        settings.data,
        image_size=size,
        color_mode=color_mode,
        split=None,
        min_images=min_images,
        skip_bad=settings.skip_bad,
        **reading,
    )


def read_unlabelled(settings, image_shape):
    """The images that lie directly in a folder, to be decoded when they are needed.

    Args:
        settings, image_shape: as of `load_data`.

    Returns:
        An `ImageFiles`, or None where the folder has folders in it, or no images, and
        for a CSV file.
    """
    if _is_csv(settings):
        return None
    _check_folder(settings)
    with os.scandir(settings.data) as entries:
        visible = [entry for entry in entries if not is_clutter(entry.name)]
    names, others = names_of_images(entry.name for entry in visible)
    if not names or any(entry.is_dir() for entry in visible):
        return None
    warn_of_passed_over([pathlib.Path(settings.data, name) for name in others])
    size, color_mode = _size_and_color(settings, image_shape)
    reader = ImageReader(size, color_mode, settings.skip_bad, memory_limit=0)
    return reader.read([pathlib.Path(settings.data, name) for name in names])[1]


def _check_folder(settings):
    if not os.path.isdir(settings.data):
        raise ValueError(
            f"{settings.data!r} is neither a data set ({', '.join(DATA_SETS)}) nor a "
            "folder of images nor a .csv file."
            + shipped.did_you_mean(settings.data, DATA_SETS)
        )
    _refuse(settings, "root", *_OPTIONS)


def _is_csv(settings):
    return settings.data.lower().endswith(".csv")


def _read_csv(settings, image_shape, **reading):
    _refuse(settings, *_OPTIONS)
    size, color_mode = _size_and_color(settings, image_shape)
    return datasets.from_csv(
        settings.data,
        image_size=size,
        root=settings.root,
        color_mode=color_mode,
        skip_bad=settings.skip_bad,
        **reading,
    )


def _size_and_color(settings, image_shape):
    """Of photos in a folder or a CSV file."""
    size = _image_size(settings, image_shape) or (224 if settings.preset else 64)
    return size, _color_mode(image_shape)


def _image_size(settings, image_shape):
    """`(height, width)` of a trained model, else as asked for, else None."""
    if image_shape is not None and None not in image_shape[:2]:
        return image_shape[:2]
    return settings.image_size and (settings.image_size, settings.image_size)


def _color_mode(image_shape):
    return "grayscale" if image_shape and image_shape[2] == 1 else "rgb"


def _refuse(settings, *names):
    for name in names:
        value = getattr(settings, name)
        if value is not None:
            raise ValueError(
                f"--{name.replace('_', '-')} does not go with --data {settings.data}. "
                f"Received: {value!r}."
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
