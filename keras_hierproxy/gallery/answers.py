"""What a gallery answers."""

import dataclasses

import numpy as np


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
