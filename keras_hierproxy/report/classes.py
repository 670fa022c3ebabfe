"""Which classes retrieve badly: a row a class, the worst first."""

import dataclasses
import html

import numpy as np

from keras_hierproxy.report.numbers import title_of
from keras_hierproxy.retrieval.scores import class_means

# What the rows may take in the file: classes beyond it are left out, the best first.
MAX_BYTES = 4_000_000
# About what a row takes besides its names, and a number.
_ROW_BYTES, _NUMBER_BYTES = 60, 10
_METRICS = ("recall@1", "r_precision", "map@r", "map", "mrr")


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """Rows for classes that have queries.

    Attributes:
        metrics: list of titles.
        rows: list of `(name, queries, numbers, (wrong class, its count) or None,
            names of the super-classes)`.
        total: int, how many classes have queries; more than rows if these would take
            too much room.
    """

    metrics: list
    rows: list
    total: int


def class_table(search, scores, pairs):
    data, names = search.data, search.names
    num_queries = np.bincount(search.classes, minlength=data.num_classes)
    counted = np.bincount(search.classes[search.counted], minlength=data.num_classes)
    wrong = np.bincount(search.classes[search.wrong], minlength=data.num_classes)
    means = {
        name: class_means(
            scores.values[name][search.places], search.classes, data.num_classes
        )
        for name in _METRICS
        if name in scores.values
    }
    # The first of each class is its most frequent.
    confused, first = np.unique(pairs.classes, return_index=True)
    most = np.full(data.num_classes, -1)
    most[confused] = first

    present = num_queries.nonzero()[0]
    right = 1 - wrong[present] / np.maximum(counted[present], 1)
    order = np.lexsort((-wrong[present], right, counted[present] == 0))
    rows, room = [], MAX_BYTES
    for c in present[order]:
        pair = most[c]
        row = (
            names[0][c],
            int(num_queries[c]),
            [float(values[c]) for values in means.values()],
            (names[0][pairs.others[pair]], int(pairs.counts[pair]))
            if pair >= 0
            else None,
            [level[i] for level, i in zip(names[1:], data.taxonomy[c], strict=True)],
        )
        room -= _size(row)
        if room < 0:
            break
        rows.append(row)
    return ClassTable([title_of(name) for name in means], rows, len(present))


def _size(row):
    name, _, numbers, wrong, coarser = row
    texts = [name, *coarser, *((wrong[0],) if wrong else ())]
    return (
        _ROW_BYTES
        + _NUMBER_BYTES * len(numbers)
        + sum(len(html.escape(text).encode("utf-8", "replace")) + 4 for text in texts)
    )
