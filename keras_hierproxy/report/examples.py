"""Queries and what they retrieve, as images."""

import dataclasses
import os

from keras_hierproxy.pictures.names import shortened
from keras_hierproxy.pictures.retrieved import (
    SIGNS,
    choose_queries,
    similarity_texts,
    verdict,
)
from keras_hierproxy.report.retrievals import NAME_LENGTH
from keras_hierproxy.report.thumbnails import thumbnail

NUM_QUERIES = 12
SEED = 0


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image and what is written below it."""

    uri: str
    name: str
    coarser: tuple  # its super-classes, finest first
    where: str


@dataclasses.dataclass(frozen=True)
class Neighbor:
    """A retrieved image: its rank, verdict, and the finest level that it shares."""

    picture: Picture
    rank: int
    kind: str
    sign: str
    shared: str
    similarity: str


def picture_maker(search):
    """A function from a row of the data set to its `Picture`."""
    data, pictures = search.data, {}
    places = _places(data)

    def picture(row):
        if row not in pictures:
            name, *coarser = (
                names[label]
                for names, label in zip(search.names, data.labels[row], strict=True)
            )
            pictures[row] = Picture(
                thumbnail(data.images[row]), name, tuple(coarser), places(row)
            )
        return pictures[row]

    return picture


def _places(data):
    """A function from a row to where its image comes from."""
    paths = data.paths or getattr(data.images, "paths", None)
    if paths is None:
        return "image {}".format
    paths = [str(path) for path in paths]
    # Without the folder of them all, which says nothing here.
    common = os.path.commonprefix([min(paths), max(paths)])
    start = max(common.rfind("/"), common.rfind(os.sep)) + 1
    return lambda row: shortened(paths[row][start:], NAME_LENGTH)


def retrieved_rows(search, picture, geometry):
    """Queries with their neighbours: some with a right first one, some with a wrong.

    Returns:
        Two lists of `(Picture, list of Neighbor)`.
    """
    counted = search.counted.nonzero()[0]
    chosen = choose_queries(search.right[counted], NUM_QUERIES, SEED)
    return tuple(
        [_row(search, query, picture, geometry) for query in counted[half]]
        for half in chosen
    )


def _row(search, query, picture, geometry):
    data = search.data
    own = data.labels[search.queries[query]]
    neighbors = []
    texts = similarity_texts(search.similarities[query], geometry)
    for rank, (row, text) in enumerate(
        zip(search.neighbors[query], texts, strict=True), start=1
    ):
        if row < 0:  # the query retrieves no more
            break
        kind, shared = verdict(own, data.labels[row], data.level_names)
        neighbors.append(Neighbor(picture(row), rank, kind, SIGNS[kind], shared, text))
    return picture(search.queries[query]), neighbors
