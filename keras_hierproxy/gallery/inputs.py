"""What is added to a gallery, or asked of it, as points."""

import os
import pathlib
import warnings

import numpy as np

from keras_hierproxy import datasets
from keras_hierproxy.datasets.finding import is_clutter, names_of_images
from keras_hierproxy.embeddings import Embeddings
from keras_hierproxy.models.image_files import image_files, image_shape
from keras_hierproxy.retrieval.search import check_embeddings


def read_images(images, embedder, known=None):
    """Images in any form as what `embedder.embed` takes.

    Args:
        images: an array or another input of the model; an image's path, a sequence of
            paths, or a folder of images; a `RetrievalDataset`.
        embedder: an `Embedder`.
        known: as of `image_shape`.

    Returns:
        `(inputs, paths)`: the second a list of str, or None where images are no files.
    """
    if isinstance(images, datasets.RetrievalDataset):
        return images.images, images.paths
    if isinstance(images, str | os.PathLike):
        images = _in_folder(images)
    if isinstance(images, datasets.ImageFiles):
        return images, [str(path) for path in images.paths]
    if isinstance(images, list | tuple) and not len(images):
        raise ValueError("images must hold an image. Received: none.")
    if isinstance(images, list | tuple) and _is_path(images[0]):
        return image_files(images, embedder, known), [str(path) for path in images]
    takes = embedder.input_shape
    if isinstance(takes, tuple):
        images = images if hasattr(images, "shape") else np.asarray(images)
        if len(images.shape) == len(takes) - 1 and len(takes) == 4:
            images = images[None]  # a single image
    return images, None


def read_data(data, embedder):
    """A folder of images as a data set, or as files where it has no folders of classes.

    Args:
        data: path, `RetrievalDataset`, or anything that `read_images` takes.
        embedder: an `Embedder`.
    """
    if not isinstance(data, str | os.PathLike) or not os.path.isdir(data):
        return data
    if _has_folders(data):
        *size, channels = image_shape(embedder)
        mode = "grayscale" if channels == 1 else "rgb"
        return datasets.from_directory(
            data, tuple(size), mode, split=None, min_images=1, memory_limit=0
        )
    return data


def as_points(points, geometry, dimension, name="points"):
    """Points as an array `(n, d)`, checked.

    Raises:
        ValueError: they are not finite, of another dimension, or outside the geometry.
    """
    if isinstance(points, Embeddings):
        points = points.points
    points = check_embeddings(points, name)
    if points.shape[1] != dimension:
        raise ValueError(
            f"{name} must have shape (n, {dimension}), as those of the gallery. "
            f"Received shape {points.shape}: they are of another model."
        )
    with np.errstate(over="ignore"):  # to infinity, which is refused
        points = np.array(points, "float32")
    check_embeddings(points, name)
    if geometry.exact_distance is not None:
        geometry.check_points(points, name)
    return points


def _is_path(value):
    return isinstance(value, str | pathlib.PurePath)


def _has_folders(folder):
    with os.scandir(folder) as entries:
        return any(e.is_dir() for e in entries if not is_clutter(e.name))


def _in_folder(path):
    """The image at a path, or all in a folder, as a list."""
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no image, and no folder, at {path}.")
    if not path.is_dir():
        return [path]
    names, others = names_of_images(entry.name for entry in os.scandir(path))
    if not names:
        raise ValueError(
            f"The folder {path} holds no images. For folders of classes see "
            "`Gallery.build`, or `khp.datasets.from_directory`."
        )
    passed_over = [name for name in others if not (path / name).is_dir()]
    if passed_over:
        warnings.warn(
            f"Passed over {len(passed_over):,} files of {path} that are no images by "
            f"their suffix: {', '.join(passed_over[:3])}.",
            stacklevel=2,
        )
    return [path / name for name in names]
