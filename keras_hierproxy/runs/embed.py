"""Embeds a data set into a folder: the work of `hierproxy embed`."""

import contextlib
import copy
import dataclasses
import os
import pathlib
import warnings

import keras

import keras_hierproxy
from keras_hierproxy import datasets
from keras_hierproxy.datasets.images import SkippedImages
from keras_hierproxy.embeddings import EmbeddingWriter
from keras_hierproxy.embeddings.writer import check_folder
from keras_hierproxy.gallery.origin import Origin
from keras_hierproxy.runs.data import load_data
from keras_hierproxy.runs.evaluation import evaluation_source, usual_split
from keras_hierproxy.runs.interrupt import StopOnInterrupt
from keras_hierproxy.runs.photos import read_all, read_unlabelled
from keras_hierproxy.runs.place import data_root, path_below
from keras_hierproxy.runs.read_ahead import read_ahead
from keras_hierproxy.runs.trained import (
    check_images,
    image_shape_of,
    load_embedder,
    model_sha256,
)


@dataclasses.dataclass
class UnlabelledImages:
    """Images without labels, with the attributes of a `RetrievalDataset`."""

    images: datasets.ImageFiles
    paths: tuple
    name: str
    labels = is_query = groups = None
    level_names = class_names = ()

    def subset(self, rows):
        paths = tuple(self.paths[row] for row in rows)
        return UnlabelledImages(self.images.subset(rows), paths, self.name)


class EmbeddingJob:
    """A data set on its way into a folder.

    Args:
        embedder: an `Embedder`.
        data: a `RetrievalDataset` or `UnlabelledImages`.
        writer: an `EmbeddingWriter` or `GalleryWriter` of these.
        batch_size: int.
        skip_bad: bool, whether to leave out images that cannot be decoded.
    """

    def __init__(self, embedder, data, writer, batch_size=128, skip_bad=False):
        self.embedder = embedder
        self.data = data
        self.writer = writer
        self.batch_size = batch_size
        self.skip_bad = skip_bad

    def run(self, advance=lambda images: None):
        """Embeds what is left to embed, until all is done or Ctrl-C is pressed.

        Args:
            advance: called with the number of images after each batch.

        Returns:
            Whether all is done.

        Raises:
            ValueError: an image that cannot be decoded, without `skip_bad`; an
                embedding that is not finite.
            OSError: the disk is full.
        """
        with StopOnInterrupt() as interrupt, self.writer as writer:
            batches = read_ahead(
                self.data.images, self.batch_size, writer.position, self._prepare()
            )
            with contextlib.closing(batches):
                for positions, batch, bad in batches:
                    self._check(bad)
                    good = [position for position in positions if position not in bad]
                    points = self.embedder.embed_on_batch(batch, preprocess=False)
                    rows = [position - positions.start for position in good]
                    writer.append(points[rows], good, bad)
                    advance(len(positions))
                    if interrupt.noticed:
                        break
            if writer.position < len(self.data.images):
                return False
            if not writer.num_rows:
                raise ValueError(
                    f"None of {writer.position:,} images could be read: "
                    f"{writer.skipped[0]['error']}"
                )
            writer.finish()
        return True

    def _prepare(self):
        preprocessor = getattr(self.embedder, "preprocessor", None)
        if preprocessor is None:
            return None
        # From the accelerator: few batches wait in its memory.
        return lambda batch: keras.ops.convert_to_numpy(preprocessor(batch))

    def _check(self, bad):
        if bad and not self.skip_bad:
            raise ValueError(
                f"{bad[min(bad)]}. Mend it, or pass --skip-bad to leave out such "
                "images, and run the same command again: it goes on where it stopped."
            )


def prepare_embedding(
    data, model, folder, changes, split=None, dtype="float32", batch_size=128
):
    """What `hierproxy embed` is to do, after all that can be checked before.

    Args:
        data: name of a data set, a folder, or a CSV file.
        model: path of the model.
        folder: path to write to.
        changes: dict of fields of `Source` and `Place` that were given.
        split: name of a split or `"all"`; by default `usual_split`.
        dtype: `"float32"` or `"float16"`.
        batch_size: int.

    Returns:
        `EmbeddingJob`.
    """
    check_folder(folder)
    model = pathlib.Path(model)
    source, place, _ = evaluation_source(model, data, changes)
    split = split or usual_split(source)
    embedder = load_embedder(model)
    check_model(embedder, model)
    origin = Origin.of_model(embedder, model)
    identity = origin.described()
    identity["model"] |= {"path": str(model), "sha256": model_sha256(model)}
    image_shape = image_shape_of(embedder, model)
    with noting_skipped_images() as skipped:
        chosen = read_images(source, place, split, image_shape)
    check_images(chosen, embedder)
    identity["data"] = {
        "name": chosen.name,
        "source": source.name,
        "split": split,
        "images": len(chosen.images),
        "image_shape": chosen.images.shape[1:],
    }
    if (root := data_root(source, place)) is not None:
        root = identity["data"]["path"] = os.path.abspath(root)
        chosen, skipped = _as_paths_below(root, chosen, skipped)
    identity["made_with"] = {
        "keras_hierproxy": keras_hierproxy.__version__,
        "keras": keras.__version__,
        "backend": keras.config.backend(),
    }
    identity["batch_size"] = batch_size = min(batch_size, len(chosen.images))
    writer = EmbeddingWriter(
        folder,
        chosen,
        embedder.geometry,
        embedder.output_shape[-1],
        dtype,
        identity,
        skipped,
        origin.writer(),
    )
    return EmbeddingJob(embedder, chosen, writer, batch_size, place.skip_bad)


def _as_paths_below(root, data, skipped):
    """Images, and those left out, under names that another machine has for them."""
    if data.paths is not None:
        data = copy.copy(data)
        data.paths = tuple(path_below(path, root) for path in data.paths)
    return data, [{**each, "path": path_below(each["path"], root)} for each in skipped]


def check_model(embedder, path):
    inputs, outputs = embedder.input_shape, embedder.output_shape
    if not (isinstance(inputs, tuple) and len(inputs) == 4):
        raise ValueError(
            f"{path} takes inputs of shape {inputs}; a model of images, "
            "(batch, height, width, channels), is needed."
        )
    if not (isinstance(outputs, tuple) and len(outputs) == 2):
        raise ValueError(
            f"{path} has outputs of shape {outputs}; a model with one output, "
            "(batch, dimensions), is needed."
        )


@contextlib.contextmanager
def noting_skipped_images():
    """Yields a list that gets `path` and `error` of each, out of the warnings."""
    skipped = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield skipped
    for warning in caught:
        if isinstance(warning.message, SkippedImages):
            skipped += [
                {"path": error.path, "error": str(error)}
                for error in warning.message.errors
            ]
        warnings.warn_explicit(
            warning.message, warning.category, warning.filename, warning.lineno
        )


def read_images(source, place, split, image_shape):
    """The images to embed; those of a folder stay files until they are needed."""
    if source.name in datasets.NAMES:
        if split == "all":
            raise ValueError(
                f"--split all is for folders and CSV files. Received: {source.name}."
            )
        # Grocery Store is small, and may be a zip file, which is decoded at once.
        reading = {} if source.name == "grocery_store" else {"memory_limit": 0}
        return getattr(load_data(source, place, image_shape, **reading), split)
    if (images := read_unlabelled(source, place, image_shape)) is not None:
        if split != "all":
            raise ValueError(
                f"--split {split} needs classes to split, and {source.name} holds "
                "images without a folder for each class."
            )
        paths = tuple(str(path) for path in images.paths)
        return UnlabelledImages(images, paths, pathlib.Path(source.name).name)
    if split == "all":
        return read_all(source, place, image_shape, min_images=1, memory_limit=0)
    return getattr(load_data(source, place, image_shape, memory_limit=0), split)
