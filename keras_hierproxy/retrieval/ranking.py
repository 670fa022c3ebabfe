"""Whole rankings of a gallery, for the metrics that look at every rank."""

import concurrent.futures
import functools
import os

import numpy as np

# Ranks in a block of queries: some 150 MB with all that is computed from them.
BLOCK_RANKS = 1 << 22


def whole_rankings(search, queries=None):
    """Ranks the whole gallery for each query, block by block.

    On the sphere by float32 similarity, on the ball by float64 distance; ties by
    index, identical rows tie.

    Args:
        search: `NeighborSearch`.
        queries: int array, which queries; by default all.

    Yields:
        `(rows, indices)`: a block of queries, and int64 `(len(rows), num_available)`,
        their rankings; -1 past the last row that a query retrieves.
    """
    if queries is None:
        queries = np.arange(len(search.queries))
    step = max(1, BLOCK_RANKS // len(search.gallery))
    order = _by_distance if search.ranks_anew else _by_similarity
    threads = os.cpu_count() or 1
    with (
        concurrent.futures.ThreadPoolExecutor(threads) as pool,
        search.progress("Ranking") as progress,
    ):
        for start in range(0, len(queries), step):
            rows = queries[start : start + step]
            parts = np.array_split(rows, min(threads, len(rows)))
            ranked = pool.map(functools.partial(order, search), parts)
            indices = np.concatenate(list(ranked))
            if search.exclusions is not None:
                num_left = search.exclusions.num_left[rows]
                indices[np.arange(indices.shape[1]) >= num_left[:, None]] = -1
            yield rows, indices
            progress.advance(len(rows))


def _by_similarity(search, rows):
    similarities = search.query_vectors(rows) @ search.vectors.T
    if len(search.vectors) < len(search.gallery):
        similarities = similarities[:, search.group_of]
    similarities += 0.0  # of -0.0 makes 0.0, which it equals
    _put_last(search, rows, similarities, -np.inf)
    # Integers that sort as (similarity descending, index) are sorted at once, where
    # a stable argsort of floats takes twice as long.
    bits = similarities.view("uint32")
    keys = np.where(bits >> 31, bits, ~bits & np.uint32(0x7FFFFFFF)).astype("uint64")
    keys <<= np.uint64(32)
    keys |= np.arange(keys.shape[1], dtype="uint64")
    keys.sort(axis=1)
    keys &= np.uint64(0xFFFFFFFF)
    return keys.view("int64")[:, : search.num_available]


def _by_distance(search, rows):
    queries = search.queries[rows]
    keys, errors = search.geometry.ranking_keys(queries, search.gallery)
    _put_last(search, rows, keys, np.inf)
    order = np.argsort(keys, axis=1, kind="stable")
    keys = np.take_along_axis(keys, order, axis=1)
    with np.errstate(invalid="ignore"):  # the order of excluded rows says nothing
        near = np.diff(keys, axis=1, prepend=-np.inf) <= errors[:, None]
    for ranked, query, joined in zip(order, queries, near, strict=True):
        _rank_anew(search, ranked, query, joined)
    return order[:, : search.num_available]


def _put_last(search, rows, values, last):
    """Sets, in place, the values of what queries `rows` do not retrieve."""
    if search.exclusions is not None:
        values[search.exclusions.in_gallery(rows)] = last
    elif search.leave_one_out:
        values[np.arange(len(rows)), rows] = last


def _rank_anew(search, ranked, query, joined):
    """Orders anew, in place, each run of rows that the keys cannot tell apart.

    `joined` says of each rank whether it is as near as the one before.
    """
    places = np.flatnonzero(joined | np.append(joined[1:], False))
    if len(places):
        rows, runs = ranked[places], np.cumsum(~joined)[places]
        distances = search.geometry.exact_distance(query, search.gallery[rows])
        ranked[places] = rows[np.lexsort((rows, distances, runs))]
