"""Images of a user's own: a folder, or a CSV file."""

import os
import pathlib

from keras_hierproxy import datasets
from keras_hierproxy.datasets.finding import (
    is_clutter,
    names_of_images,
    warn_of_passed_over,
)
from keras_hierproxy.datasets.image_reader import ImageReader
from keras_hierproxy.datasets.sources.csv_file import column_names
from keras_hierproxy.recipes.combinations import misplaced, no_such_data
from keras_hierproxy.runs.place import is_csv

# Their side, where nothing says another.
_SIDE = 64


def load_folder(source, place, image_shape, **reading):
    """The splits of a folder, as of `runs.data.load_data`."""
    return _split_classes(read_all(source, place, image_shape, **reading))


def load_csv(source, place, image_shape, **reading):
    """The splits of a CSV file, its own if it has any; as of `runs.data.load_data`."""
    if "split" in column_names(source.name):
        return _check_parts(_read_csv(source, place, image_shape, **reading))
    return _split_classes(read_all(source, place, image_shape, **reading))


def read_all(source, place, image_shape, min_images=2, **reading):
    """All images of a folder that has a folder for each class, or of a CSV file.

    Args:
        source, place, image_shape, **reading: as of `runs.data.load_data`.
        min_images: for a folder, the least number of images in a class.
    """
    if is_csv(source):
        return _read_csv(source, place, image_shape, split=None, **reading)
    _check_folder(source, place)
    return datasets.from_directory(
        source.name,
        **_size_and_color(source, image_shape),
        split=None,
        min_images=min_images,
        skip_bad=place.skip_bad,
        **reading,
    )


def read_unlabelled(source, place, image_shape):
    """The images that lie directly in a folder, to be decoded when they are needed.

    Args:
        source, place, image_shape: as of `runs.data.load_data`.

    Returns:
        An `ImageFiles`, or None where the folder has folders in it, or no images, and
        for a CSV file.
    """
    if is_csv(source):
        return None
    _check_folder(source, place)
    with os.scandir(source.name) as entries:
        visible = [entry for entry in entries if not is_clutter(entry.name)]
    names, others = names_of_images(entry.name for entry in visible)
    if not names or any(entry.is_dir() for entry in visible):
        return None
    warn_of_passed_over([pathlib.Path(source.name, name) for name in others])
    reading = _size_and_color(source, image_shape)
    reader = ImageReader(**reading, skip_bad=place.skip_bad, memory_limit=0)
    return reader.read([pathlib.Path(source.name, name) for name in names])[1]


def find_photos(paths):
    """The photos at paths, as they are named, and all in folders, sorted by name.

    Args:
        paths: sequence of paths of files and of folders.

    Returns:
        list of str.
    """
    photos, passed_over = [], []
    for path in map(str, paths):
        if not os.path.isdir(path):
            photos.append(path)
            continue
        found = []
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not is_clutter(name))
            names, others = names_of_images(files)
            found += [os.path.join(folder, name) for name in names]
            passed_over += [os.path.join(folder, name) for name in others]
        if not found:
            raise ValueError(f"The folder {path} holds no images.")
        photos += found
    warn_of_passed_over(passed_over)
    return photos


def image_size(source, image_shape):
    """`(height, width)` of a trained model, else as asked for, else None."""
    if image_shape is not None and None not in image_shape[:2]:
        return image_shape[:2]
    return source.image_size and (source.image_size, source.image_size)


def color_mode(image_shape):
    return "grayscale" if image_shape and image_shape[2] == 1 else "rgb"


def check_options(source):
    """Raises for options of other data than this."""
    for name in misplaced(source):
        raise ValueError(
            f"--{name.replace('_', '-')} does not go with --data {source.name}. "
            f"Received: {getattr(source, name)!r}."
        )


def _read_csv(source, place, image_shape, **reading):
    check_options(source)
    return datasets.from_csv(
        source.name,
        **_size_and_color(source, image_shape),
        root=place.root,
        skip_bad=place.skip_bad,
        **reading,
    )


def _size_and_color(source, image_shape):
    return {
        "image_size": image_size(source, image_shape) or _SIDE,
        "color_mode": color_mode(image_shape),
    }


def _check_folder(source, place):
    if not os.path.isdir(source.name):
        raise ValueError(no_such_data(source.name))
    if place.root is not None:
        raise ValueError(
            f"--root does not go with --data {source.name}. Received: {place.root!r}."
        )
    check_options(source)


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
