"""Adds images to a gallery: the work of `hierproxy add`, and of `embed` into one."""

import os
import pathlib

import numpy as np

from keras_hierproxy import datasets, embeddings, recipes
from keras_hierproxy.embeddings import Embeddings
from keras_hierproxy.gallery import Gallery
from keras_hierproxy.gallery.classes import names_of
from keras_hierproxy.models.fingerprint import fingerprint
from keras_hierproxy.runs.embed import (
    EmbeddingJob,
    UnlabelledImages,
    noting_skipped_images,
    read_images,
)
from keras_hierproxy.runs.evaluation import usual_split
from keras_hierproxy.runs.photos import find_photos
from keras_hierproxy.runs.place import Place, is_csv
from keras_hierproxy.runs.trained import image_shape_of, load_embedder, model_sha256

# Images that are added at a time. Each time writes the names of all classes.
_MANY = 4096


class GalleryWriter:
    """What `EmbeddingJob` writes to where a gallery is there.

    Args:
        gallery: `khp.Gallery`.
        data: images with the attributes of a `RetrievalDataset`, none of which is in
            the gallery.
        label: tuple of names for all of them, finest first, instead of their own; or
            None.
        skipped: list of dicts, `path` and `error` of images that are not in `data`.
        num_known: int, of images that are in the gallery, and not in `data`.

    Attributes:
        position: int, how many images of `data` are done.
        num_rows: int, how many of these have an embedding.
        skipped, num_known: as above.
    """

    def __init__(self, gallery, data, label=None, skipped=(), num_known=0):
        self.gallery, self.data, self.label = gallery, data, label
        self.skipped, self.num_known = list(skipped), num_known
        self.position = self.num_rows = 0
        self._points, self._rows = [], []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.finish()

    def append(self, points, positions, skipped=None):
        """As of `EmbeddingWriter`."""
        skipped = skipped or {}
        self._points.append(points)
        self._rows += positions
        self.position += len(points) + len(skipped)
        self.num_rows += len(points)
        self.skipped += [
            {"path": self.data.paths[row], "error": str(reason)}
            for row, reason in skipped.items()
        ]
        if len(self._rows) >= _MANY:
            self.finish()

    def finish(self):
        """Adds what is waiting."""
        rows, data = self._rows, self.data
        if not rows:
            return
        points = Embeddings(
            np.concatenate(self._points),
            None if data.labels is None else data.labels[rows],
            data.level_names,
            data.class_names,
            [data.paths[row] for row in rows],
            is_query=None,
            groups=None,
            geometry=self.gallery.geometry,
            model={},
            description={},
            ids=None,
        )
        self._points, self._rows = [], []
        label = None if self.label is None else [self.label] * len(rows)
        self.gallery.add(points=points, labels=label)


def prepare_adding(
    folder, images, given, split=None, batch_size=128, model=None, label=None
):
    """What `hierproxy add` is to do, after all that can be checked before.

    Images whose paths are in the gallery already are not added again, so that the same
    command goes on after it was stopped.

    Args:
        folder: path of the gallery.
        images: list of one folder or CSV file, with its labels; or of paths of photos,
            and of folders of them, without labels.
        given: dict of the fields of `Source` and `Place` that were given.
        split: name of a split or `"all"`; by default `usual_split`.
        batch_size: int.
        model: path of the gallery's model, by default the one that it holds.
        label: tuple of names for all images, finest first, or None.

    Returns:
        `EmbeddingJob` with a `GalleryWriter`; None where no image is new.
    """
    gallery = Gallery.load(folder)
    levels = gallery.level_names
    if label and levels and len(label) not in (1, len(levels)):
        raise ValueError(
            f"The classes of {folder} have {len(levels)} levels, {', '.join(levels)}: "
            "name one of each with --label, the finest first, or that of the finest "
            f"alone where it is there already. Received: {', '.join(label)}."
        )
    embedder = _embedder(gallery, folder, model)
    with noting_skipped_images() as skipped:
        shape = (
            gallery.image_shape if model is None else image_shape_of(embedder, model)
        )
        data, skip_bad = _read(images, given, shape, split, label)
    if data.paths is None:
        raise ValueError(
            f"{folder} holds finished embeddings already, and the images of "
            f"{images[0]!r} have no files by which to tell which are new. Choose "
            "another folder (--output), or remove it."
        )
    known = set(embeddings.load(folder).paths or ())
    there = np.array([os.path.abspath(path) in known for path in data.paths])
    rows = np.flatnonzero(~there if data.is_query is None else ~(there | data.is_query))
    if not len(rows):
        return None
    writer = GalleryWriter(
        gallery, data.subset(rows), label, skipped, num_known=int(there.sum())
    )
    return EmbeddingJob(
        embedder, writer.data, writer, min(batch_size, len(rows)), skip_bad
    )


def read_queries(gallery, images, unknown, given):
    """Queries for `Gallery.calibrate`.

    Args:
        gallery: `khp.Gallery`.
        images: list of one folder or CSV file, with its labels.
        unknown: list of paths of photos, and of folders of them, without an answer.
        given: as of `prepare_adding`.

    Returns:
        Lists of labels, tuples of names or None, and of paths.
    """
    data, _ = _read(images, given, gallery.image_shape)
    if data.labels is None:
        raise ValueError(
            f"{images[0]} does not say what its images show: calibrate takes a folder "
            "with a folder for each class, or a .csv file."
        )
    unknown = find_photos(unknown)
    return [*names_of(data), *[None] * len(unknown)], [*data.paths, *unknown]


def _read(images, given, shape, split=None, label=None):
    """Images, and whether to leave out bad ones."""
    of_place = {name: given[name] for name in ("root", "skip_bad") if name in given}
    place = Place(**of_place)
    (first, *others) = map(str, images)
    source = recipes.Source(
        name=recipes.absolute(first),
        **{name: given[name] for name in given if name not in of_place},
    )
    is_photo = os.path.isfile(first) and not is_csv(source)
    if not (others or label or is_photo):
        data = read_images(source, place, split or usual_split(source), shape)
        return data, place.skip_bad
    paths = find_photos(images)
    mode = "grayscale" if shape[2] == 1 else "rgb"
    files = datasets.ImageFiles(paths, shape[:2], mode)
    return UnlabelledImages(files, tuple(paths), "photos"), place.skip_bad


def _embedder(gallery, folder, model):
    """The model to embed with, which is the gallery's."""
    if model is None:
        if gallery.embedder is None:
            raise ValueError(
                f"{folder} holds no model. Name the one that it was embedded by: "
                f"hierproxy embed DATA MODEL --output {folder}"
            )
        return gallery.embedder
    embedder, model = load_embedder(model), pathlib.Path(model)
    known = embeddings.load(folder).model
    same = known.get("sha256") == model_sha256(model)
    if "weights_sha256" in known:
        same = known["weights_sha256"] == fingerprint(embedder)
    if not same:
        raise ValueError(
            f"{folder} holds embeddings of another model than {model}, with which "
            "they would not compare. Choose another folder (--output)."
        )
    return embedder
