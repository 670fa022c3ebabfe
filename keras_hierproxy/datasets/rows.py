"""What index files list, rows of paths and classes, turned into data sets."""

import dataclasses

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets.dataset import RetrievalDataset


@dataclasses.dataclass
class Rows:
    """The images of one set.

    Args:
        num_levels: number of label levels.

    Attributes:
        paths: list of `N` paths.
        levels: for each level, finest first, a list of `N` classes: strings, or
            numbers, which sort as such.
        is_query: list of `N` bools, or empty.
        groups: list of `N` strings, what was taken together, or empty.
        columns: dict of further columns, each a list of `N` strings.
    """

    num_levels: dataclasses.InitVar[int]
    paths: list = dataclasses.field(default_factory=list)
    levels: list = dataclasses.field(default_factory=list)
    is_query: list = dataclasses.field(default_factory=list)
    groups: list = dataclasses.field(default_factory=list)
    columns: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self, num_levels):
        self.levels = [[] for _ in range(num_levels)]

    def __len__(self):
        return len(self.paths)

    def append(self, path, *classes):
        """Adds an image and its class on each level."""
        self.paths.append(path)
        for level, value in zip(self.levels, classes, strict=True):
            level.append(value)

    @property
    def num_classes(self):
        """Number of classes of the finest level."""
        return len(set(self.levels[0]))


def read_rows(parts, reader, level_names):
    """Reads the images of several sets.

    Together, so that all are kept in memory or none, and one warning counts the bad.

    Args:
        parts: dict of names of sets to `Rows`.
        reader: `ImageReader`.
        level_names: a name for each level, finest first.

    Returns:
        List of a `RetrievalDataset` for each set.
    """
    paths = sum((rows.paths for rows in parts.values()), [])
    good, images = reader.read(paths)
    levels = zip(*(rows.levels for rows in parts.values()), strict=True)
    names, labels = zip(*(_number(sum(level, [])) for level in levels), strict=True)
    labels = np.stack(labels, axis=1)[good]
    class_names = [[str(name) for name in level] for level in names]
    queries = sum((rows.is_query or [False] * len(rows) for rows in parts.values()), [])
    groups = sum((rows.groups or [""] * len(rows) for rows in parts.values()), [])
    columns = {
        key: np.array(sum((rows.columns[key] for rows in parts.values()), []))
        for key in next(iter(parts.values())).columns
    }
    ends = np.searchsorted(good, np.cumsum([len(rows) for rows in parts.values()]))
    data = []
    for at, (name, rows) in zip(
        np.split(np.arange(len(good)), ends[:-1]), parts.items(), strict=True
    ):
        if not len(at):
            raise ValueError(f"{name!r} has no image that can be read.")
        data.append(
            RetrievalDataset(
                images.subset(at) if hasattr(images, "subset") else images[at],
                labels[at],
                class_names,
                level_names,
                name,
                [paths[good[i]] for i in at],
                [queries[good[i]] for i in at] if rows.is_query else None,
                [groups[good[i]] for i in at] if rows.groups else None,
                {key: column[np.asarray(good)[at]] for key, column in columns.items()},
            )
        )
    return data


def check_shares(split, seed):
    """Raises `ValueError` for what is not the shares of two sets, or no seed.

    `RetrievalDataset.split` does too, after all images are read.
    """
    if not isinstance(split, list | tuple) or len(split) != 2:
        raise ValueError(
            "split must be two shares of the classes, (validation, test), or None. "
            f"Received: {split!r}"
        )
    for share in split:
        checks.real("split", share, least=0)
    if sum(split) >= 1:
        raise ValueError(
            f"Shares of {split} of the classes leave no training class. Pass shares in "
            "[0, 1) that leave at least one."
        )
    checks.integer("seed", seed, least=0)


def _number(values):
    """The sorted names, and the place of each value among them."""
    names = sorted(set(values))
    ids = {name: i for i, name in enumerate(names)}
    return names, [ids[value] for value in values]
