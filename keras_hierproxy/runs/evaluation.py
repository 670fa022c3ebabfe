"""Evaluation of a trained embedder."""

import dataclasses
import os
import pathlib

from keras_hierproxy import datasets, embeddings, recipes, shipped
from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.datasets import ImageFiles, RetrievalDataset
from keras_hierproxy.datasets.sources.csv_file import column_names
from keras_hierproxy.embeddings.on_disk import DESCRIPTION, PROGRESS
from keras_hierproxy.retrieval.catalog import METRICS
from keras_hierproxy.runs.data import load_data
from keras_hierproxy.runs.photos import read_all
from keras_hierproxy.runs.place import Place, is_csv
from keras_hierproxy.runs.record import read_record
from keras_hierproxy.runs.scoring import check_answerable, score
from keras_hierproxy.runs.trained import check_images, check_there, image_shape_of

# Of the images in a report.
THUMBNAIL = (112, 112)


def evaluation_source(model, data, given):
    """What `hierproxy evaluate` reads, and the split that it takes by default.

    Args:
        model: path of the model.
        data: name or folder, None for what the model's run was trained on.
        given: dict of the fields of `Source` and `Place` that were given.

    Returns:
        `(source, place, split)`.
    """
    record = read_record(model)
    other = None if data is None else recipes.absolute(data)
    if record is None and other is None:
        known = shipped.presets().get(str(model))
        if known is not None:
            raise ValueError(
                f"{model} is a shipped preset: say with --data what to evaluate it on. "
                f"Its card's: hierproxy evaluate {model} "
                f"{known['recall@1'][0]['arguments']}"
            )
        check_there(model)
        raise ValueError(
            f"{model} is not the folder of a run. Name one, or, if it is another "
            "model, say with --data what to evaluate on."
        )
    of_place = {name: given[name] for name in ("root", "skip_bad") if name in given}
    of_source = {name: given[name] for name in given if name not in of_place}
    if other is None or (record is not None and record.recipe.data.name == other):
        place = dataclasses.replace(record.place, **of_place)
        return record.recipe.data.model_copy(update=of_source), place, "test"
    source = recipes.Source(name=other, **of_source)
    return source, Place(**of_place), usual_split(source)


def usual_split(source):
    """The split that a model is tried on, where none is named.

    `"test"` where the data says what belongs to it: of a data set with a name, and of
    a CSV file with a column `split`. Else `"all"`.
    """
    splits = source.name in datasets.NAMES or (
        is_csv(source) and "split" in column_names(source.name)
    )
    return "test" if splits else "all"


def load_split(source, place, split, embedder, path):
    """A split as a trained embedder takes it: one of `load_data`, or `"all"`.

    Args:
        source: `khp.recipes.Source`.
        place: `Place`.
        split: str.
        embedder: of `load_embedder`.
        path: of the model.
    """
    image_shape = image_shape_of(embedder, path)
    if split != "all":
        data = getattr(load_data(source, place, image_shape), split)
    elif source.name not in datasets.NAMES:
        data = read_all(source, place, image_shape)
    else:
        raise ValueError(
            f"--split all is for folders of images. Received: --data {source.name}."
        )
    check_images(data, embedder)
    check_answerable(data)
    return data


def evaluate_split(embedder, data, k=None, metrics=None, verbose=False, root=None):
    """Retrieval metrics of an embedder on a data set.

    Args:
        embedder: of `load_embedder`.
        data: of `load_split`.
        k: list of the K of Recall@K; by default 1, 2, 4 and 8, as far as there are
            so many images.
        metrics: list of names, "all" among them for all; by default those that look
            at few neighbours.
        verbose: bool, whether to show how far it is.
        root: path of the folder that the images lie in: those outside are not shown.

    Returns:
        `Evaluation`.
    """
    metrics = _check_choices(data, k, metrics)
    points = embedder.embed(data.images, verbose=int(verbose))
    return score(data, points, k, metrics, embedder.geometry, verbose, root)


def holds_embeddings(path):
    """Whether a path is a folder that `hierproxy embed` writes to."""
    path = pathlib.Path(path)
    return (path / DESCRIPTION).exists() or (path / PROGRESS).exists()


def is_gallery(path):
    """Whether a path is a folder of embeddings that are finished."""
    path = pathlib.Path(path)
    return (path / DESCRIPTION).exists() and not (path / PROGRESS).exists()


def evaluate_embeddings(folder, k=None, metrics=None, verbose=False, root=None):
    """Retrieval metrics of the embeddings in a folder.

    Args:
        folder: that `hierproxy embed` has written.
        k, metrics, verbose: as of `evaluate_split`.
        root: path of the folder that the images lie in, and the paths in `items.csv`
            start from; those outside are not shown. By default what `embeddings.json`
            says.

    Returns:
        `Evaluation`; without images, if they are not where they were.
    """
    stored = embeddings.load(folder, root)
    stored.check_labelled()
    root = root or stored.description["data"].get("path")
    there = root and stored.paths and all(map(os.path.isfile, stored.paths))
    data = RetrievalDataset(
        ImageFiles(stored.paths, THUMBNAIL) if there else stored.points,
        stored.labels,
        stored.class_names,
        stored.level_names,
        stored.description["data"]["name"],
        stored.paths,
        stored.is_query,
        stored.groups,
    )
    metrics = _check_choices(data, k, metrics)
    return score(data, stored.points, k, metrics, stored.geometry, verbose, root)


def _check_choices(data, k, metrics):
    """The names of the metrics, or None; raises before any time is spent."""
    if k and max(k) > data.gallery_size:
        raise ValueError(
            f"--k {max(k)} is larger than the gallery: each query retrieves from "
            f"{data.gallery_size} images."
        )
    unknown = [name for name in metrics or () if name not in (*METRICS, "all")]
    if unknown:
        raise ValueError(
            f"--metrics takes any of {', '.join(METRICS)}, or all, separated by "
            f"commas. Received: {', '.join(unknown)}."
            + did_you_mean(unknown[0], METRICS)
        )
    return list(METRICS) if "all" in (metrics or ()) else metrics
