"""The numbers of a report: by metric and level, with their intervals."""

import dataclasses

from keras_hierproxy.retrieval.registry import METRICS, split_level

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
_COUNTS = {"num_queries", "num_excluded"}


@dataclasses.dataclass(frozen=True)
class Number:
    """A mean over queries, the two ends of its interval, and the mean over classes;
    the latter are None of what is not of single queries."""

    value: float
    interval: tuple | None
    by_class: float | None = None


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric: its name, what it means, and its number at each level that has one.

    One that is `graded` looks at all levels at once, and stands under level 0.
    """

    title: str
    meaning: str
    graded: bool
    numbers: dict

    @property
    def k(self):
        """The K of Recall@K; of other metrics None."""
        return int(self.title[7:]) if self.title.startswith("Recall@") else None


def read_metrics(scores):
    """The metrics of `khp.retrieval.QueryScores`, by name, in their order there."""
    intervals, by_class = scores.intervals(), scores.means("class")
    metrics = {}
    for name, value in scores.means().items():
        level, base = split_level(name)
        if base in _COUNTS:
            continue
        kind = base if base in scores.conventions else base.partition("@")[0]
        metric = metrics.setdefault(
            base,
            Metric(
                title_of(base),
                scores.conventions.get(kind, ""),
                kind in METRICS and METRICS[kind].graded,
                {},
            ),
        )
        of_class = by_class[name] if name in scores.values else None
        metric.numbers[level] = Number(value, intervals.get(name), of_class)
    return metrics


def excluded_queries(scores, num_levels):
    """How many queries are left out at each level."""
    means = scores.means()
    prefixes = ["", *(f"level{level}_" for level in range(1, num_levels))]
    return [means[f"{prefix}num_excluded"] for prefix in prefixes]


def title_of(name):
    """What people call a metric."""
    kind, _, k = name.partition("@")
    return f"{_TITLES[kind]}@{k}" if k.isdigit() else _TITLES.get(name, name)


def explain(scores):
    """The conventions of scores as pairs of title and sentence."""
    titles = {**_TITLES, "recall": "Recall@K", "precision": "Precision@K"}
    return [
        (titles.get(name) or title_of(name).capitalize(), text)
        for name, text in scores.conventions.items()
    ]
