"""Scores of embeddings on a data set, and the files that hold them.

metrics.json   the means, their 95% intervals, and how they are computed
queries.csv    the scores of every query
report.html    all of it to look at, with the images
"""

import dataclasses
import functools
import json
import math

import numpy as np

from keras_hierproxy import files, report, retrieval
from keras_hierproxy.geometry import Sphere
from keras_hierproxy.runs.query_table import fingerprint, write_queries
from keras_hierproxy.runs.shown import only_below


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """An evaluation of embeddings.

    Attributes:
        data: `khp.datasets.RetrievalDataset`.
        points: float array `(n, d)`, the embeddings of its images.
        geometry: where they live.
        scores: `khp.retrieval.QueryScores`.
        root: path of the folder outside of which images are not shown, or None.
    """

    data: object
    points: np.ndarray
    geometry: object
    scores: retrieval.QueryScores
    root: str | None = None

    @functools.cached_property
    def shown(self):
        """The data with those images alone that reports may show."""
        return only_below(self.root, self.data)

    @property
    def results(self):
        """The means, as `khp.retrieval.evaluate` returns them."""
        return self.scores.means()

    @property
    def has_images(self):
        """Whether the data holds images to show."""
        return len(self.data.images.shape) == 4

    @property
    def intervals(self):
        """95% bootstrap intervals of the means that are over queries."""
        return self.scores.intervals()

    def _record(self):
        return {
            "intervals": self.intervals,
            "class_means": {
                name: mean
                for name, mean in self.scores.means("class").items()
                if name in self.scores.values
            },
            "conventions": self.scores.conventions
            | {
                "intervals": "95%, percentile bootstrap of 1,000 resamples of queries.",
                "class_means": "Means over classes of the means over their queries: "
                "each class of the metric's level weighs the same, or of the finest "
                "level for metrics over all levels.",
            },
            "evaluation": {
                "data": self.data.name,
                "num_queries": self.results["num_queries"],
                "level_names": self.data.level_names,
                "metrics": list(self.scores.values),
                "fingerprint": fingerprint(self.data),
            },
        }

    def write(self, folder, metrics, facts=()):
        """Writes the three files; no report of data without images.

        Args:
            folder: where; it is made if need be.
            metrics: dict, what stands first in `metrics.json`.
            facts: pairs `(name, text)` that the report begins with.

        Returns:
            What `metrics.json` holds.
        """
        with files.replacing_folder(folder, last="metrics.json") as unfinished:
            table = unfinished / "queries.csv"
            write_queries(table, self.data, self.scores, self.root)
            if self.has_images:
                report.write_report(
                    unfinished / "report.html",
                    self.shown,
                    self.points,
                    self.scores,
                    geometry=self.geometry,
                    facts=facts,
                )
            return write_record(unfinished / "metrics.json", metrics | self._record())


def score(
    data,
    points,
    k=None,
    metrics=None,
    geometry=Sphere(),  # noqa: B008 (immutable)
    verbose=False,
    root=None,
):
    """Evaluates the embeddings of a data set.

    Args:
        data: `khp.datasets.RetrievalDataset`.
        points: float array `(n, d)`.
        k: list of the K of Recall@K; by default `usual_ks`.
        metrics: list of names that `khp.retrieval.evaluate` knows; by default its.
        geometry: where the points live.
        verbose: bool, whether to tell how long it takes.
        root: as of `Evaluation`.

    Returns:
        `Evaluation`.
    """
    scores = retrieval.score_queries(
        **data.retrieval_arguments(points),
        k=k or usual_ks(data),
        geometry=geometry,
        verbose=verbose,
        **({} if metrics is None else {"metrics": metrics}),
    )
    return Evaluation(data, points, geometry, scores, root)


def check_answerable(data):
    """Raises a `ValueError` if no image of a data set has one to find."""
    arguments = data.retrieval_arguments(np.empty((len(data), 0)))
    retrieval.scores.check_answerable(repr(data.name), **arguments)


def usual_ks(data):
    """The K of Recall@K that a data set is large enough for."""
    return [k for k in (1, 2, 4, 8) if k <= data.gallery_size]


def write_record(path, content):
    """Writes JSON and returns what it says: NaN, a mean over no query, is null."""
    content = _without_nan(content)
    files.write_json(path, content)
    return json.loads(json.dumps(content))


def _without_nan(content):
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
