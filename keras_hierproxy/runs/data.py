"""The data of a run."""

import os

from keras_hierproxy import datasets
from keras_hierproxy.runs.settings import DATA_SETS


def load_data(settings, image_shape=None):
    """The splits that the settings name: a known data set or a folder of images.

    Args:
        settings: `Settings`.
        image_shape: `(height, width, channels)`, None where any will do, that a
            trained model takes. By default the settings decide.
    """
    if settings.data not in DATA_SETS:
        return _split_classes(read_folder(settings, image_shape))
    options = {}
    if settings.data == "omniglot":
        if settings.root is None:
            raise ValueError(
                "Omniglot is not downloaded: pass --root, the folder that holds "
                "images_background_small1.zip or another of its official files."
            )
        size = _image_size(settings, image_shape)
        options = {
            "train_groups": settings.train_groups,
            "test_groups": settings.test_groups,
            "image_size": size and size[0],
            "skip_bad": settings.skip_bad or None,
        }
    else:
        _refuse(settings, "train_groups", "test_groups", "image_size")
    options = {name: value for name, value in options.items() if value is not None}
    return datasets.load(settings.data, root=settings.root, **options)


def read_folder(settings, image_shape):
    if not os.path.isdir(settings.data):
        raise ValueError(
            f"{settings.data!r} is neither a data set ({', '.join(DATA_SETS)}) nor a "
            "folder of images."
        )
    _refuse(settings, "root", "train_groups", "test_groups")
    size = _image_size(settings, image_shape) or (224 if settings.preset else 64)
    channels = image_shape[2] if image_shape else 3
    return datasets.from_directory(
        settings.data,
        image_size=size,
        color_mode="grayscale" if channels == 1 else "rgb",
        split=None,
        skip_bad=settings.skip_bad,
    )


def _image_size(settings, image_shape):
    """`(height, width)` of a trained model, else as asked for, else None."""
    if image_shape is not None and None not in image_shape[:2]:
        return image_shape[:2]
    return settings.image_size and (settings.image_size, settings.image_size)


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
