"""The scores of every query as a table, `queries.csv`, that two runs compare."""

import csv
import hashlib
import io
import os
import pathlib

import numpy as np

from keras_hierproxy import files
from keras_hierproxy.labels import DISTRACTOR
from keras_hierproxy.runs.place import path_below

# Columns that are not scores.
_ITEM = ("row", "path")


def write_queries(path, data, scores, root=None):
    """Writes a line a query: which image it is, its classes and its scores.

    Args:
        path: of the CSV file. Scores have all digits; those of queries that are left
            out are empty.
        data: `khp.datasets.RetrievalDataset`.
        scores: `khp.retrieval.QueryScores` of its queries.
        root: path of the folder that the table names images from, by default the one
            that holds all of them.
    """
    origins = _origins(data.paths, root)
    rows = np.arange(len(data))
    rows = rows if data.is_query is None else rows[data.is_query]
    asked = data.labels[rows, -1] != DISTRACTOR
    rows = rows[asked]
    columns = [
        [_number(value) for value in values[asked].tolist()]
        for values in scores.values.values()
    ]
    lines = [[*_ITEM, *data.level_names, *scores.values]]
    for place, row in enumerate(rows.tolist()):
        names = (
            "" if label == DISTRACTOR else names[label]
            for names, label in zip(data.class_names, data.labels[row], strict=True)
        )
        origin = "" if origins is None else origins[row]
        lines.append([row, origin, *names, *(c[place] for c in columns)])
    files.write(path, files.csv_text(lines))


def read_queries(path, names):
    """The scores in a file of `write_queries`.

    Args:
        path: of the file.
        names: of the scores to read.

    Returns:
        Float64 array `(queries, len(names))`, NaN for queries that are left out.

    Raises:
        ValueError: the file is damaged.
    """
    text = pathlib.Path(path).read_bytes().decode(**files.ENCODING)
    try:
        if not text.endswith("\n"):  # a number may be cut
            raise ValueError("the last line is not whole")
        header, *lines = files.csv_rows(io.StringIO(text, newline=""))
        # From behind: a level of the labels may be called like a score.
        places = [len(header) - 1 - header[::-1].index(name) for name in names]
        return np.array(
            [
                [float(line[p]) if line[p] != "" else np.nan for p in places]
                for line in lines
            ]
        )
    except (IndexError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} is damaged: {error!r}. Evaluate again.") from None


def fingerprint(data):
    """What two evaluations must share to be of the same queries.

    Args:
        data: `khp.datasets.RetrievalDataset`.

    Returns:
        str: SHA-256 of every image's file name, classes, role and group, in their
        order.
    """
    digest = hashlib.sha256(repr(data.level_names).encode())
    for row, labels in enumerate(data.labels.tolist()):
        names = [
            None if label == DISTRACTOR else names[label]
            for names, label in zip(data.class_names, labels, strict=True)
        ]
        origin = None if data.paths is None else data.paths[row].rsplit("/", 1)[-1]
        role = None if data.is_query is None else bool(data.is_query[row])
        group = () if data.groups is None else (int(data.groups[row]),)
        digest.update(repr((names, origin, role, *group)).encode())
    return digest.hexdigest()


def _origins(paths, root):
    """Paths from the data's folder: who is passed the table has another machine."""
    whole = [path for path in paths or () if os.path.isabs(path)]
    if not whole:
        return paths
    root = root or os.path.commonpath([os.path.dirname(path) for path in whole])
    return [path_below(path, root) for path in paths]


def _number(value):
    return "" if np.isnan(value) else value
