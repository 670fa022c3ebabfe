"""The numbers of a report: by metric and level, with their intervals."""

import dataclasses

from keras_hierproxy.retrieval.catalog import METRICS
from keras_hierproxy.retrieval.result_names import ResultName

_TITLES = {
    "recall": "Recall",
    "precision": "Precision",
    "r_precision": "R-Precision",
    "map@r": "MAP@R",
    "map": "MAP",
    "mrr": "MRR",
    "ndcg": "NDCG",
    "asi": "ASI",
    "h_ap": "H-AP",
    "nmi": "NMI",
    "ami": "AMI",
}


@dataclasses.dataclass(frozen=True)
class Number:
    """A mean over queries, the two ends of its interval, and the mean over classes;
    the latter are None of what is not of single queries."""

    value: float
    interval: tuple | None
    by_class: float | None = None


@dataclasses.dataclass(frozen=True)
class MetricNumbers:
    """A metric: its name, what it means, and its number at each level that has one.

    One that is `graded` looks at all levels at once, and stands under level 0. `k` is
    the K of Recall@K, of other metrics None.
    """

    title: str
    meaning: str
    graded: bool
    numbers: dict
    k: int | None = None


def read_metrics(scores):
    """The metrics of `khp.retrieval.QueryScores`, by name, in their order there."""
    intervals, by_class = scores.intervals(), scores.means("class")
    metrics = {}
    for name, value in scores.means().items():
        result = ResultName.read(name)
        if result.is_count:
            continue
        base, kind = str(result.at(0)), result.metric
        metric = metrics.setdefault(
            base,
            MetricNumbers(
                title_of(base),
                scores.conventions.get(base) or scores.conventions.get(kind, ""),
                kind in METRICS and METRICS[kind].graded,
                {},
                result.k if kind == "recall" else None,
            ),
        )
        of_class = by_class[name] if name in scores.values else None
        metric.numbers[result.level] = Number(value, intervals.get(name), of_class)
    return metrics


def excluded_queries(scores, num_levels):
    """How many queries are left out at each level."""
    means = scores.means()
    names = [ResultName(level, "num_excluded") for level in range(num_levels)]
    return [means[str(name)] for name in names]


def title_of(name):
    """What people call a metric."""
    _, metric, k = ResultName.read(name)
    title = _TITLES.get(metric, metric)
    return title if k is None else f"{title}@{k}"


def explain(scores):
    """The conventions of scores as pairs of title and sentence."""
    titles = {**_TITLES, "recall": "Recall@K", "precision": "Precision@K"}
    return [
        (titles.get(name) or title_of(name).capitalize(), text)
        for name, text in scores.conventions.items()
    ]
