"""The data of a run."""

import os

from keras_hierproxy import datasets
from keras_hierproxy.runs.settings import DATA_SETS

# The options of single data sets.
_OPTIONS = {
    "train_groups": ("omniglot",),
    "test_groups": ("omniglot",),
    "test_split": ("grocery_store",),
}


def load_data(settings, image_shape=None):
    """The splits that the settings name: a known data set or a folder of images.

    Args:
        settings: `Settings`.
        image_shape: `(height, width, channels)`, None where any will do, that a
            trained model takes. By default the settings decide.
    """
    if settings.data not in DATA_SETS:
        return _split_classes(read_folder(settings, image_shape))
    for name, data_sets in _OPTIONS.items():
        if settings.data not in data_sets:
            _refuse(settings, name)
    if settings.data == "glyphs":
        _refuse(settings, "image_size")
        return datasets.load("glyphs", root=settings.root)
    options = {name: getattr(settings, name) for name in _OPTIONS}
    options["skip_bad"] = settings.skip_bad
    size = _image_size(settings, image_shape)
    if settings.data == "omniglot":
        options["image_size"] = size and size[0]
    else:
        options["image_size"] = size or (224 if settings.preset else 96)
        options["color_mode"] = _color_mode(image_shape)
    options = {name: value for name, value in options.items() if value is not None}
    return datasets.load(settings.data, root=settings.root, **options)


def read_folder(settings, image_shape):
    if not os.path.isdir(settings.data):
        raise ValueError(
            f"{settings.data!r} is neither a data set ({', '.join(DATA_SETS)}) nor a "
            "folder of images."
        )
    _refuse(settings, "root", *_OPTIONS)
    size = _image_size(settings, image_shape) or (224 if settings.preset else 64)
    return datasets.from_directory(
        settings.data,
        image_size=size,
        color_mode=_color_mode(image_shape),
        split=None,
        skip_bad=settings.skip_bad,
    )


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
