"""Exact search among items that come and go."""

import dataclasses

import numpy as np

from keras_hierproxy.retrieval.search import (
    NeighborSearch,
    PreparedGallery,
    check_embeddings,
)

# More than are asked for: what differs by less than float32's rounding may change
# places between two blocks.
_MARGIN = 8
# A block takes in those behind it until it is so many times as large: each item is
# prepared a few times, and there are a few blocks.
_RATIO = 4
# Of a block; then it is prepared anew.
_MOST_REMOVED = 0.25


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Some items, ready to be searched: their rows, in the order of their ids."""

    rows: np.ndarray
    prepared: PreparedGallery


class Blocks:
    """All items, in blocks; immutable, so that others may search meanwhile."""

    def __init__(self, blocks=(), num_rows=0):
        self.blocks, self.num_rows = tuple(blocks), num_rows

    def updated(self, geometry, ids, alive, points, name):
        """Blocks of the items that there are now, with as few as possible made anew.

        Args:
            geometry: where the points live.
            ids: int64 array `(n,)`.
            alive: bool array `(n,)`, which rows are items.
            points: `Points` of the rows.
            name: str, of the points.

        Raises:
            ValueError: they are no points, which nobody has noticed before: they are
                mapped from a file.
        """
        # Rows of blocks to be; None for one that stays.
        parts, kept = [], []
        for block in self.blocks:
            left = alive[block.rows]
            stays = left.mean() >= 1 - _MOST_REMOVED
            parts.append(block.rows if stays else block.rows[left])
            kept.append(block if stays else None)
        parts.append(self.num_rows + np.flatnonzero(alive[self.num_rows :]))
        kept.append(None)
        filled = [i for i, rows in enumerate(parts) if len(rows)]
        parts, kept = [parts[i] for i in filled], [kept[i] for i in filled]
        while len(parts) > 1 and len(parts[-2]) < _RATIO * len(parts[-1]):
            rows = np.concatenate([parts.pop(-2), parts[-1]])
            parts[-1] = rows[alive[rows]]
            del kept[-2]
            kept[-1] = None
        blocks = []
        for rows, block in zip(parts, kept, strict=True):
            if block is None:
                rows = rows[np.argsort(ids[rows], kind="stable")]
                chosen = check_embeddings(points[rows], name)
                block = Block(rows, PreparedGallery(chosen, geometry))
            blocks.append(block)
        return Blocks(blocks, len(ids))

    def search(self, queries, k, alive):
        """Rows `(n, m)`, the `k` nearest items of each query among them; -1 for none.

        Args:
            queries: float array `(n, d)`.
            k: int.
            alive: bool array, which rows are items.
        """
        found = [_search(block, queries, k, alive) for block in self.blocks]
        return np.concatenate([np.empty((len(queries), 0), "int64"), *found], axis=1)


def _search(block, queries, k, alive):
    left = alive[block.rows]
    size, num_left = len(left), int(left.sum())
    wanted = min(k + _MARGIN, num_left)
    fetch = min(size, wanted + min(size - num_left, _MARGIN))
    while True:
        search = NeighborSearch(queries, block.prepared, None)
        indices = np.empty((len(queries), fetch), "int64")
        for rows, neighbors, _ in search(np.full(len(queries), fetch)):
            indices[rows] = neighbors
        there = left[indices]
        if fetch == size or there.sum(axis=1).min() >= wanted:
            return np.where(there, block.rows[indices], -1)
        fetch = min(size, 2 * fetch)


class Points:
    """Rows of several arrays, one behind the other, without a copy of them.

    Args:
        chunks: sequence of float arrays `(n_i, d)`, which may be mapped from files.
    """

    def __init__(self, chunks):
        self.chunks = tuple(chunks)
        lengths = [len(chunk) for chunk in self.chunks]
        self.starts = np.cumsum([0, *lengths])

    def __len__(self):
        return int(self.starts[-1])

    def __getitem__(self, rows):
        """The points `(..., d)` of int rows `(...)`."""
        rows = np.asarray(rows)
        for chunk, start in zip(self.chunks, self.starts[:-1], strict=True):
            # A whole stretch of one array stays where it is.
            if rows.ndim == 1 and len(rows) and 0 <= rows[0] - start < len(chunk):
                stretch = chunk[rows[0] - start :][: len(rows)]
                if np.array_equal(rows, rows[0] + np.arange(len(stretch))):
                    return stretch
        chosen = np.zeros((*rows.shape, self.chunks[0].shape[1]), self.chunks[0].dtype)
        for chunk, start in zip(self.chunks, self.starts[:-1], strict=True):
            inside = (rows >= start) & (rows < start + len(chunk))
            chosen[inside] = chunk[rows[inside] - start]
        return chosen
