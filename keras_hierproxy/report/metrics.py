"""The numbers of a report: by metric and level, with their intervals."""

import dataclasses
import re

from keras_hierproxy.retrieval.registry import METRICS

_TITLES = {
    "recall": "Recall",
    "precision@1": "Precision@1",
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
    """A mean, and the two ends of its interval or None."""

    value: float
    interval: tuple | None


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
    intervals = scores.intervals()
    metrics = {}
    for name, value in scores.means().items():
        level, base = split_level(name)
        if base in _COUNTS:
            continue
        kind = base.split("@")[0] if base.startswith("recall@") else base
        metric = metrics.setdefault(
            base,
            Metric(
                title_of(base),
                scores.conventions.get(kind, ""),
                kind in METRICS and METRICS[kind].graded,
                {},
            ),
        )
        metric.numbers[level] = Number(value, intervals.get(name))
    return metrics


def excluded_queries(scores, num_levels):
    """How many queries are left out at each level."""
    means = scores.means()
    prefixes = ["", *(f"level{level}_" for level in range(1, num_levels))]
    return [means[f"{prefix}num_excluded"] for prefix in prefixes]


def split_level(name):
    """`"level2_map"` to `(2, "map")`, and `"map"` to `(0, "map")`."""
    level, base = re.fullmatch(r"(?:level(\d+)_)?(.+)", name).groups()
    return int(level or 0), base


def title_of(name):
    """What people call a metric."""
    kind, _, k = name.partition("@")
    return f"Recall@{k}" if kind == "recall" else _TITLES.get(name, name)


def explain(scores):
    """The conventions of scores as pairs of title and sentence."""
    titles = {**_TITLES, "recall": "Recall@K"}
    return [
        (titles.get(name, name.capitalize()), text)
        for name, text in scores.conventions.items()
    ]
