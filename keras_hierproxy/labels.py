"""Labels, ids and groups: what says which rows belong together.

Labels are ids of classes, 0 or more; `DISTRACTOR` stands for no class. What they may
look like is decided here alone, for data sets, evaluations and training, so that none
of them takes one-hot rows for levels, or rounds ids.
"""

import keras
import numpy as np

# Of a row that is of no class, or of none that is known: it matches nothing and is no
# query.
DISTRACTOR = -1


def check_labels(
    labels,
    num_rows,
    name="labels",
    rows_are="embeddings",
    level_names=None,
    class_names=None,
):
    """Labels of one or several levels as an array of ids, finest level first.

    A row may hold -1 on its finest levels: its class is unknown there. On all levels
    it is a distractor.

    Args:
        labels: int array `(N,)` or `(N, L)`; a list, a data frame or a tensor will do.
        num_rows: int, N.
        name: str, of the argument.
        rows_are: str, what there is one label of.
        level_names, class_names: of the levels, for messages, as in
            `khp.datasets.RetrievalDataset`. Labels with `class_names` are known to be
            of levels, and not one-hot.

    Returns:
        int64 array `(N, L)`.

    Raises:
        ValueError: labels that are not integers, one-hot, negative, not nested, or of
            another length; it says what to pass instead.

    Example:

    >>> check_labels([[0, 0], [1, 0], [-1, 0], [-1, -1]], num_rows=4).shape
    (4, 2)
    """
    labels = check_rows(labels, num_rows, name, rows_are)
    check_nested(labels, name, level_names, class_names)
    if class_names is None and look_one_hot(labels):
        raise ValueError(
            f"{name} look one-hot: pass `{name}.argmax(-1)`. Received shape "
            f"{labels.shape}, a single 1 in each row. If these are the ids of "
            f"{labels.shape[1]} levels, number one of them anew: 1 for 0, and 0 for 1."
        )
    return labels


def check_rows(labels, num_rows, name="labels", rows_are="embeddings"):
    """As `check_labels`, of each row by itself: what `check_nested` leaves."""
    # As int64, since NumPy compares uint64 with int64 as rounded floats.
    labels = integer_ids(labels, name).astype("int64", copy=False)
    if labels.ndim == 1:
        labels = labels[:, None]
    if labels.ndim != 2 or not labels.size:
        raise ValueError(
            f"{name} must have shape (N,) or (N, levels), with at least one row. "
            f"Received shape {labels.shape}."
        )
    if len(labels) != num_rows:
        raise ValueError(
            f"{name} must have one row each of the {rows_are}. Received {len(labels)} "
            f"rows of labels and {num_rows} {rows_are}."
        )
    if labels.min() < DISTRACTOR:
        row, level = np.argwhere(labels < DISTRACTOR)[0]
        raise ValueError(
            f"{name} must be ids of 0 or more, or -1 for distractors. Received "
            f"{name}[{row}, {level}] = {labels[row, level]}."
        )
    return labels


def integer_ids(ids, name):
    """Ids as an array of integers of any shape and kind.

    Args:
        ids: array, list, data frame or tensor of integers.
        name: str, of the argument.

    Raises:
        ValueError: they are not integers; it says what to pass instead.
    """
    if np.ma.isMaskedArray(ids):
        raise ValueError(
            f"{name} must not be a masked array. Received a mask over "
            f"{np.ma.count_masked(ids)} of {ids.size} entries: leave these rows out, "
            "or pass `labels.filled(-1)` for distractors, which match nothing."
        )
    ids = as_array(ids, name)
    kind = ids.dtype.kind
    if kind not in "iu":
        advice = (
            f"turn names into ids with `np.unique({name}, return_inverse=True)[1]`."
            if kind in "USO"
            else f"cast ids with `{name}.astype('int32')`, turn one-hot rows into ids "
            f"with `{name}.argmax(-1)`."
        )
        if kind == "f" and np.isnan(ids).any():
            advice += " For a row without a label, NaN here, pass -1."
        elif kind == "f":
            advice += " A list that mixes uint64 and int64 becomes float64 in NumPy."
        raise ValueError(
            f"{name} must be integer class ids. Received dtype {ids.dtype} of shape "
            f"{ids.shape}: {advice}"
        )
    if kind == "u" and ids.size and ids.max() > np.iinfo("int64").max:
        raise ValueError(
            f"{name} must be ids below 2^63. Received {ids.max()}: make them dense "
            f"with `np.unique({name}, return_inverse=True)[1]`."
        )
    return ids


def check_nested(labels, name="labels", level_names=None, class_names=None):
    """Raises a `ValueError` unless each class lies in one class of the next level.

    Args:
        labels: int array `(N, L)`, finest level first.
        name, level_names, class_names: as of `check_labels`.
    """
    if level_names is None or len(level_names) != labels.shape[1]:
        level_names = usual_level_names(labels.shape[1])
    for level in range(1, labels.shape[1]):
        fine, coarse = labels[:, level - 1], labels[:, level]
        unknown = np.flatnonzero((fine != DISTRACTOR) & (coarse == DISTRACTOR))
        if len(unknown):
            raise ValueError(
                f"{name} may be -1 on a level only where they are on all finer ones. "
                f"Received the row {labels[unknown[0]].tolist()}. The finest level is "
                "the first column."
            )
        row, other = _stray(fine, coarse)
        if row is not None:
            raise ValueError(
                f"{name} must be nested: each class in exactly one class of the next "
                f"level. Received {level_names[level - 1]} "
                f"{_name(class_names, level - 1, fine[row])} in both "
                f"{level_names[level]} {_name(class_names, level, coarse[row])} and "
                f"{_name(class_names, level, coarse[other])}. {_advice(labels)}"
            )


def look_one_hot(labels):
    """Whether labels `(N, L)` hold a single 1 in each row, and 0 else.

    Where they are nested as well, they have two classes at most.
    """
    return labels.shape[1] > 1 and bool(
        (np.isin(labels, (0, 1)).all(axis=1) & (labels.sum(axis=1) == 1)).all()
    )


def usual_level_names(num_levels):
    """As in the names of the metrics: "class", "level1", "level2", ..."""
    return ("class", *(f"level{level}" for level in range(1, num_levels)))


def check_keys(keys, num_rows, name):
    """Ids or groups of rows: numbers or strings, of which only equality counts.

    -1 and the empty string stand for none.

    Args:
        keys: int or str array `(N,)`.
        num_rows: int, N.
        name: str, of the argument.

    Returns:
        int64 or str array `(N,)`.

    Raises:
        ValueError: they are neither, or of another length.
    """
    if not np.ma.isMaskedArray(keys):
        keys = as_array(keys, name)
        if keys.dtype == object and all(isinstance(key, str) for key in keys.flat):
            keys = keys.astype(str)
    if keys.dtype.kind not in "iuU" or np.ma.isMaskedArray(keys):
        raise ValueError(
            f"{name} must be integers or strings. Received: {type(keys).__name__} of "
            f"dtype {keys.dtype}."
        )
    if keys.shape != (num_rows,):
        raise ValueError(
            f"{name} must have shape ({num_rows},), one entry per row. Received shape "
            f"{keys.shape}."
        )
    return keys if keys.dtype.kind == "U" else integer_ids(keys, name).astype("int64")


def is_none(keys):
    """Bool array: which of `check_keys` stand for no id, or no group."""
    return keys == ("" if keys.dtype.kind == "U" else DISTRACTOR)


def as_array(values, name):
    """Arrays, lists, data frames and tensors of any backend as NumPy arrays."""
    if keras.ops.is_tensor(values):
        return keras.ops.convert_to_numpy(values)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} must be an array with as many entries in each row. Received: "
            f"{type(values).__name__}, of which NumPy makes none ({error})."
        ) from None


def _stray(fine, coarse):
    """Two rows that share the fine class and not the coarse one, or None twice."""
    _, first, of = np.unique(fine, return_index=True, return_inverse=True)
    stray = np.flatnonzero((coarse != coarse[first[of]]) & (fine != DISTRACTOR))
    return (first[of[stray[0]]], stray[0]) if len(stray) else (None, None)


def _name(class_names, level, label):
    fits = class_names is not None and level < len(class_names)
    names = class_names[level] if fits else ()
    return repr(names[label] if label < len(names) else str(label))


def _advice(labels):
    """What labels that are not nested may be instead."""
    if look_one_hot(labels):
        return "These labels look one-hot: pass `labels.argmax(-1)`."
    if labels.shape[1] > 2 and np.isin(labels, (0, 1)).all():
        return (
            "These labels look multi-hot, and an item has one class on each level: "
            "pass the ids of one class each."
        )
    reverse = [_stray(*pair) for pair in zip(labels.T[1:], labels.T, strict=False)]
    if all(row is None for row, _ in reverse):
        return "The finest level is the first column: pass `labels[:, ::-1]`."
    return "The finest level is the first column."
