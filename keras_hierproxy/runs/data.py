"""The data of a run."""

import dataclasses
import os
import pathlib

from keras_hierproxy import datasets, recipes, shipped
from keras_hierproxy.datasets.finding import (
    is_clutter,
    names_of_images,
    warn_of_passed_over,
)
from keras_hierproxy.datasets.glyphs.turns import with_quarter_turns
from keras_hierproxy.datasets.image_reader import ImageReader
from keras_hierproxy.datasets.sources.csv_file import column_names
from keras_hierproxy.recipes.combinations import misplaced, parameters

# Data sets of drawings, which are square and gray.
DRAWINGS = ("omniglot", "letters")
# The side of photos, where nothing says another: of data sets, and of other folders.
_SIDE, _SIDE_OF_FOLDERS = 96, 64


@dataclasses.dataclass(frozen=True)
class Place:
    """What is no part of a run's recipe: it may be another elsewhere.

    Attributes:
        root: the folder with the official files of the data set, or None.
        skip_bad: bool, whether to leave out images that cannot be read.
        seed: int.
    """

    root: str | None = None
    skip_bad: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.root is not None:
            # So that a run is understood in another working folder, too.
            object.__setattr__(self, "root", recipes.absolute(self.root))


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
    elif _is_csv(source) and "split" in column_names(source.name):
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


def name_of(value):
    """A data set, preset or run as others know it: of a path its last part."""
    is_path = os.path.isabs(value) or os.path.exists(value)
    return os.path.basename(os.path.abspath(value)) if is_path else str(value)


def data_root(source, place):
    """The folder that the images of some data lie in, or None where they are no files.

    Of a data set with a name, and of a CSV file, `root`; of the latter by default the
    folder of the file. Else the folder of images itself.
    """
    if source.name == "glyphs":
        return None
    if source.name in datasets.NAMES:
        return place.root
    if _is_csv(source):
        return place.root or os.path.dirname(os.path.abspath(source.name))
    return source.name


def usual_split(source):
    """The split that a model is tried on, where none is named.

    `"test"` where the data says what belongs to it: of a data set with a name, and of
    a CSV file with a column `split`. Else `"all"`.
    """
    splits = source.name in datasets.NAMES or (
        _is_csv(source) and "split" in column_names(source.name)
    )
    return "test" if splits else "all"


def read_folder(source, place, image_shape, min_images=2, **reading):
    """All images of a folder that has a folder for each class, or of a CSV file.

    Args:
        source, place, image_shape, **reading: as of `load_data`.
        min_images: for a folder, the least number of images in a class.
    """
    if _is_csv(source):
        return _read_csv(source, place, image_shape, split=None, **reading)
    _check_folder(source, place)
    size, color_mode = _size_and_color(source, image_shape)
    return datasets.from_directory(
        source.name,
        image_size=size,
        color_mode=color_mode,
        split=None,
        min_images=min_images,
        skip_bad=place.skip_bad,
        **reading,
    )


def read_unlabelled(source, place, image_shape):
    """The images that lie directly in a folder, to be decoded when they are needed.

    Args:
        source, place, image_shape: as of `load_data`.

    Returns:
        An `ImageFiles`, or None where the folder has folders in it, or no images, and
        for a CSV file.
    """
    if _is_csv(source):
        return None
    _check_folder(source, place)
    with os.scandir(source.name) as entries:
        visible = [entry for entry in entries if not is_clutter(entry.name)]
    names, others = names_of_images(entry.name for entry in visible)
    if not names or any(entry.is_dir() for entry in visible):
        return None
    warn_of_passed_over([pathlib.Path(source.name, name) for name in others])
    size, color_mode = _size_and_color(source, image_shape)
    reader = ImageReader(size, color_mode, place.skip_bad, memory_limit=0)
    return reader.read([pathlib.Path(source.name, name) for name in names])[1]


def _check_folder(source, place):
    if not os.path.isdir(source.name):
        raise ValueError(
            f"{source.name!r} is neither a data set ({', '.join(datasets.NAMES)}) nor "
            "a folder of images nor a .csv file."
            + shipped.did_you_mean(source.name, datasets.NAMES)
        )
    if place.root is not None:
        raise ValueError(
            f"--root does not go with --data {source.name}. Received: {place.root!r}."
        )
    _check_options(source)


def _is_csv(source):
    return source.name.lower().endswith(".csv")


def _read_csv(source, place, image_shape, **reading):
    _check_options(source)
    size, color_mode = _size_and_color(source, image_shape)
    return datasets.from_csv(
        source.name,
        image_size=size,
        root=place.root,
        color_mode=color_mode,
        skip_bad=place.skip_bad,
        **reading,
    )


def _size_and_color(source, image_shape):
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
