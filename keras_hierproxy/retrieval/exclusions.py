"""Rows that a query does not retrieve: itself, and what was taken together with it."""

import itertools
import warnings

import numpy as np

from keras_hierproxy.labels import DISTRACTOR, check_keys, is_none


class Exclusions:
    """Which rows of the gallery each query does not retrieve.

    Args:
        keys: list of pairs of int arrays `(n,)` of the queries and `(m,)` of the
            gallery. A row is excluded where it agrees with the query in any of the
            pairs. What is negative agrees with nothing.
        reasons: list of str, what it is that agrees, for each pair.

    Attributes:
        num_left: int array `(n,)`, how many rows each query retrieves from.
    """

    def __init__(self, keys, reasons):
        # So that equality tells.
        self.keys = [(own, np.where(others < 0, -2, others)) for own, others in keys]
        self.reasons = reasons
        self.num_left = len(keys[0][1]) - self.count()

    def among(self, rows, indices):
        """Bool array: which of `indices`, `(len(rows), k)`, queries `rows` exclude."""
        excluded = np.zeros(indices.shape, bool)
        for own, others in self.keys:
            excluded |= others[indices] == own[rows][:, None]
        return excluded

    def in_gallery(self, rows):
        """Bool array `(len(rows), m)`: which of all rows queries `rows` exclude."""
        excluded = [others == own[rows][:, None] for own, others in self.keys]
        return np.logical_or.reduce(excluded)

    def count(self, *labels):
        """How many rows each query excludes, of all or of those of its label.

        Args:
            *labels: int arrays `(n,)` and `(m,)`, or nothing.
        """
        total = 0
        # Rows that agree in several keys count once.
        for size in range(1, len(self.keys) + 1):
            for keys in itertools.combinations(self.keys, size):
                pairs = [*keys, labels] if labels else keys
                total -= (-1) ** size * count_equal(*zip(*pairs, strict=True))
        return total


def find_exclusions(
    num_queries,
    num_gallery,
    query_ids=None,
    gallery_ids=None,
    groups=None,
    gallery_groups=None,
):
    """What ids and groups say of who retrieves whom.

    Args:
        num_queries: int, n.
        num_gallery: int, m, or None in leave-one-out, where each query has an id of
            its own if none are given.
        query_ids, gallery_ids, groups, gallery_groups: as of `evaluate`.

    Returns:
        `Exclusions`, or None where each query retrieves all, or all others.

    Raises:
        ValueError: keys of another length, kind or number.
    """
    given = {
        "query_ids": (query_ids, gallery_ids),
        "groups": (groups, gallery_groups),
    }
    if all(part is None for pair in given.values() for part in pair):
        return None
    keys, reasons = [], []
    for name, (own, others) in given.items():
        of_gallery = f"gallery_{name.removeprefix('query_')}"
        if num_gallery is None:
            if others is not None:
                raise ValueError(f"{of_gallery} were passed without a gallery.")
            if own is not None or name == "query_ids":
                keys.append(_keys_within(own, num_queries, name))
        elif (own is None) != (others is None):
            there, missing = (name, of_gallery)[:: 1 if others is None else -1]
            raise ValueError(
                f"{name} and {of_gallery} go together. Received {there} without "
                f"{missing}."
            )
        elif own is not None:
            own = check_keys(own, num_queries, name)
            others = check_keys(others, num_gallery, of_gallery)
            keys.append(_keys_between(own, others, name, of_gallery))
        if own is not None:
            reasons.append(name)
    return Exclusions(keys, reasons)


def count_equal(queries, gallery):
    """How many rows of the gallery equal each query in every column.

    Args:
        queries: int arrays `(n,)`, a column each. What is negative equals nothing.
        gallery: int arrays `(m,)`, as many.

    Returns:
        int64 array `(n,)`.
    """
    known = [np.min(columns, axis=0) >= 0 for columns in (queries, gallery)]
    size = known[0].sum()
    codes = 0
    for column in zip(queries, gallery, strict=True):
        both = np.concatenate(
            [part[at] for part, at in zip(column, known, strict=True)]
        )
        values, dense = np.unique(both, return_inverse=True)
        # Dense each time, so that products of two stay below 2^63.
        _, codes = np.unique(codes * len(values) + dense, return_inverse=True)
    counts = np.zeros(len(known[0]), "int64")
    if len(codes):
        counts[known[0]] = np.bincount(codes[size:], minlength=len(codes))[codes[:size]]
    return counts


def warn_of_queries_in_gallery(queries, gallery):
    """Warns once if rows of the queries stand in the gallery, equal bit for bit."""
    dtype = np.result_type(queries, gallery)
    found = _hashes(gallery, dtype)
    # Where all are the same, the embedder has collapsed.
    if (found == found[0]).all():
        return
    count = int(np.isin(_hashes(queries, dtype), found).sum())
    if count:
        warnings.warn(
            f"{count:,} of {len(queries):,} queries stand in the gallery, bit for bit, "
            "and find themselves. Pass `query_ids` and `gallery_ids`, so that no row "
            "is retrieved by a query of its own id; or leave the gallery out, if it is "
            "the queries.",
            stacklevel=4,
        )


def _hashes(rows, dtype):
    hashes = np.empty(len(rows), "int64")
    for i, row in enumerate(rows):
        # -0.0 equals 0.0.
        hashes[i] = hash((np.asarray(row, dtype) + 0).tobytes())
    return hashes


def _keys_within(keys, num_rows, name):
    """Keys of rows that are queries and gallery; without one, each is its own."""
    if keys is None:
        dense = np.arange(num_rows)
        return dense, dense
    keys = check_keys(keys, num_rows, name)
    _, dense = np.unique(keys, return_inverse=True)
    # A row without an id does not retrieve itself either.
    own = num_rows + np.arange(num_rows) if name == "query_ids" else DISTRACTOR
    dense = np.where(is_none(keys), own, dense)
    return dense, dense


def _keys_between(own, others, name, of_gallery):
    if (own.dtype.kind == "U") != (others.dtype.kind == "U"):
        raise ValueError(
            f"{name} and {of_gallery} must be of one kind, numbers or strings. "
            f"Received: {own.dtype} and {others.dtype}."
        )
    both = np.concatenate([own, others])
    _, dense = np.unique(both, return_inverse=True)
    dense = np.where(is_none(both), DISTRACTOR, dense)
    return dense[: len(own)], dense[len(own) :]
