"""Which images may be shown: those that lie in the folder of their data.

A report is passed on, and whoever wrote a list of paths, or a link in a folder of
images, must not choose which pictures of this machine stand in it.
"""

import copy
import os
import warnings

import numpy as np


def only_below(root, data):
    """A data set whose images are blank where they lie outside of a folder.

    Args:
        root: path of the folder; None for images that are no files.
        data: `khp.datasets.RetrievalDataset`.

    Returns:
        A `RetrievalDataset` for reports. Links are followed, and `..`, before it is
        decided. That an image is left out is told once, by a warning.
    """
    if root is None or data.paths is None or len(data.images.shape) != 4:
        return data
    shown = copy.copy(data)
    shown.images = _ImagesBelow(os.path.realpath(root), data)
    return shown


def is_below(root, path):
    """Whether a path leads into a folder, whose path has no links."""
    return os.path.commonpath([root, os.path.realpath(path)]) == root


def shown_of(gallery, root=None):
    """A function of the path of an item's image: whether it may be shown.

    Args:
        gallery: `khp.Gallery`.
        root: path of the folder that holds all that may be; by default the gallery's.
    """
    root = root or gallery.root
    if root is None:
        return lambda path: False
    root = os.path.realpath(root)
    return lambda path: bool(path) and is_below(root, path)


class _ImagesBelow:
    """The images of a data set, one at a time, those outside of a folder white."""

    def __init__(self, root, data):
        self._root = root
        self._paths = data.paths
        self._images = data.images
        self._told = False
        self.shape = data.images.shape
        self.dtype = data.images.dtype

    def __len__(self):
        return len(self._images)

    def __getitem__(self, row):
        # What lies in an archive lies, by its path, below it.
        if is_below(self._root, self._paths[row]):
            return self._images[row]
        if not self._told:
            self._told = True
            warnings.warn(
                f"Images outside of the data's folder {self._root} are not shown in "
                f"reports and pictures, such as {self._paths[row]}. If they may be, "
                "name with --root the folder that holds all of them.",
                stacklevel=2,
            )
        return np.full(self.shape[1:], 255, self.dtype)
