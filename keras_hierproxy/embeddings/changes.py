"""Changes of a folder of finished embeddings, each durable and in one step.

Files only grow: what is new goes behind what `embeddings.json` says is there, and is on
the disk before a new `embeddings.json` says that there is more. Killed at any moment,
the folder holds what it did before, or all of the change, and those that read it
meanwhile keep what they have opened.
"""

import contextlib
import os
import pathlib

import numpy as np

from keras_hierproxy.embeddings import items
from keras_hierproxy.embeddings.on_disk import (
    DESCRIPTION,
    EMBEDDER,
    EMBEDDINGS,
    FORMAT_VERSION,
    IDS,
    ITEMS,
    PROGRESS,
    REMOVED,
    file_name,
    npy_bytes,
    npy_header,
    read_description,
)
from keras_hierproxy.files import names_in, naming, replacing, write_json

_OURS = (EMBEDDINGS, ITEMS, IDS, REMOVED, EMBEDDER)
# Rows of text, and of points, that are written at a time.
_BLOCK = 1 << 14


def append(folder, description, points=None, rows=None, ids=None, removed=(), **fields):
    """Adds rows to a folder that this process has locked, or marks some as removed.

    Args:
        folder: path.
        description: dict, what `embeddings.json` says.
        points: float array `(n, d)`, or None.
        rows: what `items.lines` takes as data: labels, paths and so on of the `n`.
        ids: int64 array of the ids that the file of ids does not have yet, where there
            is one or is to be one; else None.
        removed: int sequence, rows.
        **fields: other entries of `embeddings.json`.

    Returns:
        dict, what `embeddings.json` says now.
    """
    folder = pathlib.Path(folder)
    files = dict(description["files"])
    before, dtype = description["rows"], description["dtype"]
    dimension = description["dimension"]
    num_rows = before + (0 if points is None else len(points))
    generation = description.get("generation", 0)
    headers = {}

    def add(name, values, first, dtype, dimension=None):
        values = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
        start = npy_bytes(first, dimension, dtype)
        header = None if files.get(name) else npy_header(0, dimension, dtype)
        _write_at(folder / file_name(name, generation), start, values.data, header)
        files[name] = npy_bytes(first + len(values), dimension, dtype)
        headers[name] = npy_header(first + len(values), dimension, dtype)

    if points is not None:
        add(EMBEDDINGS, points, before, dtype, dimension)
        lines = items.lines(rows, before, range(len(points)))
        _write_at(folder / file_name(ITEMS, generation), files[ITEMS], lines)
        files[ITEMS] += len(lines)
    if ids is not None:
        add(IDS, ids, num_rows - len(ids), "int64")
    if len(removed):
        add(REMOVED, removed, num_removed(description), "int64")
    description = {**description, **fields, "rows": num_rows, "files": files}
    write_json(folder / DESCRIPTION, description)
    # Of use to others who read these files; `load` knows without.
    for name, header in headers.items():
        with contextlib.suppress(OSError):
            _write_at(folder / file_name(name, generation), 0, header)
    return description


def write_anew(folder, description, chunks, data, ids, write_embedder=None):
    """Writes a whole folder, in place of what this process has locked, if any.

    Args:
        folder: path.
        description: dict for `embeddings.json`; `files` and `rows` are made here.
        chunks: iterable of float arrays `(n, d)`.
        data: what `items.lines` takes, of all rows.
        ids: int64 array of all rows.
        write_embedder: function of a path, or None for no file of an embedder.

    Returns:
        dict, what `embeddings.json` says.
    """
    folder = pathlib.Path(folder)
    check_may_be_replaced(folder)
    generation = 0
    if (folder / DESCRIPTION).exists():
        generation = read_description(folder / DESCRIPTION).get("generation", 0) + 1
    rows, dimension = len(ids), description["dimension"]
    dtype = np.dtype(description["dtype"]).newbyteorder("<")
    files = {EMBEDDINGS: npy_bytes(rows, dimension, dtype)}
    with _part(folder, EMBEDDINGS, generation) as file:
        file.write(npy_header(rows, dimension, dtype))
        for chunk in chunks:
            for start in range(0, len(chunk), _BLOCK):
                block = np.ascontiguousarray(chunk[start : start + _BLOCK], dtype)
                file.write(block.data)
    with _part(folder, ITEMS, generation) as file:
        file.write(items.header(data))
        for start in range(0, rows, _BLOCK):
            block = range(start, min(start + _BLOCK, rows))
            file.write(items.lines(data, start, block))
        files[ITEMS] = file.tell()
    if not np.array_equal(ids, np.arange(rows)):
        files[IDS] = npy_bytes(rows, None, "int64")
        with _part(folder, IDS, generation) as file:
            file.write(npy_header(rows, None, "int64"))
            file.write(np.ascontiguousarray(ids, "<i8").data)
    if write_embedder is not None:
        path = folder / file_name(EMBEDDER, generation)
        write_embedder(path)
        files[EMBEDDER] = path.stat().st_size
    description = {
        "format_version": FORMAT_VERSION,
        **description,
        "rows": rows,
        "files": files,
        "generation": generation,
    }
    write_json(folder / DESCRIPTION, description)
    used = {file_name(name, generation) for name in files}
    for path in folder.iterdir():
        if _is_ours(path.name) and path.name not in used:
            # Windows leaves those that somebody reads to the next one who writes.
            with contextlib.suppress(OSError):
                path.unlink()
    return description


def num_removed(description):
    """How many rows were removed."""
    header = npy_bytes(0, None, "int64")
    return (description["files"].get(REMOVED, header) - header) // 8


def check_may_be_replaced(folder):
    """Raises a `ValueError` where a folder holds what is not of embeddings."""
    folder = pathlib.Path(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    if (folder / PROGRESS).exists():
        raise ValueError(
            f"`hierproxy embed` has not finished in {folder}. Run it again, or choose "
            "another folder."
        )
    if (folder / DESCRIPTION).exists():
        return
    others = [name for name in names_in(folder) if not _is_ours(name)]
    if others:
        raise ValueError(
            f"{folder} is not empty: it holds {others[0]}. Choose another folder for "
            "the gallery."
        )


def _is_ours(name):
    path = pathlib.PurePath(name)
    stem, dash, generation = path.stem.rpartition("-")
    plain = f"{stem}{path.suffix}" if dash and generation.isdecimal() else name
    return plain in _OURS


@contextlib.contextmanager
def _part(folder, name, generation):
    """A file to write to, which is there when all of it is on the disk."""
    with replacing(folder / file_name(name, generation)) as unfinished:
        with unfinished.open("wb") as file:
            yield file


def _write_at(path, start, content, header=None):
    """Writes to a file from a place on, on the disk when this returns.

    Args:
        path: of the file.
        start: int, bytes before.
        content: bytes.
        header: bytes to begin a new file with, or None where there is one.
    """
    with naming(path):
        if header is not None:
            path.touch()
        # Without a buffer, which would be written later, and fail where nobody looks.
        with path.open("r+b", buffering=0) as file:
            if header is not None:
                _write(file, header)
            file.seek(start)
            _write(file, content)
            os.fsync(file.fileno())


def _write(file, content):
    content = memoryview(content)
    if not content.nbytes:
        return
    content = content.cast("B")
    while content:
        content = content[file.write(content) :]
