"""The files of a folder of embeddings."""

import io
import json
import os

import keras
import numpy as np

EMBEDDINGS = "embeddings.npy"
ITEMS = "items.csv"
DESCRIPTION = "embeddings.json"
PROGRESS = "progress.json"
# Of files that are still written to.
PART = ".part"
FORMAT_VERSION = 1


def npy_header(num_rows, dimension, dtype):
    """The first bytes of a `.npy` file, of the same length for any number of rows."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": (num_rows, dimension),
        },
    )
    return header.getvalue()


def npy_bytes(num_rows, dimension, dtype):
    """The size of a `.npy` file."""
    header = npy_header(num_rows, dimension, dtype)
    return len(header) + num_rows * dimension * np.dtype(dtype).itemsize


def read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}). Remove its folder and embed anew."
        ) from error


def write_json(path, content):
    """Replaces a file by another in one step: never is there half of it."""
    unfinished = path.with_name(path.name + PART)
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def geometry_to_json(geometry):
    return {
        "name": keras.saving.get_registered_name(type(geometry)),
        "config": geometry.get_config(),
    }


def geometry_from_json(saved):
    geometry = keras.saving.get_registered_object(saved["name"])
    if geometry is None:
        raise ValueError(
            f"The embeddings live in the geometry {saved['name']!r}, which is not "
            "known here. Import the module that registers it first."
        )
    return geometry.from_config(saved["config"])
