"""The items of a gallery in this process, and in its folder: the engine "faiss"."""

import contextlib
import dataclasses
import os
import pathlib
import threading
import types

import numpy as np

from keras_hierproxy.embeddings import changes
from keras_hierproxy.embeddings.on_disk import DESCRIPTION, IDS
from keras_hierproxy.embeddings.reader import read
from keras_hierproxy.files import locked
from keras_hierproxy.gallery.blocks import Blocks, Points
from keras_hierproxy.gallery.classes import Classes
from keras_hierproxy.gallery.nearest import best
from keras_hierproxy.labels import DISTRACTOR

# Rows that are removed before the folder is written anew, without them.
_MANY_REMOVED = 1000
# Seconds that a change waits for that of another process.
_PATIENCE = 60
# Items of a query that are asked for, of however few: the rest is filled up.
_MANY = 1000
# What int64 holds.
MOST_IDS = 2**63 - 1


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """The items at one moment; never changed, so that others may read meanwhile.

    Rows are only added: those that are removed, and those that are queries to the
    others, are not `alive`.
    """

    points: Points
    ids: np.ndarray
    alive: np.ndarray
    labels: np.ndarray
    classes: Classes
    paths: tuple
    next_id: int

    @property
    def rows(self):
        return np.flatnonzero(self.alive)

    def rows_of(self, ids):
        """Rows of the items of int64 ids `(n,)`, -1 where there is none."""
        rows = self.rows
        rows = rows[np.argsort(self.ids[rows], kind="stable")]
        if not len(rows):
            return np.full(len(ids), -1)
        places = np.searchsorted(self.ids[rows], ids).clip(max=len(rows) - 1)
        return np.where(self.ids[rows[places]] == ids, rows[places], -1)


class LocalItems:
    """Points, ids, labels and paths, in memory or mapped from a folder.

    Args:
        geometry: where the points live.
        dimension: int.
        folder: path of what is stored, instead of both.
    """

    engine = "faiss"

    def __init__(self, geometry=None, dimension=None, folder=None):
        self.geometry, self.dimension = geometry, dimension
        self.folder = None if folder is None else pathlib.Path(folder)
        self.description = None
        # What `calibrate` chose, as dicts.
        self.thresholds = []
        self._writing, self._preparing = threading.RLock(), threading.Lock()
        if self.folder is None:
            self._prepared = (None, Blocks())
            self.state = _nothing(dimension)
        else:
            self._read()

    def __len__(self):
        return int(self.state.alive.sum())

    @property
    def where(self):
        return str(self.folder or self.engine)

    @property
    def level_names(self):
        return self.state.classes.level_names

    @property
    def next_id(self):
        return self.state.next_id

    @property
    def ids(self):
        return self.state.ids[self.state.alive]

    def full(self, label):
        """As `Classes.full`."""
        return self.state.classes.full(label)

    def take_in_changes(self):
        """Reads anew what other processes have written to the folder."""
        with self._writing:
            if self.folder is not None and _signature(self.folder) != self._seen:
                self._check_unchanged(read(self.folder))
                self._read()

    def _read(self):
        seen = _signature(self.folder)
        stored = read(self.folder)
        rows = len(stored)
        alive = np.ones(rows, bool) if stored.kept is None else stored.kept.copy()
        if stored.is_query is not None:
            alive &= ~stored.is_query
        labels = stored.labels
        if labels is None:
            labels = np.empty((rows, 0), "int32")
        after = int(stored.ids.max(initial=-1)) + 1
        self.description = stored.description
        self.geometry, self.dimension = stored.geometry, stored.points.shape[1]
        self.thresholds = stored.description.get("thresholds") or []
        self._seen = seen
        self._prepared = (None, Blocks())
        self.state = State(
            Points([stored.points]),
            stored.ids,
            alive,
            labels,
            Classes(stored.level_names, stored.class_names, labels),
            stored.paths or ("",) * rows,
            max(after, stored.description.get("next_id") or 0),
        )

    def add(self, points, labels, ids=None, paths=None, level_names=None):
        """Adds items.

        Args:
            points: float32 array `(n, d)`, checked.
            labels: list of `n` tuples of names, or None.
            ids: int64 array `(n,)`, or None for the next ones.
            paths: sequence of `n` str, or None.
            level_names: names of the levels, where there are none yet.

        Returns:
            int64 array `(n,)` of their ids.
        """
        with self._changing():
            state = self.state
            ids = self._new_ids(ids, len(points))
            before = state.classes
            if level_names is not None and not before.num_levels:
                before = Classes(level_names, [[] for _ in level_names])
            classes, label_ids = before.with_labels(labels)
            if self.folder is not None:
                points = points.astype(self.description["dtype"], copy=False)
            known = state.labels
            if known.shape[1] < classes.num_levels:
                shape = len(known), classes.num_levels
                known = np.full(shape, DISTRACTOR, "int32")
            # Whole: others may start from another folder.
            paths = tuple(
                path and os.path.abspath(path) for path in paths or [""] * len(points)
            )
            chunks = [chunk for chunk in state.points.chunks if len(chunk)]
            new = State(
                Points([*chunks, points]),
                np.concatenate([state.ids, ids]),
                np.append(state.alive, np.ones(len(points), bool)),
                np.concatenate([known, label_ids]),
                classes,
                state.paths + paths,
                max(state.next_id, int(ids.max(initial=-1)) + 1),
            )
            if self.folder is None:
                self.state = _compact_chunks(new)
            elif classes.num_levels > state.classes.num_levels:
                # The table has columns now that it had not.
                self._write_anew(new)
            else:
                self._append(new, points, label_ids, paths)
        return ids

    def remove(self, ids):
        """Removes the items of int64 `ids` `(n,)`, which are there."""
        with self._changing():
            state = self.state
            rows = _rows_there(state, ids)
            alive = state.alive.copy()
            alive[rows] = False
            new = dataclasses.replace(state, alive=alive)
            num_removed = len(alive) - alive.sum()
            wasteful = num_removed > max(_MANY_REMOVED, alive.sum())
            if wasteful and not self._has_more():
                self._write_anew(new)
            elif self.folder is None:
                self.state = new
            else:
                self.description = changes.append(
                    self.folder,
                    self.description,
                    removed=np.sort(rows),
                    next_id=new.next_id,
                )
                self._written(new)

    def search(self, queries, k):
        """The `k` nearest items of queries `(n, d)`.

        Returns:
            Ids and similarities, arrays `(n, k)`; labels, such arrays of tuples of
            names or None, and of paths.
        """
        state = self.state
        if k > _MANY and k > len(self):
            raise ValueError(
                f"`k` must be at most {_MANY:,}, or the number of items, "
                f"{len(self):,}. Received: {k}."
            )
        blocks = self._blocks(state)
        rows = blocks.search(queries, min(k, int(state.alive.sum())), state.alive)
        ids = np.where(rows < 0, -1, state.ids[rows] if len(state.ids) else -1)
        chosen, similarities = best(
            self.geometry, queries, ids, rows, state.points.__getitem__, k
        )
        if rows.shape[1]:
            rows = np.where(chosen < 0, -1, np.take_along_axis(rows, chosen, axis=1))
        else:
            rows = chosen
        return _of_rows(state, rows, similarities)

    def about(self, ids):
        """Lists of the labels and of the paths of the items of int64 `ids` `(n,)`."""
        state = self.state
        rows = _rows_there(state, ids)
        return _labels_of(state, rows), [state.paths[row] for row in rows]

    def blocks_of_items(self, size=1 << 14):
        """All items, some at a time: `(ids, points, labels, paths)`."""
        state = self.state
        rows = state.rows[np.argsort(state.ids[state.alive], kind="stable")]
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            labels = _labels_of(state, block)
            paths = [state.paths[row] for row in block]
            yield state.ids[block], np.asarray(state.points[block]), labels, paths

    def save(self, folder, about, write_embedder):
        """Writes the items to a folder, in which they are kept from now on.

        Args:
            folder: path.
            about: dict for `embeddings.json`, what is not of the items.
            write_embedder: function of a path, or None.
        """
        folder = pathlib.Path(folder)
        if self.folder is not None and not (self.folder / DESCRIPTION).exists():
            self.folder = None  # somebody has removed it
        with self._changing():
            if self.folder is not None and _same_place(self.folder, folder):
                return  # where each change is written as it is made
            changes.check_may_be_replaced(folder)
            with locked(folder, "writing to", _PATIENCE):
                moved = LocalItems(self.geometry, self.dimension)
                moved.folder, moved.description = folder, {"dtype": "float32"}
                moved._write_anew(self.state, about, write_embedder)
            self.folder, self.description = folder, moved.description
            self.thresholds = moved.thresholds
            self._seen, self.state = moved._seen, moved.state
            self._prepared = (None, Blocks())

    def keep_thresholds(self, thresholds, next_id=0):
        """Takes what `calibrate` chose, a list of dicts, also into the folder.

        `next_id` is the first id that is free, where that is known from elsewhere.
        """
        with self._changing():
            next_id = max(next_id, self.next_id)
            new = dataclasses.replace(self.state, next_id=next_id)
            if self.folder is None:
                self.state = new
            else:
                self.description = changes.append(
                    self.folder,
                    self.description,
                    thresholds=thresholds,
                    next_id=next_id,
                )
                self._written(new)
            self.thresholds = thresholds

    @contextlib.contextmanager
    def _changing(self):
        """One change at a time, of what is there now."""
        with self._writing, contextlib.ExitStack() as stack:
            if self.folder is not None:
                stack.enter_context(
                    locked(self.folder, "writing to the gallery", _PATIENCE)
                )
                self.take_in_changes()
            yield

    def _check_unchanged(self, stored):
        was, now = self.description, stored.description
        if any(was[key] != now[key] for key in ("geometry", "dimension", "model")):
            raise ValueError(
                f"{self.folder} holds another gallery than when it was opened. Load it "
                "again."
            )

    def _new_ids(self, ids, count):
        state = self.state
        if ids is None:
            if state.next_id + count > MOST_IDS:
                raise ValueError(
                    "There are no ids left below 2^63: an item had the largest. Pass "
                    "`ids` that no item has."
                )
            return np.arange(state.next_id, state.next_id + count)
        there = ids[state.rows_of(ids) >= 0].tolist()
        if there:
            raise ValueError(
                f"ids must be new. Received: {there[:5]}, which are in the gallery. "
                "Remove these items first, or leave `ids` out."
            )
        return ids

    def _append(self, new, points, label_ids, paths):
        count = len(points)
        has_file = IDS in self.description["files"]
        if has_file:
            ids = new.ids[-count:] if count else new.ids[:0]
        else:
            # They are the rows until one is not.
            ids = None if np.array_equal(new.ids, np.arange(len(new.ids))) else new.ids
        self.description = changes.append(
            self.folder,
            self.description,
            points,
            self._table(count, label_ids, paths, new.classes),
            ids,
            levels=_levels(new.classes),
            next_id=new.next_id,
        )
        self._written(new)

    def _write_anew(self, new, about=None, write_embedder=None):
        """Without what was removed."""
        rows = new.rows
        label_ids = new.labels[rows]
        paths = tuple(new.paths[row] for row in rows)
        if self.folder is None:
            self.state = dataclasses.replace(
                new,
                points=Points([np.array(new.points[rows])]),
                ids=new.ids[rows],
                alive=np.ones(len(rows), bool),
                labels=label_ids,
                paths=paths,
            )
            self._prepared = (None, Blocks())
            return
        if about is None:
            about, write_embedder = self._kept_about()
        self.description = changes.write_anew(
            self.folder,
            {
                "dtype": self.description["dtype"],
                "has_roles": False,
                "has_groups": False,
                "skipped": [],
                **about,
                "levels": _levels(new.classes),
                "next_id": new.next_id,
            },
            (new.points[rows[i : i + 4096]] for i in range(0, len(rows), 4096)),
            self._table(len(rows), label_ids, paths, new.classes),
            new.ids[rows],
            write_embedder,
        )
        self._read()

    def _has_more(self):
        """Whether the folder says of its rows what a gallery has no use for."""
        description = self.description or {}
        return description.get("has_roles") or description.get("has_groups")

    def _kept_about(self):
        """What stays when the folder is written anew."""
        from keras_hierproxy.gallery.origin import copy_of_embedder

        dropped = {"files", "rows", "generation", "levels", "next_id", "has_groups"}
        about = {
            key: value for key, value in self.description.items() if key not in dropped
        }
        return about, copy_of_embedder(self.folder, self.description)

    def _table(self, count, label_ids, paths, classes):
        """What `items.csv` says of some items."""
        description = self.description
        return types.SimpleNamespace(
            paths=paths,
            is_query=np.zeros(count, bool) if description.get("has_roles") else None,
            groups=(
                np.full(count, DISTRACTOR) if description.get("has_groups") else None
            ),
            labels=label_ids if classes.num_levels else None,
            class_names=classes.class_names,
            level_names=classes.level_names,
        )

    def _written(self, new):
        self._seen = _signature(self.folder)
        self.state = new

    def _blocks(self, state):
        with self._preparing:
            of, blocks = self._prepared
            if of is not state:
                name = f"the points of {self.folder or 'the gallery'}"
                blocks = blocks.updated(
                    self.geometry, state.ids, state.alive, state.points, name
                )
                self._prepared = (state, blocks)
            return blocks


def _rows_there(state, ids):
    rows = state.rows_of(ids)
    refuse_missing(ids[rows < 0].tolist())
    return rows


def refuse_missing(ids):
    """Raises a `ValueError` of ids that no item has, if there are any."""
    if ids:
        raise ValueError(
            f"There are no items of the ids {ids[:5]} in the gallery"
            f"{', among others' if len(ids) > 5 else ''}. Nothing is done."
        )


def _nothing(dimension):
    none = np.empty(0, "int64")
    return State(
        Points([np.empty((0, dimension), "float32")]),
        none,
        none.astype(bool),
        np.empty((0, 0), "int32"),
        Classes(),
        (),
        next_id=0,
    )


def _compact_chunks(state):
    """Small arrays of points as one: few to look through, and few copies."""
    chunks = list(state.points.chunks)
    while len(chunks) > 1 and len(chunks[-2]) < 4 * len(chunks[-1]):
        last = chunks.pop()
        chunks[-1] = np.concatenate([chunks[-1], last])
    return dataclasses.replace(state, points=Points(chunks))


def _levels(classes):
    return [
        {"name": name, "classes": names}
        for name, names in zip(classes.level_names, classes.class_names, strict=True)
    ]


def _labels_of(state, rows):
    if not state.classes.num_levels:
        return [None] * len(rows)
    distinct, of = np.unique(state.labels[rows], axis=0, return_inverse=True)
    names = [state.classes.names(each) for each in distinct]
    return [names[i] for i in of.ravel()]


def _of_rows(state, rows, similarities):
    ids = np.full(rows.shape, -1, "int64")
    labels, paths = np.full(rows.shape, None, object), np.full(rows.shape, "", object)
    found = rows >= 0
    if found.any():
        ids[found] = state.ids[rows[found]]
        labels[found] = _objects(_labels_of(state, rows[found]))
        paths[found] = _objects([state.paths[row] for row in rows[found]])
    return ids, similarities, labels, paths


def _objects(values):
    """An array of objects that tuples do not make two-dimensional."""
    return np.fromiter(values, object, len(values))


def _signature(folder):
    with contextlib.suppress(OSError):  # of which `read` says more
        status = (folder / DESCRIPTION).stat()
        return status.st_ino, status.st_mtime_ns, status.st_size


def _same_place(one, other):
    return other.exists() and one.resolve() == other.resolve()
