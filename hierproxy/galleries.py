"""What the commands of galleries share."""

import glob
import os
import pathlib
from typing import Annotated

import typer

from hierproxy.options import option
from hierproxy.start import import_runs

GalleryFolder = Annotated[
    pathlib.Path,
    typer.Argument(
        help="Folder of a gallery, as `hierproxy embed` writes it.", metavar="GALLERY"
    ),
]
Photos = Annotated[
    list[str],
    typer.Argument(
        help='Photos, folders of them, or patterns such as `"new/*.jpg"`.',
        metavar="PHOTOS",
    ),
]
Json = Annotated[
    bool, option("Print JSON, for other programs.", "--json", panel="Output")
]


def start(folder, backend, *photos):
    """Imports Keras, after what can be checked before.

    Args:
        folder: path of a gallery.
        backend: its name, or None.
        *photos: lists of paths and of patterns.

    Returns:
        `keras_hierproxy.runs`, and lists of the paths that are there.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder}. A gallery is made by "
            f"`hierproxy embed DATA MODEL --output {folder}`."
        )
    return import_runs(backend), *map(_existing, photos)


def _existing(patterns):
    paths = []
    for pattern in patterns or ():
        there = os.path.exists(pattern)
        found = [pattern] if there else sorted(glob.glob(pattern, recursive=True))
        if not found:
            raise FileNotFoundError(f"There is no photo, and no folder, {pattern!r}.")
        paths += found
    return paths
