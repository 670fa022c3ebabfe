"""The gallery: what is known, and can be asked."""

import dataclasses
import os
import warnings

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.embeddings import Embeddings
from keras_hierproxy.embeddings.on_disk import geometry_to_json
from keras_hierproxy.gallery.answers import Answer, Hits
from keras_hierproxy.gallery.classes import as_labels, names_of
from keras_hierproxy.gallery.inputs import (
    as_points,
    image_shape,
    read_data,
    read_images,
)
from keras_hierproxy.gallery.levels import NEAREST, answers_at
from keras_hierproxy.gallery.local_items import MOST_IDS, LocalItems
from keras_hierproxy.gallery.milvus_items import INDEXES, MilvusItems
from keras_hierproxy.gallery.origin import Origin
from keras_hierproxy.gallery.thresholds import (
    Threshold,
    find_threshold,
    queries_needed,
)
from keras_hierproxy.geometry import check_geometry
from keras_hierproxy.labels import integer_ids

_ENGINES = ("faiss", "milvus")


class Gallery:
    """Items with names that can be searched, and that come and go without training.

    Search is exact, by cosine or by hyperbolic distance: `khp.retrieval.knn` among the
    items that are there, whatever was added and removed before; items that are equally
    near come by their ids, the smallest first.

    A gallery that was saved or loaded is its folder: each change is in it when the
    method returns, whole or not at all, whatever kills the process. One process changes
    it at a time, others wait for it; those that read have what was there when they
    loaded it, changed it last, or called `refresh`. The folder is that of `hierproxy
    embed`: `khp.embeddings.load`, `hierproxy evaluate` and `embed` read it, too.
    Removed items take their place on the disk until they are most of all, or the
    gallery is saved to another folder.

    In Milvus a gallery is a collection, that many machines may ask: `uri` opens one
    that is there, and its items need not fit into this process. Each change is there
    when the method returns; of an addition that the process does not survive, a part
    may be. Let one process change it at a time: a cluster has no locks.

    Threads may search while another adds.

    Args:
        embedder: an `ImageEmbedder` or `EmbeddingModel`, the name of a preset, or the
            path of one, of a run or of a `.keras` file. It is kept in the folder: by
            its name if it was passed by that of a shipped preset, else in a file.
            Milvus keeps names alone: pass any other again. By default None, for a
            gallery of points alone.
        geometry: where points live; by default the embedder's, or `Sphere()`.
        dimension: int, of points; by default the embedder's, or the collection's.
        engine: `"faiss"`, in this process; `"milvus"`, in what `uri` names, for which
            `pip install 'keras-hierproxy[milvus]'`.
        uri: of Milvus: the path of a file `*.db`, which Milvus Lite serves to this
            process, or the address of a cluster, `"http://host:19530"`, with
            `user:password@` before the host where it has users. `#name` behind either
            names the collection, by default `gallery`.
        index: of Milvus, what it searches a new collection with: `"FLAT"`, exact, by
            default; `"HNSW"` or `"IVF_FLAT"`, which search millions of items faster
            and miss some.

    Attributes:
        embedder: the model, or None.
        geometry, dimension: as above.
        folder: path of the folder that it is in, or None.
        root: path of the folder that its first images lie in, or None.
        image_shape: `(height, width, channels)` in which files of images are read.
        ids: int64 array of the items' ids.
        level_names: tuple of names of the levels of labels, finest first.
        thresholds: list of what `calibrate` chose, or empty.

    Raises:
        ValueError: neither an embedder nor a dimension; or these disagree, with each
            other or with what is in the collection.
        ImportError: pymilvus is not installed.
        OSError: Milvus cannot be reached, or refuses.

    Example:

    >>> gallery = khp.Gallery(geometry=khp.geometry.Sphere(), dimension=3)
    >>> gallery.add(
    ...     points=np.eye(3),
    ...     labels=[("Gala", "apple"), ("Cox Orange", "apple"), ("Conference", "pear")],
    ... )
    array([0, 1, 2])
    >>> hits = gallery.search(points=[[0.1, 0.9, 0.2]], k=2)
    >>> hits.ids.tolist(), hits.labels[0, 0]
    ([[1, 2]], ('Cox Orange', 'apple'))
    >>> gallery.remove(ids=[1])
    >>> len(gallery)
    2
    """

    def __init__(
        self,
        embedder=None,
        geometry=None,
        dimension=None,
        engine="faiss",
        uri=None,
        index=None,
    ):
        self._origin = Origin(embedder)
        if self._origin:
            model = self._origin.embedder
            geometry = _agreed("geometry", geometry, model.geometry)
            dimension = _agreed("dimension", dimension, model.output_shape[-1])
        self._data = {"name": "gallery"}
        self._set_items(engine, uri, index, geometry, dimension)

    def _set_items(self, engine, uri, index, geometry, dimension):
        """Items in an engine, of which there may be some."""
        engine = checks.one_of("engine", engine, _ENGINES)
        if engine == "milvus":
            if index is not None:
                checks.one_of("index", index, tuple(INDEXES))
            self._items = MilvusItems(uri, index)
            if self._items.description is not None:
                self._check_there(geometry, dimension)
                return
        elif uri is not None or index is not None:
            raise ValueError(
                "`uri` and `index` are not for the engine 'faiss'. Received: "
                f"uri={uri!r}, index={index!r}."
            )
        if dimension is None:
            where = f" There is none yet in {self._items.where}." if uri else ""
            raise ValueError(
                "A new gallery needs an embedder, or else the `dimension` of its "
                f"points (and their `geometry`, by default the sphere).{where}"
            )
        geometry = check_geometry(geometry)
        described = geometry_to_json(geometry)  # refuses what could not be saved
        dimension = checks.integer("dimension", dimension, least=1)
        if engine == "faiss":
            self._items = LocalItems(geometry, dimension)
        else:
            about = {"geometry": described, "dimension": dimension}
            self._items.create(about | self._origin.described())

    def _check_there(self, geometry, dimension):
        """Raises a `ValueError` where a collection is of something else."""
        items = self._items
        for name, given, there in (
            ("geometry", geometry, items.geometry),
            ("dimension", dimension, items.dimension),
        ):
            if given is not None and given != there:
                raise ValueError(
                    f"{items.where} holds points of the {name} {there!r}. Received: "
                    f"{name}={given!r}."
                )
        stored = Origin.of_description(items.description)
        stored.check_same(self._origin.sha256, "What `embedder` gives")
        if not self._origin:
            self._origin = stored

    @classmethod
    def build(
        cls,
        embedder,
        data=None,
        *,
        images=None,
        labels=None,
        engine="faiss",
        uri=None,
        index=None,
    ):
        """A gallery of many images at once.

        Args:
            embedder: as of `Gallery`.
            data: a `khp.datasets.RetrievalDataset`, of which images that are queries to
                the others are left out; or a folder, with a folder for each class (in
                folders of coarser ones, see `khp.datasets.from_directory`) or with
                images alone.
            images, labels: as of `add`, instead of `data`.
            engine, uri, index: as of `Gallery`.

        Returns:
            `Gallery`.

        Example:

        >>> data = khp.datasets.load("glyphs")
        >>> gallery = khp.Gallery.build("hierproxy_cnn_glyphs", data.test)
        >>> gallery.level_names
        ('character', 'base letter', 'script')
        >>> hits = gallery.search(data.test.images[:3], k=2)
        >>> bool(hits.ids[0, 0] == 0)  # each image finds itself first
        True
        """
        if (data is None) == (images is None):
            raise ValueError(
                "Pass either `data`, a `RetrievalDataset` or a folder, or `images` "
                "with `labels`."
            )
        gallery = cls(embedder, engine=engine, uri=uri, index=index)
        if isinstance(data, str | os.PathLike) and os.path.isdir(data):
            gallery._data["path"] = os.path.abspath(data)
        data = images if data is None else read_data(data, gallery.embedder)
        gallery.add(data, labels=labels)
        return gallery

    @classmethod
    def load(cls, folder):
        """Opens a gallery in its folder.

        Points are mapped from the file, and the embedder is loaded when it is needed.

        Args:
            folder: path, of `save` or of `hierproxy embed`.

        Returns:
            `Gallery`, whose changes are written to the folder.

        Raises:
            FileNotFoundError: the folder holds no gallery, or not all of its files.
            ValueError: they are not finished, or damaged.

        Example:

        >>> gallery = khp.Gallery.load("gallery")
        >>> len(gallery), gallery.dimension
        (24, 24)
        """
        gallery = cls.__new__(cls)
        folder = os.fspath(folder)
        gallery._items = LocalItems(folder=folder)
        description = gallery._items.description
        gallery._origin = Origin.of_description(description, folder)
        kept = ("name", "path", "image_shape")
        data = description["data"]
        gallery._data = {key: data[key] for key in kept if key in data}
        return gallery

    def __len__(self):
        return len(self._items)

    def __repr__(self):
        return (
            f"<Gallery of {len(self):,} items, {self.dimension} dimensions, "
            f"{self.geometry}, {self._items.where!r}>"
        )

    @property
    def embedder(self):
        return self._origin.embedder

    @property
    def geometry(self):
        return self._items.geometry

    @property
    def dimension(self):
        return self._items.dimension

    @property
    def folder(self):
        return self._items.folder

    @property
    def root(self):
        return self._data.get("path")

    @property
    def image_shape(self):
        return image_shape(self.embedder, self._data.get("image_shape"))

    @property
    def ids(self):
        return self._items.ids

    @property
    def level_names(self):
        return self._items.level_names

    def add(self, images=None, points=None, labels=None, ids=None):
        """Adds items.

        Args:
            images: an array of images, or what else the embedder takes; a sequence of
                paths of image files, one path, or a folder of images; a
                `khp.datasets.RetrievalDataset`, or a folder with a folder for each
                class, as of `build`, which bring their labels.
            points: instead of images, float array `(n, d)` of points of `geometry`, as
                `embedder.embed` gives; or `khp.embeddings.Embeddings`, which bring
                their labels.
            labels: list of `n` names, or of tuples of names, finest first; None for an
                item without, in a tuple for a level without. A name alone, where there
                are several levels, is that of a class which is there. By default no
                item has a label.
            ids: int array `(n,)`, 0 or more, that no item has. By default the next
                ones: those of removed items are not given again.

        Returns:
            int64 array `(n,)` of ids.

        Raises:
            ValueError: points of another geometry, dimension or model, or that are not
                finite; labels that do not fit; ids that are there. Nothing is added.
            OSError: an image cannot be read, or the folder not be written to.

        Example:

        >>> gallery = khp.Gallery(dimension=2)
        >>> gallery.add(points=[[0, 1]], labels=["Cox Orange"], ids=[7])
        array([7])
        >>> gallery.add(points=[[1, 0]], labels=["Gala"])
        array([8])
        """
        if labels is None:
            images = self._with_labels(images)
        given = images if points is None else points
        points, paths = self._points(images, points, adding=True)
        keep, level_names = slice(None), None
        if labels is None:
            labels, level_names, keep = _labels_of(given, len(points))
        else:
            labels = as_labels(labels, len(points))
        if isinstance(given, Embeddings):
            paths = given.paths
        if not isinstance(keep, slice):
            points, labels = points[keep], [labels[i] for i in keep]
            paths = paths and [paths[i] for i in keep]
        if ids is not None:
            ids = _checked_ids(ids, len(points))
        return self._items.add(points, labels, ids, paths, level_names)

    def remove(self, ids):
        """Removes items.

        Args:
            ids: int array `(n,)`.

        Raises:
            ValueError: an id is not there. Nothing is removed.
        """
        ids = _checked_ids(ids)
        if len(ids):
            self._items.remove(ids)

    def about(self, ids):
        """What is known of items.

        Args:
            ids: int array `(n,)`.

        Returns:
            `(labels, paths)`, lists of `n`, as in `Hits`.

        Raises:
            ValueError: an id is not there.

        Example:

        >>> gallery = khp.Gallery(dimension=2)
        >>> ids = gallery.add(points=[[0, 1], [1, 0]], labels=["Cox Orange", "Gala"])
        >>> gallery.about([1])
        (['Gala'], [''])
        """
        labels, paths = self._items.about(_checked_ids(ids))
        if len(self.level_names) == 1:
            labels = [label and label[0] for label in labels]
        return labels, paths

    def search(self, images=None, points=None, k=5):
        """The nearest items.

        Args:
            images, points: `n` queries, as of `add`.
            k: int, how many items of each.

        Returns:
            `Hits`: `ids`, `similarities`, `labels` and `paths`, each `(n, k)`.

        Raises:
            ValueError: points of another geometry, dimension or model.

        Example:

        >>> gallery = khp.Gallery(dimension=2)
        >>> ids = gallery.add(points=[[0, 1], [1, 0]], labels=["Cox Orange", "Gala"])
        >>> gallery.search(points=[[2, 1]], k=1).labels
        array([['Gala']], dtype=object)
        """
        k = checks.integer("k", k, least=1)
        queries, _ = self._points(images, points)
        return self._search(queries, k)

    def _search(self, queries, k):
        return self._hits(*self._items.search(queries, k))

    def _hits(self, ids, similarities, labels, paths):
        if len(self.level_names) == 1:
            labels = np.frompyfunc(lambda label: label and label[0], 1, 1)(labels)
        return Hits(ids, similarities, labels, paths)

    def calibrate(self, images=None, points=None, labels=None, precision=0.95):
        """Chooses, for each level, when `identify` answers.

        Of the answers that are given at a level, at least `precision` are right, with
        90% confidence: over the draw of the queries, which must be as those to come, in
        the same mixture of what is in the gallery, in one of its coarser classes alone,
        and in neither. Photos of a few classes that the gallery has not say little of
        others that it has not: with 8 of them a third of the thresholds fell short for
        others, with 66 one in twelve. The bound is the exact one of Clopper and
        Pearson. Levels are chosen one after the other, the finest first, each from the
        queries that finer ones leave without an answer. Calibrate again when much of
        the gallery has changed.

        Args:
            images, points: `n` queries, as of `search`; not items of the gallery.
            labels: as of `add`, what they are. None for one that should not be found;
                a tuple whose finest name is not in the gallery, or None, for one that
                has a right answer on coarser levels only. By default those that the
                queries bring, as in `add`.
            precision: float between 0 and 1; 0.95.

        Returns:
            list of a `khp.gallery.Threshold` for each level, finest first. They are
            kept in the gallery, and in its folder.

        Raises:
            ValueError: fewer queries than show such a precision; it says how many do.

        Example:

        >>> gallery = khp.Gallery(dimension=2)
        >>> ids = gallery.add(points=[[0, 1], [1, 0]], labels=["Cox Orange", "Gala"])
        >>> queries = [[1, 8]] * 50 + [[9, 1]] * 50
        >>> labels = ["Cox Orange"] * 50 + ["Gala"] * 50
        >>> (threshold,) = gallery.calibrate(points=queries, labels=labels)
        >>> threshold.answered, round(threshold.bound, 3)
        (100, 0.977)
        """
        precision = checks.real("precision", precision, above=0, below=1)
        if labels is None:
            images = self._with_labels(images)
            given = images if points is None else points
            if not isinstance(given, RetrievalDataset | Embeddings):
                raise ValueError(
                    "calibrate needs `labels`: what each query is, None for one that "
                    "should not be found."
                )
            labels, _, _ = _labels_of(given, len(given))
        if not self.level_names:
            raise ValueError(
                "The items of this gallery have no labels, so that there is nothing to "
                "answer. Add items with labels first."
            )
        labels = as_labels(labels, None)
        count, needed = len(labels), queries_needed(precision)
        if count < needed:
            raise ValueError(
                f"A precision of {precision:g} takes at least {needed} queries with "
                f"known answers, all of them answered rightly, and "
                f"{queries_needed(precision, 1)} if one is wrong; several hundred are "
                f"better. Received: {count}."
            )
        queries, _ = self._points(images, points)
        as_labels(labels, len(queries))
        truths = [label and self._items.full(label) for label in labels]
        hits = self._items.search(queries, NEAREST)[1:3]
        paths, scores = answers_at(hits, len(self.level_names))
        left, thresholds = np.ones(count, bool), []
        for level, found in enumerate(paths):
            right = np.array(
                [
                    path is not None and truth is not None and truth[level:] == path
                    for path, truth in zip(found, truths, strict=True)
                ]
            )
            threshold = find_threshold(scores[level][left], right[left], precision)
            thresholds.append(threshold)
            if threshold.score is not None:
                left &= scores[level] < threshold.score
        if all(threshold.score is None for threshold in thresholds):
            warnings.warn(
                f"At no level are answers precise enough for precision={precision:g}: "
                "`identify` will find everything unknown. Pass a smaller precision, or "
                "more queries.",
                stacklevel=2,
            )
        self._items.keep_thresholds([dataclasses.asdict(t) for t in thresholds])
        return thresholds

    def identify(self, images=None, points=None):
        """What each query is, as finely as the promise of `calibrate` holds.

        "Gala", else "an apple, of a kind that I do not know", else unknown: with `c_l`
        the class of the nearest item at level l, s its similarity and `o_l` that of the
        nearest item of another class there, the answer is

            c_l  for the least l with  2 s - o_l >= t_l,  and unknown without one

        with `t_l` the thresholds of `calibrate`. Answering in a coarser class rather
        than wrongly is from Deng et al., "Hedging Your Bets: Optimizing
        Accuracy-Specificity Trade-offs in Large Scale Visual Recognition", CVPR 2012,
        who maximise the information of answers under one accuracy for all; here each
        level keeps its own, and the score and the order, finest first, are ours. Flat
        refusal, to which it is compared, is level 0 alone.

        Args:
            images, points: `n` queries, as of `search`.

        Returns:
            list of `n` `khp.gallery.Answer`: `label`, `level`, `path`, `confidence` and
            `hits`.

        Raises:
            ValueError: the gallery was not calibrated.

        Example:

        >>> gallery = khp.Gallery(dimension=2)
        >>> ids = gallery.add(points=[[0, 1], [1, 0]], labels=["Cox Orange", "Gala"])
        >>> labels = ["Cox Orange"] * 50 + ["Gala"] * 50
        >>> _ = gallery.calibrate(points=[[1, 8]] * 50 + [[9, 1]] * 50, labels=labels)
        >>> (answer,) = gallery.identify(points=[[0, 1]])
        >>> answer.label, answer.level, answer.path, answer.confidence
        ('Cox Orange', 0, ('Cox Orange',), 1.0)
        """
        thresholds = self.thresholds
        if not thresholds:
            raise ValueError(
                "Call `calibrate` first, with queries whose answers are known: it says "
                "when to answer."
            )
        queries, _ = self._points(images, points)
        found = self._items.search(queries, NEAREST)
        paths, scores = answers_at(found[1:3], len(self.level_names))
        hits = self._hits(*found)
        return [
            _answer(hits[i], [level[i] for level in paths], scores[:, i], thresholds)
            for i in range(len(queries))
        ]

    @property
    def thresholds(self):
        return [
            Threshold(
                **threshold
                | {
                    "scores": tuple(threshold["scores"]),
                    "confidences": tuple(threshold["confidences"]),
                }
            )
            for threshold in self._items.thresholds
        ]

    def refresh(self):
        """Takes in what other processes have changed in the folder since it was read.

        `add`, `remove` and `calibrate` do so themselves, and `search` in Milvus.

        Raises:
            ValueError: the folder holds the gallery of another model or geometry now,
                or is damaged. What was there can be searched still.
            OSError: it is gone.

        Example:

        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> gallery = khp.Gallery(dimension=2)
        >>> gallery.save(folder)
        >>> ids = khp.Gallery.load(folder).add(points=[[0, 1]])
        >>> len(gallery)
        0
        >>> gallery.refresh()
        >>> len(gallery)
        1
        """
        self._items.take_in_changes()

    def save(self, folder):
        """Writes the gallery to a folder, and keeps it there from now on.

        A gallery that the folder held is replaced, in one step. One in Milvus stays
        there: the folder is a copy.

        Args:
            folder: path, new, empty or of a gallery.

        Raises:
            ValueError: the folder holds something else.
            OSError: it cannot be written to; what was there is left.

        Example:

        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> gallery = khp.Gallery(dimension=2)
        >>> gallery.save(folder)
        >>> ids = gallery.add(points=[[0, 1], [1, 0]])
        >>> len(khp.Gallery.load(folder))
        2
        """
        about = {
            "geometry": geometry_to_json(self.geometry),
            "dimension": self.dimension,
            "data": self._data,
            "thresholds": self._items.thresholds,
            **self._origin.described(),
        }
        items = self._items
        if items.engine != LocalItems.engine:
            items = _filled(LocalItems(self.geometry, self.dimension), items)
        items.save(folder, about, self._origin.writer())

    def copy_to(self, engine="milvus", uri=None, index=None):
        """Copies all items, thresholds and what the model is to another engine.

        Args:
            engine, uri, index: as of `Gallery`; a collection that is there must be
                empty.

        Returns:
            `Gallery`, the copy; this one is left as it is.

        Raises:
            ValueError: there are items already, or what is there is of another
                geometry, dimension or model.
            ImportError, OSError: as of `Gallery`.

        Example:

        >>> gallery = khp.Gallery(dimension=2)
        >>> ids = gallery.add(points=[[0, 1], [1, 0]], labels=["Cox Orange", "Gala"])
        >>> copy = gallery.copy_to("faiss")
        >>> gallery.remove(ids)
        >>> len(gallery), copy.ids
        (0, array([0, 1]))
        """
        copy = Gallery.__new__(Gallery)
        copy._origin, copy._data = self._origin, self._data
        copy._set_items(engine, uri, index, self.geometry, self.dimension)
        if len(copy):
            raise ValueError(
                f"{copy._items.where} holds {len(copy):,} items already. Name another "
                "collection, as `uri='...#name'`."
            )
        _filled(copy._items, self._items)
        return copy

    def _with_labels(self, images):
        """A folder of folders of images as a data set; anything else as it is."""
        return read_data(images, self.embedder) if self._origin else images

    def _points(self, images, points, adding=False):
        """Points `(n, d)`, and the paths of the images, or None."""
        if (images is None) == (points is None):
            raise ValueError("Pass either `images` or `points`.")
        if images is None:
            if isinstance(points, Embeddings):
                self._check_embeddings(points)
            return as_points(points, self.geometry, self.dimension), None
        if not self._origin:
            raise ValueError(
                "This gallery has no embedder: pass `points`. To search by images, "
                + (
                    "pass the model of its points to `Gallery(embedder, ...)`."
                    if self._origin.sha256
                    else "make it of one, as `Gallery(embedder)` or "
                    "`Gallery.build(embedder)`."
                )
            )
        embedder = self.embedder
        if adding:
            self._origin.check_unchanged()
        inputs, paths = read_images(images, embedder, self._data.get("image_shape"))
        points = as_points(
            embedder.embed(inputs), self.geometry, self.dimension, "embeddings"
        )
        return points, paths

    def _check_embeddings(self, stored):
        if stored.geometry != self.geometry:
            raise ValueError(
                f"points must be of the gallery's geometry, {self.geometry}. Received: "
                f"{stored!r}."
            )
        self._origin.check_same(stored.model.get("weights_sha256"), "points")


def _answer(hits, paths, scores, thresholds):
    """The finest answer whose score is high enough."""
    unknown = 1.0
    for level, threshold in enumerate(thresholds):
        if paths[level] is None:
            continue
        confidence = threshold.confidence(scores[level])
        if threshold.score is not None and scores[level] >= threshold.score:
            return Answer(paths[level][0], level, paths[level], confidence, hits)
        unknown = 1 - confidence
    return Answer(None, None, (), unknown, hits)


def _filled(items, others):
    """Items of an engine, with all that are in others."""
    for ids, points, labels, paths in others.blocks_of_items():
        items.add(points, labels, ids, paths, others.level_names)
    items.keep_thresholds(others.thresholds, others.next_id)
    return items


def _agreed(name, given, own):
    if given is not None and given != own:
        raise ValueError(
            f"`{name}` must be the embedder's, {own!r}, or left out. Received: "
            f"{given!r}."
        )
    return own


def _checked_ids(ids, count=None):
    ids = integer_ids(ids, "ids") if np.size(ids) else np.empty(0, "int64")
    ids = np.atleast_1d(ids).astype("int64")
    if ids.ndim != 1 or (count is not None and len(ids) != count):
        raise ValueError(
            "ids must be one for each item"
            + ("" if count is None else f", {count} of them")
            + f". Received: an array of shape {ids.shape}."
        )
    distinct, counts = np.unique(ids, return_counts=True)
    if len(distinct) < len(ids):
        raise ValueError(f"ids must differ. Received: {distinct[counts > 1][0]} twice.")
    if len(ids) and not 0 <= ids.min() <= ids.max() < MOST_IDS:
        raise ValueError(
            f"ids must be 0 or more, and below 2^63 - 1. Received: {ids.min()} to "
            f"{ids.max()}."
        )
    return ids


def _labels_of(given, count):
    """What a data set or embeddings bring along.

    Returns:
        Labels, names of levels or None, and which rows are items.
    """
    if not isinstance(given, RetrievalDataset | Embeddings):
        return [None] * count, None, slice(None)
    keep = slice(None)
    if given.is_query is not None:
        keep = np.flatnonzero(~given.is_query)
    if given.labels is None:
        return [None] * count, None, keep
    return names_of(given), given.level_names, keep
