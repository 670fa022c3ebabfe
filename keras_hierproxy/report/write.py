"""The report of an evaluation, put together and written."""

import base64
import hashlib
import pathlib

import numpy as np

import keras_hierproxy
from keras_hierproxy import files
from keras_hierproxy.labels import DISTRACTOR
from keras_hierproxy.pictures.retrieved import SIGNS, legend, similarity_name
from keras_hierproxy.report.classes import class_table
from keras_hierproxy.report.confusions import (
    count_pairs,
    shares_within,
    show_confusions,
)
from keras_hierproxy.report.curve import draw_curve
from keras_hierproxy.report.examples import (
    picture_maker,
    retrieved_rows,
)
from keras_hierproxy.report.numbers import excluded_queries, explain, read_metrics
from keras_hierproxy.report.retrievals import search_neighbors
from keras_hierproxy.report.thumbnails import check_images

_FOLDER = pathlib.Path(__file__).parent


def write_report(path, data, points, scores, *, geometry=None, title=None, facts=()):
    """Writes an evaluation as a page: one HTML file that needs nothing else.

    It shows the metrics of `scores` with 95% intervals, Recall@K over K, queries with
    their 8 nearest neighbours (12, a half of them with a wrong first one), the most
    confused pairs of classes, whether these cross a super-class, and a table of all
    classes, which sorts. It can be read without JavaScript, on a phone and on paper,
    and loads nothing from the network. Names and paths are shown as they are, never
    taken for HTML.

    The file usually has less than 2 MB, and at most 8: images are at most 112 pixels a
    side, and of classes too many for 4 MB the best are left out, which the page says.

    Args:
        path: where to write the file. One that is there is replaced only by a whole
            new one.
        data: `khp.datasets.RetrievalDataset` of N images, uint8 with 1, 3 or 4
            channels. Where it has queries and a gallery, neighbours come from the
            gallery.
        points: float array `(N, d)`, the embeddings of its images.
        scores: `khp.retrieval.QueryScores` of these points.
        geometry: where the points live; the sphere by default.
        title: str. By default the name of the data set.
        facts: pairs of name and text that stand below the title: the model, the
            split, counts.

    Raises:
        ValueError: before any search, if points or scores are not of this data, or
            `data` holds no images.
        FileNotFoundError: if there is no folder to write into.

    Example:

    >>> images = np.zeros((4, 8, 8, 3), "uint8")
    >>> data = khp.datasets.RetrievalDataset(images, [0, 0, 1, 1])
    >>> points = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.9]])
    >>> scores = khp.retrieval.score_queries(**data.retrieval_arguments(points), k=1)
    >>> khp.report.write_report("report.html", data, points, scores)
    """
    path = pathlib.Path(path)
    points = np.asarray(points)
    facts = [(str(name), str(text)) for name, text in facts]
    _check(path, data, points, scores)
    script = (_FOLDER / "report.js").read_text("utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    page = render(
        "report.html.jinja",
        script=script,
        script_hash=base64.b64encode(digest).decode(),
        title=data.name if title is None else str(title),
        facts=facts,
        **_numbers(data, scores),
        **_images(data, points, scores, geometry),
    )
    # Names of files may hold bytes that are no text.
    files.write(path, page.encode("utf-8", "replace"))


def _check(path, data, points, scores):
    if path.is_dir():
        raise IsADirectoryError(f"path must name a file. Received a folder: {path}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path} in.")
    check_images(data.images)
    if points.ndim != 2 or len(points) != len(data):
        raise ValueError(
            f"points must hold a row for each of the {len(data)} images of {data!r}. "
            f"Received: an array of shape {points.shape}."
        )
    labels = data.labels if data.is_query is None else data.labels[data.is_query]
    queries = int((labels[:, -1] != DISTRACTOR).sum())
    sizes = {len(values) for values in scores.values.values()}
    received = {scores.means()["num_queries"]}
    if received != {queries} or not sizes <= {len(labels)}:
        raise ValueError(
            f"scores must be of the {queries} queries of {data!r}. Received scores of "
            f"{sorted(sizes | received)} queries. Pass those of "
            "`khp.retrieval.score_queries(**data.retrieval_arguments(points))`."
        )


def _numbers(data, scores):
    metrics = read_metrics(scores)
    return {
        "levels": data.level_names,
        "metrics": list(metrics.values()),
        "tiles": _tiles(metrics, data.level_names),
        "conventions": explain(scores),
        "excluded": excluded_queries(scores, data.num_levels),
        "num_queries": scores.means()["num_queries"],
        "gallery_size": data.gallery_size,
        "split": data.is_query is not None,
        "curve": draw_curve(metrics, data.level_names),
    }


def _tiles(metrics, level_names):
    """The headline: a recall at up to three levels, and one number beside it."""
    recalls = [name for name, metric in metrics.items() if metric.k]
    chosen = [(name, level) for name in recalls[:1] for level in range(3)]
    chosen[1:1] = [(name, 0) for name in ("map@r", "r_precision", "map")][:1]
    return [
        {
            "title": metrics[name].title,
            "level": level_names[level],
            "number": metrics[name].numbers[level],
        }
        for name, level in chosen
        if name in metrics and level in metrics[name].numbers
    ]


def _images(data, points, scores, geometry):
    search = search_neighbors(data, points, geometry, scores)
    picture = picture_maker(search)
    pairs = count_pairs(search)
    num_counted, num_wrong = int(search.counted.sum()), int(search.wrong.sum())
    right, wrong = retrieved_rows(search, picture, geometry)
    return {
        "num_counted": num_counted,
        "num_wrong": num_wrong,
        "halves": [
            {
                "title": "Right first neighbour",
                "rows": right,
                "total": num_counted - num_wrong,
            },
            {"title": "Wrong first neighbour", "rows": wrong, "total": num_wrong},
        ],
        "signs": SIGNS,
        "legend": legend(data.level_names),
        "similarity_name": similarity_name(geometry),
        "within": shares_within(search) if num_wrong else [],
        "confusions": show_confusions(search, pairs, picture),
        "num_pairs": len(pairs.counts),
        "table": class_table(search, scores, pairs),
    }


def render(template, **parts):
    """A page, of a template and its parts."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(template).render(
        style=(_FOLDER / "report.css").read_text("utf-8"),
        version=keras_hierproxy.__version__,
        **parts,
    )
