"""Reads embeddings that `hierproxy embed` has written."""

import dataclasses
import os
import pathlib

import numpy as np

from keras_hierproxy.embeddings import items
from keras_hierproxy.embeddings.on_disk import (
    DESCRIPTION,
    EMBEDDINGS,
    ITEMS,
    PROGRESS,
    geometry_from_json,
    npy_bytes,
    read_description,
)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Embeddings:
    """The embeddings in a folder, by `load`.

    Attributes:
        points: float32 or float16 array `(n, d)` of points of `geometry`, mapped from
            the file: what is not touched takes no memory.
        labels: int32 array `(n, levels)`, finest level first, or `None`.
        level_names: tuple of a name for each level; empty without labels.
        class_names: tuple of a tuple for each level: `class_names[level][id]`.
        paths: tuple of `n` strings, where each image was, or `None`.
        is_query: bool array `(n,)`, which are queries to the others, or `None`: each
            is a query to all others.
        groups: int64 array `(n,)`, what was taken together, -1 for none; or `None`.
        geometry: where the points live.
        model: dict of the model's identity: `path` as it was given, `sha256`, `class`.
        description: dict of all that `embeddings.json` holds.

    Example:

    >>> stored = khp.embeddings.load("gallery")
    >>> stored.points.shape, stored.level_names
    ((24, 24), ('class', 'level1'))
    """

    points: np.ndarray
    labels: np.ndarray | None
    level_names: tuple
    class_names: tuple
    paths: tuple | None
    is_query: np.ndarray | None
    groups: np.ndarray | None
    geometry: object
    model: dict
    description: dict

    def __len__(self):
        return len(self.points)

    def __repr__(self):
        return (
            f"<Embeddings of {self.description['data']['name']!r}, "
            f"{self.points.dtype} {self.points.shape}, {self.geometry}>"
        )

    def check_labelled(self):
        """Raises a `ValueError` if there are no labels."""
        if self.labels is None:
            raise ValueError(
                "These embeddings have no labels, so there is nothing to evaluate. "
                "Embed a folder with a folder of images for each class."
            )

    def retrieval_arguments(self):
        """What `khp.retrieval.evaluate` takes, as keyword arguments.

        Returns:
            Dictionary of `queries` and `query_labels`; where some images are the
            gallery of others, of `gallery` and `gallery_labels`; and, where there are
            groups, of `groups` (and `gallery_groups`).

        Raises:
            ValueError: there are no labels.

        Example:

        >>> stored = khp.embeddings.load("gallery")
        >>> results = khp.retrieval.evaluate(
        ...     **stored.retrieval_arguments(), geometry=stored.geometry
        ... )
        """
        self.check_labelled()
        # Not above: a folder of embeddings is read where nothing else is needed.
        from keras_hierproxy.datasets import RetrievalDataset

        data = RetrievalDataset(
            self.points,
            self.labels,
            self.class_names,
            is_query=self.is_query,
            groups=self.groups,
        )
        return data.retrieval_arguments(self.points)


def load(folder, root=None):
    """Opens a folder of embeddings, and checks that its files agree.

    Args:
        folder: path, the `-o` of `hierproxy embed`.
        root: path of the folder that the paths in `items.csv` start from, where the
            images have been moved. By default the one that `embeddings.json` names.

    Returns:
        `Embeddings`. The points stay on disk until they are read.

    Raises:
        FileNotFoundError: the folder holds no embeddings, or not all of their files.
        ValueError: they are not finished, or damaged: the files disagree.

    Example:

    >>> stored = khp.embeddings.load("gallery")
    >>> indices, similarities = khp.retrieval.knn(
    ...     stored.points[:1], stored.points, k=6, geometry=stored.geometry
    ... )
    >>> nearest = [stored.paths[i] for i in indices[0]]
    """
    folder = pathlib.Path(folder)
    _check_finished(folder)
    description = read_description(folder / DESCRIPTION)
    for name in (EMBEDDINGS, ITEMS):
        _check_inside(folder, name)
        _check_size(folder / name, description["files"][name])
    level_names = tuple(level["name"] for level in description["levels"])
    class_names = tuple(tuple(level["classes"]) for level in description["levels"])
    points = _map_points(folder / EMBEDDINGS, description)
    paths, labels, is_query, groups = items.read(
        folder / ITEMS,
        len(points),
        level_names,
        class_names,
        description["has_roles"],
        description.get("has_groups", False),
    )
    root = root or description["data"].get("path")
    if root and paths:
        paths = tuple(os.path.join(root, path) for path in paths)
    return Embeddings(
        points,
        labels,
        level_names,
        class_names,
        paths,
        is_query,
        groups,
        geometry_from_json(description["geometry"]),
        description["model"],
        description,
    )


def _check_finished(folder):
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if (folder / DESCRIPTION).exists():
        return
    if (folder / PROGRESS).exists():
        raise ValueError(
            f"The embeddings in {folder} are not finished. Run the same `hierproxy "
            "embed` command again: it goes on where it stopped."
        )
    raise FileNotFoundError(
        f"There are no embeddings in {folder}: expected {DESCRIPTION}, {EMBEDDINGS} "
        f"and {ITEMS}, as `hierproxy embed DATA MODEL -o {folder}` writes them."
    )


def _check_inside(folder, name):
    """Raises where a link would have a file read that is not of the folder."""
    path = folder / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing. Copy the whole folder.")
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(
            f"{path} is a link to {path.resolve()}, outside of its folder, or no file. "
            "Put the file itself there."
        )


def _check_size(path, expected):
    received = path.stat().st_size
    if received != expected:
        raise ValueError(
            f"{path} has {received:,} bytes, and {DESCRIPTION} says {expected:,}: it "
            f"is {'cut short' if received < expected else 'another file'}. Copy the "
            "whole folder again, or embed anew."
        )


def _map_points(path, description):
    shape = (description["rows"], description["dimension"])
    dtype = np.dtype(description["dtype"])
    try:
        points = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # whatever NumPy makes of its header
        raise ValueError(f"{path} is no array: {error}. Embed anew.") from error
    if (
        points.shape != shape
        or points.dtype != dtype
        or path.stat().st_size != npy_bytes(*shape, dtype)
    ):
        raise ValueError(
            f"{path} holds {points.dtype} {points.shape}, and {DESCRIPTION} says "
            f"{dtype} {shape}: they are of different embeddings."
        )
    return points
