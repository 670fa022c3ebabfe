"""Reads embeddings that `hierproxy embed` has written."""

import dataclasses
import itertools
import os
import pathlib

import numpy as np

from keras_hierproxy.embeddings import items
from keras_hierproxy.embeddings.on_disk import (
    DESCRIPTION,
    EMBEDDINGS,
    IDS,
    ITEMS,
    PROGRESS,
    REMOVED,
    file_name,
    geometry_from_json,
    npy_bytes,
    read_description,
)
from keras_hierproxy.labels import check_nested


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Embeddings:
    """The embeddings in a folder, by `load`.

    Attributes:
        points: float32 or float16 array `(n, d)` of points of `geometry`, mapped from
            the file: what is not touched takes no memory. Where a gallery has had
            items removed, those that are left, in memory.
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
        ids: int64 array `(n,)`, by which a `khp.Gallery` knows them.
        kept: None.

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
    ids: np.ndarray
    kept: np.ndarray | None = None

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
    stored = read(folder, root)
    kept = stored.kept
    points, labels, is_query, groups, ids = (
        each if each is None or kept is None else each[kept]
        for each in (
            stored.points,
            stored.labels,
            stored.is_query,
            stored.groups,
            stored.ids,
        )
    )
    paths = stored.paths
    if paths is not None and kept is not None:
        paths = tuple(itertools.compress(paths, kept))
    return dataclasses.replace(
        stored,
        points=points,
        labels=labels,
        paths=paths,
        is_query=is_query,
        groups=groups,
        ids=ids,
        kept=None,
    )


def read(folder, root=None):
    """As `load`, with the rows that were removed.

    Another process may write meanwhile: all files are read as of one moment.

    Returns:
        `Embeddings` whose `kept` says which rows are left, if any was removed.
    """
    folder = pathlib.Path(folder)
    _check_finished(folder)
    while True:
        description = read_description(folder / DESCRIPTION)
        try:
            return _read(folder, description, root)
        except (FileNotFoundError, ValueError):
            # Unless it is of a moment that has passed.
            if read_description(folder / DESCRIPTION) == description:
                raise


def _read(folder, description, root):
    files, generation = description["files"], description.get("generation", 0)
    paths = {name: folder / file_name(name, generation) for name in files}
    for name, path in paths.items():
        _check_inside(folder, path)
        _check_size(path, files[name])
    level_names = tuple(level["name"] for level in description["levels"])
    class_names = tuple(tuple(level["classes"]) for level in description["levels"])
    rows = description["rows"]
    points = _map(
        paths[EMBEDDINGS],
        (rows, description["dimension"]),
        description["dtype"],
        files[EMBEDDINGS],
    )
    ids = np.arange(rows)
    if IDS in files:
        ids = np.array(_map(paths[IDS], (rows,), "int64", files[IDS]))
    kept = None
    if REMOVED in files:
        kept = np.ones(rows, bool)
        count = (files[REMOVED] - npy_bytes(0, None, "int64")) // 8
        removed = _map(paths[REMOVED], (count,), "int64", files[REMOVED])
        if count and not 0 <= removed.min() <= removed.max() < rows:
            raise ValueError(f"{paths[REMOVED]} is damaged: it names no such row.")
        kept[removed] = False
    left = ids if kept is None else ids[kept]
    if len(left) and (len(np.unique(left)) < len(left) or left.min() < 0):
        raise ValueError(f"{paths[IDS]} is damaged: an id is there twice.")
    image_paths, labels, is_query, groups = items.read(
        paths[ITEMS],
        files[ITEMS],
        rows,
        level_names,
        class_names,
        description["has_roles"],
        description.get("has_groups", False),
    )
    if labels is not None:
        check_nested(labels, f"{paths[ITEMS]}: labels", level_names, class_names)
    root = root or description["data"].get("path")
    if root and image_paths:
        image_paths = tuple(path and os.path.join(root, path) for path in image_paths)
    return Embeddings(
        points,
        labels,
        level_names,
        class_names,
        image_paths,
        is_query,
        groups,
        geometry_from_json(description["geometry"]),
        description["model"],
        description,
        ids,
        kept,
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


def _check_inside(folder, path):
    """Raises where a link would have a file read that is not of the folder."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing. Copy the whole folder.")
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(
            f"{path} is a link to {path.resolve()}, outside of its folder, or no file. "
            "Put the file itself there."
        )


def _check_size(path, expected):
    # More is what a process wrote that was killed before it could say so.
    received = path.stat().st_size
    if received < expected:
        raise ValueError(
            f"{path} has {received:,} bytes, and {DESCRIPTION} says {expected:,}: it "
            "is cut short. Copy the whole folder again, or embed anew."
        )


def _map(path, shape, dtype, num_bytes):
    """The array in the first `num_bytes` of a `.npy` file, not read yet."""
    dtype = np.dtype(dtype)
    try:
        with path.open("rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("it is of another version of the format")
            there = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
    except Exception as error:  # whatever NumPy makes of its header
        raise ValueError(f"{path} is no array: {error}. Embed anew.") from error
    in_rows, by_columns, of = there
    # The header counts what was there before, until the description has said more.
    fits = in_rows[1:] == shape[1:] and in_rows[:1] <= shape[:1] and not by_columns
    if not fits or of != dtype or num_bytes != npy_bytes(*(*shape, None)[:2], dtype):
        raise ValueError(
            f"{path} holds {of} {in_rows}, and {DESCRIPTION} says "
            f"{dtype} {shape}: they are of different embeddings."
        )
    if not shape[0]:
        return np.empty(shape, dtype)  # of which there is no map
    return np.memmap(path, dtype, "r", offset, shape)
