"""The files of a folder of embeddings."""

import io
import pathlib

import keras
import numpy as np

from keras_hierproxy import json_files
from keras_hierproxy.geometry import PoincareBall, Sphere

EMBEDDINGS = "embeddings.npy"
ITEMS = "items.csv"
# Where they are not the rows.
IDS = "ids.npy"
REMOVED = "removed.npy"
EMBEDDER = "embedder.keras"
DESCRIPTION = "embeddings.json"
PROGRESS = "progress.json"
# Of files that are still written to.
PART = ".part"
FORMAT_VERSION = 1
_ADVICE = "Copy the whole folder again, or remove it and embed anew."
# Of the names of a million classes.
_MOST_BYTES = 2**28
# A file's word picks among these, and no other class.
_GEOMETRIES = {
    keras.saving.get_registered_name(geometry): geometry
    for geometry in (Sphere, PoincareBall)
}


def file_name(name, generation):
    """What a file is called in a folder that was written anew so many times.

    Example:

    >>> file_name("items.csv", 0), file_name("items.csv", 2)
    ('items.csv', 'items-2.csv')
    """
    path = pathlib.PurePath(name)
    return f"{path.stem}-{generation}{path.suffix}" if generation else name


def npy_header(num_rows, dimension, dtype):
    """The first bytes of a `.npy` file, of the same length for any number of rows.

    `dimension` is None for an array of one axis.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": (num_rows,) if dimension is None else (num_rows, dimension),
        },
    )
    return header.getvalue()


def npy_bytes(num_rows, dimension, dtype):
    """The size of a `.npy` file."""
    header = npy_header(num_rows, dimension, dtype)
    return len(header) + num_rows * (dimension or 1) * np.dtype(dtype).itemsize


def read_description(path):
    """What `embeddings.json` holds."""
    from keras_hierproxy import schemas  # imports pydantic

    description = json_files.read(path, dict, _ADVICE, _MOST_BYTES)
    if description.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path} is of format {description.get('format_version')!r}; this version "
            f"reads {FORMAT_VERSION}."
        )
    json_files.check(description, str(path), schemas.EmbeddingsJson, _ADVICE)
    return description


def read_progress(path):
    """What `progress.json` holds."""
    from keras_hierproxy import schemas  # imports pydantic

    return json_files.read(path, schemas.ProgressJson, _ADVICE, _MOST_BYTES)


def geometry_to_json(geometry):
    name = keras.saving.get_registered_name(type(geometry))
    if name not in _GEOMETRIES:
        raise ValueError(
            "Embeddings are kept of points on `khp.geometry.Sphere()` or in "
            f"`khp.geometry.PoincareBall()`. Received: geometry={geometry!r}."
        )
    return {"name": name, "config": geometry.get_config()}


def geometry_from_json(saved):
    return _GEOMETRIES[saved["name"]].from_config(saved["config"])
