"""Is the difference between two runs real?"""

import dataclasses
import pathlib

import numpy as np

from keras_hierproxy import json_files, schemas
from keras_hierproxy.retrieval import bootstrap_intervals, paired_test
from keras_hierproxy.runs.query_table import read_queries

# p below which a difference is called real.
LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A metric of two runs, on the same queries.

    Attributes:
        first, second: its means.
        difference: the second less the first.
        interval: `(low, high)`, 95% bootstrap interval of the difference.
        p: of the paired test.
    """

    first: float
    second: float
    difference: float
    interval: tuple
    p: float

    @property
    def better(self):
        """ "first" or "second", or "" where none is shown to be."""
        if not self.p < LEVEL:
            return ""
        return "second" if self.difference > 0 else "first"


def compare_runs(first, second):
    """Compares two runs, or folders of `hierproxy evaluate`, query by query.

    Args:
        first, second: paths of folders that hold `metrics.json` and `queries.csv`.

    Returns:
        The names of the label levels, finest first; a dict of `Comparison`, one a
        metric that both have; and a list of the metrics that only one has.

    Raises:
        ValueError: a folder without an evaluation, or evaluations of other queries.
    """
    folders = pathlib.Path(first), pathlib.Path(second)
    evaluations = [_read(folder) for folder in folders]
    if evaluations[0]["fingerprint"] != evaluations[1]["fingerprint"]:
        described = " and ".join(
            f"{folder} ({evaluation['num_queries']:,} of {evaluation['data']})"
            for folder, evaluation in zip(folders, evaluations, strict=True)
        )
        raise ValueError(
            "A paired test needs two evaluations of the same queries, in the same "
            f"order. Received: {described}. Evaluate one of the models on the other's "
            "data: `hierproxy evaluate MODEL --data ... --output FOLDER`."
        )
    metrics = [evaluation["metrics"] for evaluation in evaluations]
    names = [name for name in metrics[0] if name in metrics[1]]
    only_one = [name for each in metrics for name in each if name not in names]
    scores = [read_queries(folder / "queries.csv", names) for folder in folders]
    for folder, evaluation, read in zip(folders, evaluations, scores, strict=True):
        if len(read) != evaluation["num_queries"]:
            raise ValueError(
                f"{folder / 'queries.csv'} has {len(read):,} queries of "
                f"{evaluation['num_queries']:,}: it is damaged. Evaluate again."
            )
    return evaluations[0]["level_names"], _compare(names, *scores), only_one


def _compare(names, first, second):
    p = paired_test(first, second)
    intervals = bootstrap_intervals(second - first)
    present = ~np.isnan(first).all(axis=0)
    return {
        name: Comparison(
            *(float(np.nanmean(scores[:, i])) for scores in (first, second)),
            float(np.nanmean(second[:, i] - first[:, i])),
            tuple(intervals[i].tolist()),
            float(p[i]),
        )
        for i, name in enumerate(names)
        if present[i]
    }


def _read(folder):
    """What `metrics.json` says of the queries."""
    path = folder / "metrics.json"
    if not path.exists() or not (folder / "queries.csv").exists():
        raise ValueError(
            f"{folder} holds no evaluation: metrics.json and queries.csv are expected, "
            "which `hierproxy train` writes at its end, and "
            "`hierproxy evaluate MODEL --output FOLDER`."
        )
    return json_files.read(path, schemas.Metrics, "Evaluate again.")["evaluation"]
