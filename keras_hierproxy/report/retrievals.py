"""Who retrieves whom: what most parts of a report are made of."""

import dataclasses
import functools

import numpy as np

from keras_hierproxy.pictures.names import shortened
from keras_hierproxy.pictures.retrieved import nearest_images
from keras_hierproxy.retrieval.scores import positives_of

# Neighbours that a query is shown with.
DEPTH = 8
# Longer names lose their middle.
NAME_LENGTH = 80
# Of what is retrieved and has none.
NO_CLASS = "(no class)"


@dataclasses.dataclass(frozen=True)
class Search:
    """The queries of a data set and their nearest neighbours.

    Attributes:
        data: `khp.datasets.RetrievalDataset`.
        queries: int array `(q,)`, rows of `data`.
        neighbors: int array `(q, k)`, rows of `data`, most similar first; -1 past
            the last one that a query retrieves.
        similarities: float array `(q, k)`.
    """

    data: object
    queries: np.ndarray
    neighbors: np.ndarray
    similarities: np.ndarray

    @functools.cached_property
    def names(self):
        """The names of the classes of each level, none of them very long.

        The last is that of -1, which is no class.
        """
        return [
            [*(shortened(name, NAME_LENGTH) for name in level), NO_CLASS]
            for level in self.data.class_names
        ]

    @functools.cached_property
    def gallery(self):
        """Bool array `(N,)`: which images can be retrieved."""
        if self.data.is_query is None:
            return np.ones(len(self.data), bool)
        return ~self.data.is_query

    @functools.cached_property
    def places(self):
        """Int array `(q,)`: which of the queries of the data each one is."""
        if self.data.is_query is None:
            return self.queries
        return np.searchsorted(np.flatnonzero(self.data.is_query), self.queries)

    @functools.cached_property
    def classes(self):
        """Int array `(q,)`, the class of each query."""
        return self.data.labels[self.queries, 0]

    @functools.cached_property
    def first_classes(self):
        """Int array `(q,)`, the class of each query's first neighbour."""
        return self.data.labels[self.neighbors[:, 0], 0]

    @functools.cached_property
    def counted(self):
        """Bool array `(q,)`: which queries can be right at all."""
        rows = np.arange(len(self.data))
        positives = positives_of(**self.data.retrieval_arguments(rows))
        return positives[self.places, 0] > 0

    @functools.cached_property
    def right(self):
        """Bool array `(q,)`: is the first neighbour of the query's class?"""
        return self.first_classes == self.classes

    @functools.cached_property
    def wrong(self):
        """Bool array `(q,)`: could the first neighbour be right, and is not?"""
        return self.counted & ~self.right


def search_neighbors(data, points, geometry, scores=None):
    """The `Search` of points, whose `QueryScores` may hold the neighbours."""
    depth = min(DEPTH, data.gallery_size)
    return Search(data, *nearest_images(data, points, depth, geometry, scores))
