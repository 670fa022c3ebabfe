"""Writes embeddings so that a kill, or a full disk, loses only the last seconds."""

import contextlib
import errno
import json
import os
import pathlib
import shutil
import time

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.embeddings import items
from keras_hierproxy.embeddings.on_disk import (
    DESCRIPTION,
    EMBEDDER,
    EMBEDDINGS,
    FORMAT_VERSION,
    ITEMS,
    PART,
    PROGRESS,
    geometry_to_json,
    npy_bytes,
    npy_header,
    read_progress,
)
from keras_hierproxy.files import locked, names_in, write_json

DTYPES = ("float32", "float16")
# What a kill costs at most, against a few ms for each time that progress is recorded.
SECONDS_BETWEEN_RECORDS = 5
# For progress.json and embeddings.json, besides the names of the classes.
_SMALL_FILES = 2**20


class EmbeddingWriter:
    """A folder of embeddings that are appended batch by batch.

    A context manager. Rows go to `embeddings.npy.part` and `items.csv.part`; every few
    seconds, and where the context ends, `progress.json` records how far both are. A
    writer that is opened on the same folder with the same arguments cuts both back to
    that, and goes on. `finish` gives the files their names.

    Args:
        folder: path; new, empty, or one that a writer has left unfinished.
        data: a `RetrievalDataset`, or other images with its attributes `images`,
            `labels` (or None), `class_names`, `level_names`, `paths`, `is_query` and
            `groups`.
        geometry: where the points live.
        dimension: int, d.
        dtype: `"float32"`, or `"float16"`, which takes half the room.
        identity: dict for JSON, with at least the dicts `model` and `data`: what else
            stands in `embeddings.json`. A writer does not go on with embeddings of
            another identity; keys called `path` may differ.
        skipped: list of dicts, `path` and `error` of images that were left out before,
            and are not in `data`.
        write_embedder: function of a path that writes the model there, for a
            `khp.Gallery` to take from the folder. By default None, for no such file.

    Attributes:
        position: int, how many images of `data` are done.
        num_rows: int, how many of these have an embedding.
        skipped: list of dicts, `path` and `error` of each that has none.

    Raises:
        ValueError: the folder holds finished embeddings, those of something else, or
            other files; another process is writing to it.
        OSError: the disk has not enough room for what is to come.

    Example:

    >>> import tempfile
    >>> data = khp.datasets.RetrievalDataset(np.zeros((4, 8, 8, 1)), [0, 0, 1, 1])
    >>> writer = khp.embeddings.EmbeddingWriter(
    ...     tempfile.mkdtemp(),
    ...     data,
    ...     khp.geometry.Sphere(),
    ...     dimension=3,
    ...     identity={"model": {}, "data": {"name": "squares"}},
    ... )
    >>> with writer:
    ...     writer.append(np.eye(4, 3), range(4))
    ...     writer.finish()
    >>> khp.embeddings.load(writer.folder)
    <Embeddings of 'squares', float32 (4, 3), Sphere()>
    """

    def __init__(
        self,
        folder,
        data,
        geometry,
        dimension,
        dtype="float32",
        identity=None,
        skipped=(),
        write_embedder=None,
    ):
        dtype = checks.one_of("dtype", dtype, DTYPES)
        dimension = checks.integer("dimension", dimension, least=1)
        self.folder = pathlib.Path(folder)
        self._data = data
        self._dimension = dimension
        self._dtype = np.dtype(dtype).newbyteorder("<")
        identity = {
            **(identity or {}),
            "geometry": geometry_to_json(geometry),
            "dimension": dimension,
            "dtype": dtype,
            "has_roles": data.is_query is not None,
            "has_groups": data.groups is not None,
            "paths_and_labels_sha256": items.fingerprint(data),
        }
        self._skipped_before = list(skipped)
        self._write_embedder = write_embedder
        # As it will be read again: tuples are lists.
        self._identity = json.loads(json.dumps(identity))
        self._load_progress()
        self._check_room()

    @property
    def position(self):
        return self._progress["position"]

    @property
    def num_rows(self):
        return self._progress["rows"]

    @property
    def skipped(self):
        return self._progress["skipped"]

    def __enter__(self):
        with self._explaining_a_full_disk(), contextlib.ExitStack() as stack:
            self.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(self.folder, "writing embeddings to"))
            self._load_progress()
            if not (self.folder / PROGRESS).exists():
                write_json(self.folder / PROGRESS, self._progress)
            self._embeddings = stack.enter_context(self._open(EMBEDDINGS))
            self._items = stack.enter_context(self._open(ITEMS))
            self._cut_back()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind, error, traceback):
        with self._stack:
            # After a failed write only what was recorded before is safe.
            if not self._embeddings.closed and not isinstance(error, OSError):
                with self._explaining_a_full_disk():
                    self._record()

    def append(self, points, positions, skipped=None):
        """Appends the embeddings of the images that come next.

        Args:
            points: float array `(n, d)`.
            positions: int sequence `(n,)`: the images' places in `data`.
            skipped: dict from the places of those images, among these or right
                behind them, that are left out, to the reasons.

        Raises:
            ValueError: a point is not finite.
            OSError: the disk is full.
        """
        with np.errstate(over="ignore"):  # to infinity, which is refused below
            points = np.asarray(points, self._dtype)
        self._check_finite(points, positions)
        lines = items.lines(self._data, self.num_rows, positions)
        with self._explaining_a_full_disk():
            _write(self._embeddings, points.tobytes())
            _write(self._items, lines)
        left_out = [
            {"path": self._name(position), "error": str(reason)}
            for position, reason in sorted((skipped or {}).items())
        ]
        # In one step: a KeyboardInterrupt may come anywhere.
        self._progress = {
            **self._progress,
            "position": self.position + len(points) + len(left_out),
            "rows": self.num_rows + len(points),
            "items_bytes": self._progress["items_bytes"] + len(lines),
            "skipped": self.skipped + left_out,
        }
        if time.monotonic() - self._recorded > SECONDS_BETWEEN_RECORDS:
            with self._explaining_a_full_disk():
                self._record()

    def finish(self):
        """Gives the files their names, once all images are done."""
        if self.position < len(self._data.images) or not self.num_rows:
            raise ValueError(
                f"{self.position} of {len(self._data.images)} images are done, and "
                f"{self.num_rows} have an embedding."
            )
        with self._explaining_a_full_disk():
            self._embeddings.seek(0)
            _write(self._embeddings, self._header(self.num_rows))
            self._record()
            files = {
                EMBEDDINGS: self._npy_bytes(),
                ITEMS: self._progress["items_bytes"],
            }
            if self._write_embedder is not None:
                self._write_embedder(self.folder / EMBEDDER)
                files[EMBEDDER] = (self.folder / EMBEDDER).stat().st_size
            for file, name in ((self._embeddings, EMBEDDINGS), (self._items, ITEMS)):
                file.close()
                os.replace(self.folder / (name + PART), self.folder / name)
            write_json(self.folder / DESCRIPTION, self._description(files))
            (self.folder / PROGRESS).unlink()

    def _description(self, files):
        levels = zip(self._data.level_names, self._data.class_names, strict=True)
        return {
            "format_version": FORMAT_VERSION,
            "rows": self.num_rows,
            **self._progress["identity"],
            "files": files,
            "skipped": self.skipped,
            "levels": [{"name": name, "classes": names} for name, names in levels],
        }

    def _load_progress(self):
        check_folder(self.folder)
        self._progress = {
            "position": 0,
            "rows": 0,
            "items_bytes": 0,
            "skipped": self._skipped_before,
            "identity": self._identity,
        }
        if (self.folder / PROGRESS).exists():
            progress = read_progress(self.folder / PROGRESS)
            self._check_same(progress["identity"])
            done, images = progress["position"], len(self._data.images)
            if done > images:
                raise ValueError(
                    f"{self.folder / PROGRESS} is damaged: position is {done:,}, of "
                    f"{images:,} images. Remove the folder, and embed anew."
                )
            self._progress = progress

    def _open(self, name):
        part = self.folder / (name + PART)
        if (self.folder / name).exists():
            # Killed while it gave the files their names.
            os.replace(self.folder / name, part)
        # Without a buffer, which would be written later, and fail where nobody looks.
        # Not through a memory map either: a full disk would kill the process.
        part.touch()
        return part.open("r+b", buffering=0)

    def _cut_back(self):
        """Brings both files to where the last record says they are."""
        _write(self._embeddings, self._header(0))
        _cut(self._embeddings, self._npy_bytes())
        if not self.position:
            header = items.header(self._data)
            _write(self._items, header)
            self._progress["items_bytes"] = len(header)
        _cut(self._items, self._progress["items_bytes"])
        self._recorded = time.monotonic()

    def _record(self):
        os.fsync(self._embeddings.fileno())
        os.fsync(self._items.fileno())
        write_json(self.folder / PROGRESS, self._progress)
        self._recorded = time.monotonic()

    def _header(self, num_rows):
        return npy_header(num_rows, self._dimension, self._dtype)

    def _npy_bytes(self):
        return npy_bytes(self.num_rows, self._dimension, self._dtype)

    def _name(self, position):
        paths = self._data.paths
        return f"image {position}" if paths is None else paths[position]

    def _check_same(self, before):
        was, now = _flat(before), _flat(self._identity)
        changes = [
            f"{key} was {was.get(key)!r} and is {now.get(key)!r}"
            for key in {**was, **now}
            if was.get(key) != now.get(key) and not key.endswith(".path")
        ]
        if changes:
            raise ValueError(
                f"The embeddings begun in {self.folder} are of something else: "
                f"{'; '.join(changes)}. Run the command as it was, or choose another "
                "folder (--output)."
            )

    def _check_finite(self, points, positions):
        bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
        if len(bad):
            raise ValueError(
                f"The embedding of {self._name(positions[bad[0]])} is not finite: it "
                f"holds NaN or infinity, as do {len(bad)} of {len(points)} in its "
                "batch. None of these is written. Look at the model's weights"
                f"{'' if self._dtype.itemsize == 4 else ', or take float32'}."
            )

    def _check_room(self):
        """Raises an `OSError` where what is still to be written cannot fit."""
        left = len(self._data.images) - self.position
        needed = (
            left * self._dimension * self._dtype.itemsize
            + items.estimated_bytes(self._data, self.position)
            + sum(len(name) + 20 for names in self._data.class_names for name in names)
            + _SMALL_FILES
        )
        existing = self.folder
        while not existing.exists():
            existing = existing.absolute().parent
        free = shutil.disk_usage(existing).free
        if needed > free:
            smaller = self._dtype.itemsize == 4 and not self.position
            choose = "Take half the room with --dtype float16, or choose"
            raise OSError(
                f"The embeddings take {_megabytes(needed)} more, and the disk of "
                f"{self.folder} has {_megabytes(free)} free. "
                f"{choose if smaller else 'Choose'} another folder (--output)."
            )

    @contextlib.contextmanager
    def _explaining_a_full_disk(self):
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(
                f"The disk of {self.folder} is full after {self.position:,} of "
                f"{len(self._data.images):,} images. Make room and run the same "
                "command again: it goes on where it stopped."
            ) from error


def check_folder(folder):
    """Raises a `ValueError` unless embeddings can be begun, or gone on with, there."""
    folder = pathlib.Path(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    if (folder / DESCRIPTION).exists():
        raise ValueError(
            f"{folder} holds finished embeddings already. Choose another folder "
            "(--output), or remove it."
        )
    names = names_in(folder)
    if names and PROGRESS not in names:
        raise ValueError(
            f"{folder} is not empty. Choose another folder (--output) for the "
            "embeddings."
        )


def _cut(file, num_bytes):
    """Cuts off what came after the last record."""
    if file.seek(0, os.SEEK_END) < num_bytes:
        raise ValueError(
            f"{file.name} is shorter than its record says. Remove the folder, and "
            "embed anew."
        )
    file.truncate(num_bytes)
    file.seek(num_bytes)


def _write(file, content):
    content = memoryview(content)
    while content:
        content = content[file.write(content) :]


def _flat(tree, prefix=""):
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _megabytes(num_bytes):
    return f"{num_bytes / 1e6:,.1f} MB"
