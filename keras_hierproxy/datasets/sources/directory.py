"""Images in folders: a folder a class, nested folders for nested classes."""

import os
import pathlib

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets.dataset import RetrievalDataset
from keras_hierproxy.datasets.finding import (
    is_clutter,
    names_of_images,
    same_name,
    suffixes,
    warn_of_passed_over,
)
from keras_hierproxy.datasets.image_reader import ImageReader
from keras_hierproxy.datasets.rows import check_shares

_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}


def from_directory(
    path,
    image_size=(224, 224),
    color_mode="rgb",
    split=(0.15, 0.15),
    seed=0,
    level_names=None,
    min_images=2,
    skip_bad=False,
    memory_limit=2**30,
    background="white",
):
    """Reads a folder of folders of images.

    The innermost folders are the finest classes, the folders around them the
    coarser ones: `path/fruit/apple/gala/1.jpg` is an image of three levels. All
    images lie at the same depth. Hidden files and what systems leave in folders are
    passed over, and, with a warning that counts them, files that are no images by their
    suffix (all that Pillow opens of AVIF, BMP, GIF, HEIF, JPEG, JPEG 2000, PNG, PPM,
    QOI, TIFF, WebP). Classes, and images in them, come in the order of their names;
    names that Unicode writes in two ways are one.

    Every file is checked before this returns. If the decoded images take at most
    `memory_limit` bytes, they are decoded now and kept. Otherwise only the header
    and the end of each file are read now (some 0.1 ms each; a truncated file is
    found, damage in the middle of one is not), and each batch decodes its images:
    pass `workers` to `batches`.

    Args:
        path: the folder.
        image_size: `(height, width)`, or one number for both. Images are turned
            upright (EXIF), and resized and cropped around their centre, keeping
            their proportions. Defaults to 224, which most pretrained backbones saw.
        color_mode: `"rgb"` or `"grayscale"`.
        split: shares `(validation, test)` of the classes to set aside, or `None`
            for one data set of all, for example because training and test
            images already lie in folders of their own.
        seed: seed of the split.
        level_names: a name for each level, finest first.
        min_images: the least number of images in a class. Defaults to 2: an image
            alone in its class has nothing that could be retrieved for it.
        skip_bad: whether to leave out images that cannot be read, with a warning
            that counts them, instead of raising.
        memory_limit: bytes up to which the decoded images are kept in memory.
            Defaults to 1 GiB, some 7,000 images of 224 pixels; while they are
            split, twice as much is taken. 0 never keeps them.
        background: what shines through where an image is transparent: the name of a
            colour, a gray value from 0 to 255, or three for red, green and blue.
            Defaults to `"white"`, the paper of drawings and of product photos.

    Returns:
        `Splits`, whose sets have disjoint classes; with `split=None` a
        `RetrievalDataset`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no images, an empty folder, images at different depths, an
            image that cannot be read, or a class of fewer than `min_images`.

    Example:

    >>> import pathlib
    >>> import tempfile
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("fruit/apple", "fruit/pear", "drinks/milk", "drinks/juice"):
    ...     (root / name).mkdir(parents=True)
    ...     for i in range(2):
    ...         image = np.zeros((20, 20, 3))
    ...         keras.utils.save_img(root / name / f"{i}.png", image, scale=False)
    ...
    >>> data = khp.datasets.from_directory(root, image_size=16, split=(0.25, 0.25))
    >>> data.train.class_names[1]
    ('drinks', 'fruit')
    """
    root = pathlib.Path(path)
    reader = ImageReader(image_size, color_mode, skip_bad, memory_limit, background)
    min_images = checks.integer("min_images", min_images, least=1)
    if split is not None:
        check_shares(split, seed)

    paths = _find_images(root)
    good, images = reader.read(paths)
    paths = [paths[i] for i in good]

    labels, class_names = _labels_of([p.relative_to(root).parent for p in paths])
    _check_class_sizes(labels[:, 0], class_names[0], min_images)
    data = RetrievalDataset(
        images, labels, class_names, level_names, root.resolve().name, paths
    )
    return data if split is None else data.split(*split, seed=seed)


def _find_images(root):
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    _check_not_splits(root)
    paths, passed_over = [], []
    for folder, subfolders, files in os.walk(root, onerror=_refuse, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not is_clutter(name))
        for name in subfolders:
            _check_no_loop(pathlib.Path(folder, name))
        images, others = names_of_images(files)
        if not images and not subfolders:
            raise ValueError(
                f"The folder {folder} holds no images ({', '.join(suffixes())}). "
                "Pass a folder that holds a folder of images for each class."
            )
        paths += [pathlib.Path(folder, name) for name in images]
        passed_over += [pathlib.Path(folder, name) for name in others]
    warn_of_passed_over(passed_over)
    _check_depths(root, paths)
    return paths


def _refuse(error):
    raise error


def _check_no_loop(folder):
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"The folder {folder} is a link to one that it lies in, so there is no "
            "end. Remove it."
        )


def _check_depths(root, paths):
    example = {len(path.relative_to(root).parts) - 1: path for path in paths}
    if 0 in example:
        raise ValueError(
            f"{example[0]} lies directly in the folder given, outside any class. "
            "Pass a folder that holds a folder of images for each class."
        )
    if len(example) > 1:
        (low, one), *_, (high, other) = sorted(example.items())
        raise ValueError(
            "All images must lie at the same depth, one folder a level. Received "
            f"{one} at depth {low} and {other} at depth {high}."
        )


def _check_not_splits(root):
    names = {folder.name.lower() for folder in root.iterdir() if folder.is_dir()}
    if len(names) > 1 and names <= _SPLIT_NAMES:
        raise ValueError(
            f"The folders {sorted(names)} in {root} look like a split, not like "
            "classes. Pass each of them by itself. With split=None it stays whole."
        )


def _labels_of(folders):
    """Ids and names of every level, finest first, of relative class folders."""
    levels = [
        np.unique(
            [same_name("/".join(folder.parts[:depth])) for folder in folders],
            return_inverse=True,
        )
        for depth in range(len(folders[0].parts), 0, -1)
    ]
    names, ids = zip(*levels, strict=True)
    return np.stack(ids, axis=1), [level.tolist() for level in names]


def _check_class_sizes(labels, names, min_images):
    counts = np.bincount(labels)
    small = np.flatnonzero(counts < min_images)
    if len(small):
        raise ValueError(
            f"{len(small)} of {len(names)} classes have fewer than {min_images} "
            "images: "
            + ", ".join(f"{names[i]} ({counts[i]})" for i in small[:5])
            + (", ..." if len(small) > 5 else "")
            + ". Remove them, or add images: one that is alone in its class is never "
            "found, and is left out of the metrics. With min_images=1 they stay."
        )
