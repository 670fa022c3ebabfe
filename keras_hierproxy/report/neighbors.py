"""Queries and what they retrieve, as images."""

import dataclasses
import os

from keras_hierproxy.geometry import Sphere, check_geometry
from keras_hierproxy.pictures.names import shortened
from keras_hierproxy.pictures.retrieved import SIGNS, choose_queries, verdict
from keras_hierproxy.report.search import NAME_LENGTH
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
    similarity: float


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


def retrieved_rows(search, picture):
    """Queries with their neighbours: some with a right first one, some with a wrong.

    Returns:
        Two lists of `(Picture, list of Neighbor)`.
    """
    counted = search.counted.nonzero()[0]
    chosen = choose_queries(search.right[counted], NUM_QUERIES, SEED)
    return tuple(
        [_row(search, query, picture) for query in counted[half]] for half in chosen
    )


def _row(search, query, picture):
    data = search.data
    own = data.labels[search.queries[query]]
    neighbors = []
    for rank, (row, similarity) in enumerate(
        zip(search.neighbors[query], search.similarities[query], strict=True), start=1
    ):
        if row < 0:  # the query retrieves no more
            break
        kind = verdict(own, data.labels[row])
        shared = (own == data.labels[row]).nonzero()[0]
        level = data.level_names[shared[0]] if len(shared) else ""
        neighbors.append(
            Neighbor(picture(row), rank, kind, SIGNS[kind], level, float(similarity))
        )
    return picture(search.queries[query]), neighbors


def similarity_text(geometry):
    """What the similarities are, and the factor that makes them that."""
    if isinstance(check_geometry(geometry), Sphere):
        return "cosine similarities", 1
    return "distances", -1
