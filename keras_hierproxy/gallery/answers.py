"""What a gallery answers."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What a gallery says that a query is.

    Attributes:
        label: str, the name at `level`; None for unknown.
        level: int, 0 the finest; None for unknown.
        path: tuple of names from that level upwards; empty for unknown.
        confidence: float, the share of answers of such a score that were right in
            calibration; for unknown, that the coarsest answer would have been wrong.
        hits: `Hits` of the query, arrays `(20,)`.

    Example:

    >>> gallery = khp.Gallery(dimension=2)
    >>> ids = gallery.add(points=[[0, 1], [1, 0]], labels=["Cox Orange", "Gala"])
    >>> angles = np.linspace(0, np.pi / 2, 400)
    >>> queries = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    >>> labels = ["Gala"] * 150 + [None] * 100 + ["Cox Orange"] * 150
    >>> thresholds = gallery.calibrate(points=queries, labels=labels)
    >>> [answer.label for answer in gallery.identify(points=[[5, 1], [1, 1]])]
    ['Gala', None]
    """

    label: str | None
    level: int | None
    path: tuple
    confidence: float
    hits: object


@dataclasses.dataclass(frozen=True, eq=False)
class Hits:
    """The nearest items of each of `n` queries, nearest first.

    Where there are fewer than `k` items, the rest is -1, minus infinity and None.

    Attributes:
        ids: int64 array `(n, k)`.
        similarities: float32 array `(n, k)`: cosines on the sphere, negative distances
            on the ball.
        labels: array `(n, k)` of objects: names, or tuples of names, finest first; None
            of an item without a label.
        paths: array `(n, k)` of objects: where each image was, `""` where nobody knows.

    Example:

    >>> gallery = khp.Gallery(geometry=khp.geometry.Sphere(), dimension=2)
    >>> ids = gallery.add(points=[[1, 0], [0, 1]], labels=["right", "up"])
    >>> hits = gallery.search(points=[[3, 1]], k=2)
    >>> hits.ids.tolist(), hits.labels[0].tolist()
    ([[0, 1]], ['right', 'up'])
    """

    ids: np.ndarray
    similarities: np.ndarray
    labels: np.ndarray
    paths: np.ndarray

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, query):
        """The hits of one query, or of a slice of them, as `Hits` of arrays."""
        return Hits(
            self.ids[query],
            self.similarities[query],
            self.labels[query],
            self.paths[query],
        )
