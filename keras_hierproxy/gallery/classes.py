"""Classes by their names, and which lies in which."""

import numpy as np

from keras_hierproxy.labels import DISTRACTOR, usual_level_names


class Classes:
    """The classes of each level, finest first, as they are kept in a folder.

    Classes are told apart by their names and those of the classes that they lie in:
    two may share a name in different ones. Never changed: `with_labels` makes another.

    Args:
        level_names: tuple of str, a name for each level.
        class_names: sequence of a sequence of names for each level.
        labels: int array `(n, levels)`, ids in `class_names` of some items, which say
            what lies in what; or None without items.
    """

    def __init__(self, level_names=(), class_names=(), labels=None):
        self.level_names = tuple(level_names)
        self.class_names = [list(names) for names in class_names]
        if labels is None:
            labels = np.empty((0, len(self.class_names)), "int32")
        # From a name and the id of the class that it lies in to an id.
        self._ids = [{} for _ in self.class_names]
        for level, names in enumerate(self.class_names):
            if level + 1 < self.num_levels:
                pairs = np.unique(labels[:, level : level + 2], axis=0)
            else:
                pairs = [(i, DISTRACTOR) for i in range(len(names))]
            for i, parent in pairs:
                if i != DISTRACTOR:
                    self._ids[level].setdefault((names[i], int(parent)), int(i))

    @property
    def num_levels(self):
        return len(self.class_names)

    def with_labels(self, labels):
        """Ids of labels, and the classes with those that they add.

        Args:
            labels: list of `n` tuples of names, finest first, or None.

        Returns:
            `(classes, ids)`, a `Classes` and an int32 array `(n, levels)`.

        Raises:
            ValueError: labels of another number of levels.
        """
        most = max((len(label) for label in labels if label is not None), default=0)
        grown = Classes()
        grown.level_names = self.level_names
        if most and not self.num_levels:
            grown.level_names = usual_level_names(most)
            grown.class_names = [[] for _ in range(most)]
            grown._ids = [{} for _ in range(most)]
        else:
            grown.class_names = [list(names) for names in self.class_names]
            grown._ids = [dict(ids) for ids in self._ids]
        known = {None: (DISTRACTOR,) * grown.num_levels}
        # Names alone last: theirs may be among the classes that others bring.
        for label in sorted(
            dict.fromkeys(label for label in labels if label is not None),
            key=len,
            reverse=True,
        ):
            known[label] = grown._add(grown.full(label))
        ids = np.array([known[label] for label in labels], "int32")
        return grown, ids.reshape(len(labels), grown.num_levels)

    def _add(self, label):
        ids, parent = [], DISTRACTOR
        for level in reversed(range(self.num_levels)):
            name = label[level]
            if name is not None:
                new = len(self.class_names[level])
                parent = self._ids[level].setdefault((name, parent), new)
                if parent == new:
                    self.class_names[level].append(name)
            ids.append(DISTRACTOR if name is None else parent)
        return tuple(reversed(ids))

    def full(self, label):
        """A label with names of all levels; of a name alone the classes it lies in.

        Raises:
            ValueError: it is of another number of levels, or its class is not known.
        """
        levels = self.num_levels
        if len(label) == 1 < levels:
            places = [key for key in self._ids[0] if key[0] == label[0]]
            if len(places) != 1:
                several = "lies in several" if places else "is new"
                raise ValueError(
                    f"The class {label[0]!r} {several}: pass {levels} names, its own "
                    "and those of the classes that it lies in, finest first: "
                    f"{', '.join(map(repr, self.level_names))}."
                )
            return self.names(self._row(*places[0]))
        if len(label) != levels:
            raise ValueError(
                f"labels must be tuples of {levels} names, "
                f"{', '.join(map(repr, self.level_names))}, as those that are there. "
                f"Received: {label!r}."
            )
        return label

    def _row(self, name, parent):
        row = [self._ids[0][name, parent]]
        for level in range(1, self.num_levels):
            row.append(parent)
            if level + 1 < self.num_levels:
                parent = next(
                    up for (_, up), i in self._ids[level].items() if i == parent
                )
        return row

    def names(self, ids):
        """The label of a row of ids: a tuple of names, or None where there is none."""
        if all(i == DISTRACTOR for i in ids):
            return None
        return tuple(
            None if i == DISTRACTOR else names[i]
            for i, names in zip(ids, self.class_names, strict=True)
        )


def names_of(data):
    """The labels of a data set, or of embeddings, as `as_labels` gives them."""
    distinct, of = np.unique(data.labels, axis=0, return_inverse=True)
    names = []
    for row in distinct:
        label = tuple(
            None if i == DISTRACTOR else known[i]
            for i, known in zip(row, data.class_names, strict=True)
        )
        names.append(label if any(part is not None for part in label) else None)
    return [names[i] for i in of.ravel()]


def as_labels(labels, count, name="labels"):
    """Labels as they are passed in, as a list of tuples of names, or None.

    Args:
        labels: iterable of `count` names, tuples of names, or None.
        count: int; None for any.

    Raises:
        ValueError: they are none of these, or of another number.
    """
    if labels is None:
        return [None] * count
    if isinstance(labels, str) or not hasattr(labels, "__iter__"):
        raise ValueError(
            f"{name} must be a list of names, or of tuples of names. Received: "
            f"{labels!r}."
        )
    known = {}
    result = []
    for label in labels:
        if not isinstance(label, str | tuple) and label is not None:
            label = _as_tuple(label, name)
        if label not in known:
            known[label] = _checked(label, name)
        result.append(known[label])
    if count not in (None, len(result)):
        raise ValueError(
            f"{name} must have one entry for each item. Received: {len(result)} for "
            f"{count} items."
        )
    return result


def _as_tuple(label, name):
    if isinstance(label, float) and label != label:  # of a data frame
        return None
    if not isinstance(label, list | np.ndarray):
        raise ValueError(
            f"{name} must be names, tuples of names, finest first, or None. Received: "
            f"{label!r}. Turn ids into names, such as "
            "`[class_names[i] for i in ids]`."
        )
    return tuple(label)


def _checked(label, name):
    if label is None:
        return None
    if isinstance(label, str):
        return (str(label),)
    if not label or not all(part is None or isinstance(part, str) for part in label):
        raise ValueError(
            f"{name} must be names or tuples of names, finest first. Received: "
            f"{label!r}."
        )
    known = [part is not None for part in label]
    if not any(known):
        return None
    if known != sorted(known):
        raise ValueError(
            f"{name} may be None on a level only where they are on all finer ones. "
            f"Received: {label!r}. The finest level comes first."
        )
    return tuple(None if part is None else str(part) for part in label)
