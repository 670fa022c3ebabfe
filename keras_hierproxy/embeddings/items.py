"""The lines of `items.csv`: which image each embedding is of, and its labels."""

import hashlib
import os

import numpy as np

from keras_hierproxy.files import ENCODING, csv_rows, csv_text
from keras_hierproxy.labels import DISTRACTOR

_ROLES = ("gallery", "query")


def columns(level_names, has_roles, has_groups):
    """The names in the first line."""
    names = ["row", "path", *["role"][:has_roles], *["group"][:has_groups]]
    for level in level_names:
        names += [f"{level}_id", level]
    return names


def header(data):
    """The first line, as bytes."""
    has_roles, has_groups = data.is_query is not None, data.groups is not None
    return _encode([columns(data.level_names, has_roles, has_groups)])


def lines(data, first_row, positions):
    """The lines of some images, as bytes.

    Args:
        data: a `RetrievalDataset`, or unlabelled images with the same attributes.
        first_row: int, row of the first one's embedding.
        positions: int sequence `(n,)`, places of the images in `data`.
    """
    return _encode(
        _fields(data, row, position)
        for row, position in enumerate(positions, start=first_row)
    )


def _fields(data, row, position):
    fields = [row, "" if data.paths is None else data.paths[position]]
    if data.is_query is not None:
        fields.append(_ROLES[int(data.is_query[position])])
    if data.groups is not None:
        fields.append(_id(data.groups[position]))
    if data.labels is not None:
        for i, names in zip(data.labels[position], data.class_names, strict=True):
            fields += [_id(i), "" if i == DISTRACTOR else names[i]]
    return fields


def _id(number):
    """Nothing, for no class and for no group."""
    return "" if number == DISTRACTOR else number


def _encode(rows):
    return csv_text(rows).encode(**ENCODING)


def estimated_bytes(data, start):
    """About how many bytes the lines of the images from `start` on take."""
    count = len(data.images) - start
    total = 20 * count
    if data.paths is not None:
        total += sum(len(os.fsencode(path)) for path in data.paths[start:])
    if data.labels is not None:
        for ids, names in zip(data.labels[start:].T, data.class_names, strict=True):
            lengths = np.array([len(name.encode(**ENCODING)) for name in names])
            total += int(lengths[ids[ids >= 0]].sum()) + 8 * count
    return total


def fingerprint(data):
    """SHA-256 of all that the lines say; of images without paths also of their pixels.

    So that work which was interrupted goes on with the same images only.
    """
    digest = hashlib.sha256(header(data))
    for start in range(0, len(data.images), 1024):
        positions = range(start, min(start + 1024, len(data.images)))
        digest.update(lines(data, start, positions))
    if data.paths is None:
        digest.update(np.ascontiguousarray(data.images))
    return digest.hexdigest()


def read(
    path, num_bytes, num_rows, level_names, class_names, has_roles, has_groups=False
):
    """Reads and checks the first `num_bytes` of `items.csv`.

    Returns:
        `(paths, labels, is_query, groups)`: a tuple of str or None, an int32 array
        `(n, levels)` or None, a bool array `(n,)` or None, and an int64 array `(n,)` or
        None.

    Raises:
        ValueError: lines that are missing, or say something else than the rest.
    """
    expected = columns(level_names, has_roles, has_groups)
    first_level = 2 + has_roles + has_groups
    paths, roles, groups = [], [], []
    labels = np.empty((num_rows, len(level_names)), "int32")
    # By what stands in the lines, which is looked up a million times.
    ids_of = [
        {(str(i), name): i for i, name in enumerate(names)} | {("", ""): DISTRACTOR}
        for names in class_names
    ]
    with path.open("rb") as file:
        reader = _rows(_lines(file, num_bytes), path)
        if next(reader, None) != expected:
            raise ValueError(f"{path} must begin with the line {','.join(expected)}.")
        row = -1
        for row, fields in enumerate(reader):
            if row == num_rows:
                break
            if len(fields) != len(expected):
                _refuse(fields, row, path, f"expected {len(expected)} columns")
            if fields[0] != str(row):
                _refuse(fields, row, path, f"expected row {row}")
            paths.append(fields[1])
            if has_roles:
                roles.append(fields[2])
            if has_groups:
                text = fields[first_level - 1]
                # More digits are no number of ours, and may be no int64.
                if text and not (text.isdecimal() and len(text) < 19):
                    _refuse(fields, row, path, f"no number of a group: {text!r}")
                groups.append(int(text or DISTRACTOR))
            ids = []
            for level, known in enumerate(ids_of):
                text, name = fields[
                    first_level + 2 * level : first_level + 2 * level + 2
                ]
                i = known.get((text, name))
                if i is None:
                    _refuse(fields, row, path, f"no class {name!r} has this id")
                ids.append(i)
            labels[row] = ids
    if row + 1 != num_rows:
        raise ValueError(
            f"{path} has {'more than ' if row == num_rows else ''}"
            f"{min(row + 1, num_rows)} lines below its first, and there are "
            f"{num_rows} embeddings."
        )
    if has_roles and not set(roles) <= set(_ROLES):
        unknown = next(role for role in roles if role not in _ROLES)
        raise ValueError(f"{path} has the role {unknown!r}: expected {_ROLES}.")
    return (
        tuple(paths) if any(paths) else None,
        labels if level_names else None,
        np.array(roles) == _ROLES[1] if has_roles else None,
        np.array(groups, "int64") if has_groups else None,
    )


def _lines(file, num_bytes):
    """The lines of text in the first bytes of a file, as `csv_rows` takes them."""
    while num_bytes > 0 and (line := file.readline(num_bytes)):
        num_bytes -= len(line)
        yield line.decode(**ENCODING)


def _rows(lines, path):
    try:
        yield from csv_rows(lines)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged: {error}. Copy the whole folder again, or embed anew."
        ) from error


def _refuse(fields, row, path, why):
    raise ValueError(f"{path}, row {row}: {why}. Received: {fields}")
