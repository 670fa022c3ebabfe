"""The items of a gallery in Milvus: the engine "milvus", of a file or a cluster."""

import contextlib
import functools
import hashlib
import json
import logging
import os
import pathlib
import re
import threading

import numpy as np

from keras_hierproxy import json_files
from keras_hierproxy.embeddings.on_disk import geometry_from_json
from keras_hierproxy.gallery.classes import Classes
from keras_hierproxy.gallery.local_items import refuse_missing
from keras_hierproxy.gallery.nearest import best
from keras_hierproxy.labels import usual_level_names
from keras_hierproxy.retrieval.search import CANDIDATES

# What Milvus searches with, and what of each: the first is exact.
INDEXES = {
    "FLAT": {},
    # Cells, and how many of them are searched, at least.
    "IVF_FLAT": {"nlist": 1024},
    "HNSW": {"M": 24, "efConstruction": 200},
}
_PROBES, _LEAST_EF = 64, 128
# Milvus gives no more than so many of a query, and takes no longer text.
_MOST_FOUND, _MOST_TEXT = 1 << 14, 65_535
# Bytes of points that travel at a time, below gRPC's usual limits.
_MESSAGE = 1 << 23
# Ids that one expression names.
_IDS = 4096
# More than are asked for: near ties, of so little, are told apart here.
_MARGIN, _TIE = 8, 1e-6
# Where what is no item is kept, by ids below 0: from `_ABOUT` downwards what the
# gallery is, in as many texts as it takes; from `_LABELS` downwards its labels.
_PARTITION, _ABOUT, _MOST_PARTS, _LABELS = "about", -1, 64, -1000
_ITEMS = {"partition_names": ["_default"]}
_ADVICE = "Copy the gallery to a new collection from a folder, with `copy_to`."


class MilvusItems:
    """Items in a collection of Milvus, which searches them; ranks are decided here.

    An item is a row of its id, the vector that Milvus searches by inner product, its
    label and its path, and on the ball its point. Rows of the partition "about" say
    what the gallery is.

    Args:
        uri: str, path of a file `*.db`, or address; `#name` at its end names the
            collection.
        index: str, one of `INDEXES`, or None for that of the collection, and of a new
            one FLAT.
    """

    engine, folder = "milvus", None

    def __init__(self, uri, index=None):
        self.uri, self.name = _place(uri)
        self.where = re.sub("//[^@/]*@", "//", self.uri) + f"#{self.name}"
        self.description, self._index = None, index
        # Texts of the labels that there are, and their classes.
        self._known = frozenset(), Classes()
        self._writing = threading.RLock()
        client = _pymilvus().MilvusClient
        with self._told():
            self._client = client(self.uri)
            if self._client.has_collection(self.name):
                self._open()

    def _open(self):
        self._client.load_collection(self.name)
        self._refresh()
        there = self._client.describe_index(self.name, "vector")["index_type"]
        if self._index not in (None, there):
            raise ValueError(
                f"{self.where} has the index {there!r}. Received: index="
                f"{self._index!r}. Copy the gallery to a new collection with another."
            )
        self._index = there

    def create(self, about):
        """Makes the collection.

        Args:
            about: dict of `geometry`, `dimension`, and what the model is.
        """
        pymilvus = _pymilvus()
        geometry = geometry_from_json(about["geometry"])
        nothing = np.zeros((1, about["dimension"]), "float32")
        size = geometry.search_vectors(nothing, nothing)[1].shape[1]
        kinds = pymilvus.DataType
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("id", kinds.INT64, is_primary=True)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=size)
        schema.add_field("label", kinds.VARCHAR, max_length=_MOST_TEXT)
        schema.add_field("path", kinds.VARCHAR, max_length=_MOST_TEXT)
        if geometry.exact_distance is not None:
            schema.add_field(
                "point",
                kinds.ARRAY,
                element_type=kinds.FLOAT,
                max_capacity=about["dimension"],
            )
        self._index = self._index or "FLAT"
        if self._index == "HNSW" and geometry.exact_distance is not None:
            raise ValueError(
                f"index='HNSW' finds a third of the nearest on {geometry}: its graph "
                "is not made for vectors of such different lengths. Pass 'IVF_FLAT', "
                "or 'FLAT', which is exact."
            )
        index = self._client.prepare_index_params()
        index.add_index(
            "vector",
            index_type=self._index,
            metric_type="IP",
            params=INDEXES[self._index],
        )
        about = {"format_version": 1, "next_id": 0, "level_names": [], **about}
        about |= {"thresholds": [], "num_labels": 0, "farthest": 0.0}
        with self._told():
            # What was added is found by the next search.
            self._client.create_collection(
                self.name,
                schema=schema,
                index_params=index,
                consistency_level="Strong",
            )
            self._client.create_partition(self.name, _PARTITION)
            self._take(about)
            self._keep(about)

    @property
    def level_names(self):
        return tuple(self.description["level_names"])

    @property
    def thresholds(self):
        return self.description["thresholds"]

    @property
    def next_id(self):
        return self.description["next_id"]

    def __len__(self):
        with self._told():
            (count,) = self._client.query(
                self.name, filter="id >= 0", output_fields=["count(*)"]
            )
        return count["count(*)"]

    @property
    def ids(self):
        rows = self._rows("id >= 0", ["id"])
        return np.array(sorted(row["id"] for row in rows), "int64")

    def take_in_changes(self):
        """Reads anew what other processes have written about the gallery."""
        with self._told():
            self._refresh()

    def full(self, label):
        """As `Classes.full`."""
        with self._told():
            return self._labels()[1].full(label)

    def add(self, points, labels, ids=None, paths=None, level_names=None):
        """As `LocalItems.add`. On an error nothing is left of what was begun."""
        with self._writing, self._told():
            self._refresh()
            about = dict(self.description)
            if ids is None:
                ids = about["next_id"] + np.arange(len(points))
            else:
                there = self._there(ids)
                if len(there):
                    raise ValueError(
                        f"ids must be new. Received: {there[:5]}, which are in the "
                        "gallery. Remove these items first, or leave `ids` out."
                    )
            most = max((len(label) for label in labels if label is not None), default=0)
            if not about["level_names"] and (level_names or most):
                about["level_names"] = list(level_names or usual_level_names(most))
            known, before = self._labels()
            if not before.num_levels:
                names = about["level_names"]
                before = Classes(names, [[] for _ in names])
            classes, label_ids = before.with_labels(labels)
            texts = [_text(classes.names(row)) for row in label_ids]
            new = sorted(set(texts) - known - {""})
            paths = [
                _text(path and os.path.abspath(path))
                for path in paths or [""] * len(ids)
            ]
            about["num_labels"] += len(new)
            about["next_id"] = max(about["next_id"], int(ids.max(initial=-1)) + 1)
            if self._point == "point":
                about["farthest"] = max(about["farthest"], self._farthest(points))
            # Ids are taken before there is an item of them, and never twice.
            self._write([self._note(_id_of(text), text) for text in new], _PARTITION)
            self._keep(about)
            self._known = known | set(new), classes
            try:
                self._write_items(ids, points, texts, paths)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._delete(ids)
                raise
        return ids

    def remove(self, ids):
        """As `LocalItems.remove`."""
        with self._writing, self._told():
            self._check_there(ids)
            self._delete(ids)

    def about(self, ids):
        """Lists of the labels and of the paths of the items of int64 `ids` `(n,)`."""
        with self._told():
            self._check_there(ids)
            rows = {row["id"]: row for row in self._at(ids, ["label", "path"])}
        rows = [rows[i] for i in ids.tolist()]
        return [_label(row["label"]) for row in rows], [_path(r["path"]) for r in rows]

    def search(self, queries, k):
        """As `LocalItems.search`."""
        if k > _MOST_FOUND:
            raise ValueError(
                f"Milvus finds at most {_MOST_FOUND:,} items of a query. Received: "
                f"k={k}. Copy the gallery with `copy_to(engine='faiss')`."
            )
        self.take_in_changes()
        vectors, _ = self.geometry.search_vectors(queries, queries[:0])
        shape = len(queries), k
        ids = np.full(shape, -1, "int64")
        similarities = np.full(shape, -np.inf, "float32")
        labels, paths = np.full(shape, None, object), np.full(shape, "", object)
        left = np.arange(len(queries))
        fetch = k + _MARGIN
        if self.geometry.exact_distance is not None:
            fetch = CANDIDATES * k + _MARGIN
        while len(left):
            fetch = min(fetch, _MOST_FOUND)
            again = []
            step = max(1, _MESSAGE // (4 * fetch * queries.shape[1]))
            for start in range(0, len(left), step):
                rows = left[start : start + step]
                found = self._fetch(vectors[rows], fetch)
                chosen, near = self._ranked(queries[rows], found, k)
                for row, hits, order, similarity in zip(
                    rows, found, chosen, near, strict=True
                ):
                    more = len(hits) == fetch < _MOST_FOUND
                    if more and self._is_cut_off(vectors[row], hits, k):
                        again.append(row)
                        continue
                    for place, i in enumerate(order[order >= 0]):
                        hit = hits[i]["entity"]
                        ids[row, place] = hits[i]["id"]
                        labels[row, place] = _label(hit["label"])
                        paths[row, place] = _path(hit["path"])
                    similarities[row] = similarity
            left = np.array(again, "int64")
            fetch *= 2
        return ids, similarities, labels, paths

    def blocks_of_items(self, size=1 << 14):
        """As `LocalItems.blocks_of_items`."""
        ids = self.ids
        for start in range(0, len(ids), size):
            with self._told():
                fields = ["label", "path", self._point]
                rows = self._at(ids[start : start + size], fields)
            rows.sort(key=lambda row: row["id"])
            yield (
                np.array([row["id"] for row in rows], "int64"),
                np.array([row[self._point] for row in rows], "float32"),
                [_label(row["label"]) for row in rows],
                [_path(row["path"]) for row in rows],
            )

    def keep_thresholds(self, thresholds, next_id=0):
        """As `LocalItems.keep_thresholds`."""
        with self._writing, self._told():
            self._refresh()
            next_id = max(next_id, self.next_id)
            self._keep(
                {**self.description, "thresholds": thresholds, "next_id": next_id}
            )

    def _fetch(self, vectors, count):
        params = {}
        if self._index == "IVF_FLAT":
            params["nprobe"] = _PROBES
        elif self._index == "HNSW":
            params["ef"] = max(_LEAST_EF, 2 * count)
        with self._told():
            return self._client.search(
                self.name,
                data=list(vectors),
                anns_field="vector",
                limit=count,
                output_fields=["label", "path", self._point],
                search_params={"metric_type": "IP", "params": params},
                **_ITEMS,
            )

    def _ranked(self, queries, found, k):
        """`best` of what was found."""
        shape = len(found), max(map(len, found))
        ids, places = np.full(shape, -1, "int64"), np.zeros(shape, "int64")
        points = [np.zeros(queries.shape[1], "float32")]
        for row, hits in enumerate(found):
            ids[row, : len(hits)] = [hit["id"] for hit in hits]
            places[row, : len(hits)] = len(points) + np.arange(len(hits))
            points += [hit["entity"][self._point] for hit in hits]
        points = np.array(points, "float32")
        return best(self.geometry, queries, ids, places, points.__getitem__, k)

    def _is_cut_off(self, vector, hits, k):
        """Whether one that was not fetched may be among the `k` best."""
        last, wanted = hits[-1]["distance"], hits[k - 1]["distance"]
        if self.geometry.exact_distance is None:
            return last >= wanted - _TIE
        farthest, wanted = (
            np.array([[self.description["farthest"]]]),
            np.array([wanted]),
        )
        return last >= self.geometry.search_floor(vector[None], farthest, wanted)[0]

    def _vectors(self, points):
        return self.geometry.search_vectors(points[:0], points)[1]

    def _farthest(self, points):
        blocks = (points[i : i + _IDS] for i in range(0, len(points), _IDS))
        return max(float(self._vectors(block)[:, -1].max()) for block in blocks)

    def _refresh(self):
        """Takes in what other processes have written."""
        parts = self._client.query(
            self.name,
            ids=[_ABOUT - i for i in range(_MOST_PARTS)],
            output_fields=["label", "path"],
        )
        texts = {row["id"]: row["label"] for row in parts}
        count = next((row["path"] for row in parts if row["id"] == _ABOUT), "0")
        count = min(_MOST_PARTS, int(count)) if count.isdecimal() else 0
        text = "".join(texts.get(_ABOUT - i, "") for i in range(count))
        # Imports pydantic.
        from keras_hierproxy import schemas

        if not text:
            raise ValueError(
                f"{self.where} is no gallery. Name another collection, as "
                "`uri='...#name'`."
            )
        about = json_files.parse(
            text.encode(), self.where, schemas.CollectionOfGallery, _ADVICE
        )
        self._take(about)

    def _labels(self):
        """Texts of the labels that there are, and their classes."""
        known, classes = self._known
        if len(known) != self.description["num_labels"]:
            rows = self._rows(f"id <= {_LABELS}", ["label"])
            known, names = {row["label"] for row in rows}, self.level_names
            labels = [_label(text) for text in sorted(known)]
            classes, _ = Classes(names, [[] for _ in names]).with_labels(labels)
            self._known = known, classes
        return known, classes

    def _take(self, about):
        self.description = about
        self.geometry = geometry_from_json(about["geometry"])
        self.dimension = about["dimension"]
        self._point = "vector" if self.geometry.exact_distance is None else "point"

    def _keep(self, about):
        text = json.dumps(about)
        step = _MOST_TEXT - 1
        parts = [text[i : i + step] for i in range(0, len(text), step)]
        if len(parts) > _MOST_PARTS:
            raise ValueError("Milvus has no room for so much about a gallery.")
        self._write(
            [self._note(_ABOUT - i, part, len(parts)) for i, part in enumerate(parts)],
            _PARTITION,
        )
        self.description = about

    def _note(self, row_id, text, count=0):
        """A row that is no item."""
        nothing = np.zeros((1, self.dimension), "float32")
        (vector,) = self._vectors(nothing)
        row = {"id": row_id, "vector": vector, "label": text, "path": str(count)}
        return row if self._point == "vector" else row | {"point": []}

    def _write_items(self, ids, points, texts, paths):
        step = self._rows_of_message
        for start in range(0, len(ids), step):
            block = slice(start, start + step)
            columns = ids[block].tolist(), texts[block], paths[block]
            rows = [
                {"id": i, "vector": vector, "label": text, "path": path}
                for vector, i, text, path in zip(
                    self._vectors(points[block]), *columns, strict=True
                )
            ]
            if self._point == "point":
                for row, point in zip(rows, points[block].tolist(), strict=True):
                    row["point"] = point
            self._write(rows)

    def _write(self, rows, partition=""):
        # Not `insert`: one that is sent again, since no answer came, is there once.
        step = self._rows_of_message
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            self._client.upsert(self.name, block, partition_name=partition)

    @property
    def _rows_of_message(self):
        return max(1, _MESSAGE // (8 * self.dimension))

    def _at(self, ids, fields):
        """Rows of the items of int64 `ids` `(n,)` that are there."""
        rows = []
        for start in range(0, len(ids), _IDS):
            block = ids[start : start + _IDS].tolist()
            rows += self._client.query(self.name, ids=block, output_fields=fields)
        return rows

    def _there(self, ids):
        return [row["id"] for row in self._at(ids, ["id"])]

    def _check_there(self, ids):
        there = set(self._there(ids))
        refuse_missing([i for i in ids.tolist() if i not in there])

    def _delete(self, ids):
        for start in range(0, len(ids), _IDS):
            self._client.delete(self.name, ids=ids[start : start + _IDS].tolist())

    def _rows(self, condition, fields):
        """All rows that meet a condition."""
        rows = []
        with self._told():
            iterator = self._client.query_iterator(
                self.name, filter=condition, output_fields=fields, batch_size=_IDS
            )
            while block := iterator.next():
                rows += block
            iterator.close()
        return rows

    @contextlib.contextmanager
    def _told(self):
        """Has errors of Milvus say where it is."""
        exceptions = _pymilvus().exceptions
        try:
            yield
        except exceptions.MilvusException as error:
            hint = " Is it running, and yours to use?"
            if self.uri.endswith(".db"):
                hint = " One process at a time may use a file."
            raise OSError(f"Milvus, {self.where}: {error.message}.{hint}") from error


@functools.cache
def _pymilvus():
    try:
        import pymilvus
    except ImportError as error:
        raise ImportError(
            "engine='milvus' needs pymilvus: pip install 'keras-hierproxy[milvus]'."
        ) from error
    # Of Milvus Lite, which keeps no time of the server's, at each look through rows.
    iterators = logging.getLogger("pymilvus.client.iterator.query_iterator")
    iterators.addFilter(lambda record: "mvccTs" not in record.getMessage())
    return pymilvus


def _place(uri):
    """Where, and the name of the collection there."""
    if not isinstance(uri, str | pathlib.PurePath):
        raise ValueError(
            "engine='milvus' needs `uri`, the path of a file such as 'shelf.db', or "
            f"the address of a cluster, 'http://host:19530'. Received: {uri!r}."
        )
    place, _, name = str(uri).partition("#")
    name = name or "gallery"
    if not place.endswith(".db") and "://" not in place:
        raise ValueError(
            "`uri` must be the path of a file that ends with .db, or an address such "
            f"as 'http://host:19530'. Received: {str(uri)!r}."
        )
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,254}", name):
        raise ValueError(
            "Behind #, `uri` names the collection, in letters, digits and _. Received: "
            f"{name!r}."
        )
    if "://" not in place:
        folder = pathlib.Path(place).absolute().parent
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder} for {place}.")
    return place, name


def _text(value):
    """JSON of a label or a path, nothing of none; names need not be Unicode."""
    text = json.dumps(value) if value else ""
    if len(text) > _MOST_TEXT:
        raise ValueError(
            f"Milvus takes labels and paths of {_MOST_TEXT:,} bytes. Received: "
            f"{text[:40]}... of {len(text):,}."
        )
    return text


@functools.lru_cache(1 << 16)
def _label(text):
    return tuple(_parsed(text, list)) if text else None


def _path(text):
    return _parsed(text, str) if text else ""


def _parsed(text, kind):
    value = None
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text)
    names = value if kind is list else [value]
    known = isinstance(value, kind) and all(isinstance(n, str | None) for n in names)
    if not known:
        raise ValueError(f"An item in Milvus is damaged: {text[:60]!r}. {_ADVICE}")
    return value


def _id_of(text):
    """Of the row that keeps a label."""
    digest = hashlib.sha256(text.encode()).digest()
    return _LABELS - int.from_bytes(digest[:7])
