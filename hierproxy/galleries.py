"""What the commands of galleries share."""

import glob
import os
from typing import Annotated

import typer

from hierproxy.options import option
from hierproxy.start import import_runs

GalleryPlace = Annotated[
    str,
    typer.Argument(
        help="Folder of a gallery, as `hierproxy embed` writes it; or one in Milvus: "
        "its file `*.db`, or its address, `http://host:19530`, and `#name` behind.",
        metavar="GALLERY",
    ),
]
ModelOfMilvus = Annotated[
    str | None,
    option(
        "Of a gallery in Milvus, the model of its points, where that is no shipped "
        "preset: a run, a `.keras` file or the folder of a preset.",
        "--model",
        panel="Data",
        metavar="MODEL",
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


def start(place, backend, *photos):
    """Imports Keras, after what can be checked before.

    Args:
        place: a `GalleryPlace`.
        backend: its name, or None.
        *photos: lists of paths and of patterns.

    Returns:
        `keras_hierproxy.runs`, and lists of the paths that are there.
    """
    if in_milvus(place):
        file = place.partition("#")[0]
        if "://" not in file and not os.path.exists(file):
            raise FileNotFoundError(
                f"There is no file {file}. In Python, `Gallery.copy_to` makes one of a "
                "gallery in a folder."
            )
    elif not os.path.isdir(place):
        raise FileNotFoundError(
            f"There is no folder {place}. A gallery is made by "
            f"`hierproxy embed DATA MODEL --output {place}`."
        )
    return import_runs(backend), *map(_existing, photos)


def opened(runs, place, model=None, asked=True):
    """The `khp.Gallery` of a `GalleryPlace`, with a `ModelOfMilvus`.

    `asked` says whether it is asked by images, for which it needs a model.
    """
    if not in_milvus(place):
        if model is not None:
            raise ValueError(
                f"--model is for galleries in Milvus: {place} holds its own."
            )
        return runs.Gallery.load(place)
    gallery = runs.Gallery(engine="milvus", uri=place)  # raises where there is none
    if model is not None:
        gallery = runs.Gallery(model, engine="milvus", uri=place)
    if asked and gallery.embedder is None:
        raise ValueError(
            f"{place} keeps no model: name that of its points with --model."
        )
    return gallery


def in_milvus(place):
    """Whether a `GalleryPlace` is one in Milvus."""
    place = place.partition("#")[0]
    if "://" in place:
        return True
    # Milvus Lite, too, keeps its "file" as a folder.
    stored = os.path.join(place, "embeddings.json")
    return place.endswith(".db") and not os.path.exists(stored)


def _existing(patterns):
    paths = []
    for pattern in patterns or ():
        there = os.path.exists(pattern)
        found = [pattern] if there else sorted(glob.glob(pattern, recursive=True))
        if not found:
            raise FileNotFoundError(f"There is no photo, and no folder, {pattern!r}.")
        paths += found
    return paths
