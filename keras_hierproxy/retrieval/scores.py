"""Scores of every query: what means, intervals, tables of classes and tests are of."""

import dataclasses
import warnings
from functools import partial

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.geometry import Sphere
from keras_hierproxy.labels import (
    DISTRACTOR,
    check_nested,
    check_rows,
    look_one_hot,
)
from keras_hierproxy.retrieval.catalog import METRICS, USUAL
from keras_hierproxy.retrieval.clusters import cluster_agreement
from keras_hierproxy.retrieval.exclusions import (
    find_exclusions,
    warn_of_queries_in_gallery,
)
from keras_hierproxy.retrieval.graded import Matches
from keras_hierproxy.retrieval.metrics import count_positives
from keras_hierproxy.retrieval.ranking import whole_rankings
from keras_hierproxy.retrieval.result_names import ResultName
from keras_hierproxy.retrieval.search import NeighborSearch
from keras_hierproxy.retrieval.uncertainty import bootstrap_intervals

# What weighs the same in a mean.
AVERAGES = ("query", "class")
# Of each query, as many as a report shows.
KEPT_NEIGHBORS = 8


@dataclasses.dataclass(frozen=True)
class QueryScores:
    """Retrieval metrics of every query, from `score_queries`.

    Attributes:
        results: dictionary, under the names of `evaluate`: of each metric a float64
            array with a value for each row of the queries, NaN for those that are left
            out and for distractors; of `nmi`, `ami` and the counts a number.
        conventions: dictionary of sentences: how the numbers are computed.
        labels: int array `(num_queries, levels)`, of the queries.
        neighbors: int64 array `(num_queries, n)`, rows of the gallery, most similar
            first; n is 8, or the size of a smaller gallery. -1 past the last row that
            a query retrieves; of distractors they say nothing. None where no metric
            looked at neighbours.
        similarities: float32 array `(num_queries, n)`, theirs; see `knn`.

    Example:

    >>> embeddings = np.random.normal(size=(40, 16))
    >>> scores = khp.retrieval.score_queries(embeddings, np.arange(40) // 4)
    >>> scores.values["map@r"].shape
    (40,)
    >>> low, high = scores.intervals()["map@r"]
    >>> low <= scores.means()["map@r"] <= high
    True
    """

    results: dict
    conventions: dict
    labels: np.ndarray
    neighbors: np.ndarray | None = None
    similarities: np.ndarray | None = None
    _kept: dict = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def values(self):
        """The results that are of single queries: name to float64 `(num_queries,)`."""
        return {
            name: result
            for name, result in self.results.items()
            if isinstance(result, np.ndarray)
        }

    def means(self, average="query"):
        """Means over the queries, as `evaluate` returns them.

        Args:
            average: "query", each query weighs the same; or "class", each class does:
                the mean over the classes of the means over the queries of each (macro
                average). Classes are those of the metric's level, and of the finest
                one for metrics over all levels. Queries, or classes, without a score
                are left out.

        Returns:
            Dictionary of floats, and of ints: `nmi`, `ami` and the counts are the
            same under either.
        """
        checks.one_of("average", average, AVERAGES)
        return self._once(self._means, average)

    def _means(self, average):
        by_class = average == "class"
        return self.results | {
            name: self._mean_over_classes(values, name) if by_class else _mean(values)
            for name, values in self.values.items()
        }

    def _once(self, compute, *arguments):
        """A copy of the dictionary that it computed the first time."""
        key = (compute.__name__, *arguments)
        if key not in self._kept:
            self._kept[key] = compute(*arguments)
        return dict(self._kept[key])

    def _mean_over_classes(self, values, name):
        level = ResultName.read(name).level
        known = self.labels[:, level] != DISTRACTOR
        classes, dense = np.unique(self.labels[known, level], return_inverse=True)
        return _mean(class_means(values[known], dense, len(classes)))

    def intervals(self, confidence=0.95, resamples=1000, seed=0):
        """Bootstrap intervals of the means; see `bootstrap_intervals`.

        Args:
            confidence: float in (0, 1).
            resamples: int, how often queries are drawn anew.
            seed: int.

        Returns:
            Dictionary of names to `(low, high)`, floats.
        """
        return self._once(self._intervals, confidence, resamples, seed)

    def _intervals(self, confidence, resamples, seed):
        if not self.values:
            return {}
        columns = np.stack(list(self.values.values()), axis=1)
        ends = bootstrap_intervals(columns, confidence, resamples, seed)
        return dict(zip(self.values, map(tuple, ends.tolist()), strict=True))


def score_queries(
    queries,
    query_labels,
    gallery=None,
    gallery_labels=None,
    k=(1, 2, 4, 8),
    metrics=USUAL,
    geometry=Sphere(),  # noqa: B008 (immutable)
    query_ids=None,
    gallery_ids=None,
    groups=None,
    gallery_groups=None,
    verbose=False,
):
    """Retrieval metrics of every single query.

    Takes what `evaluate` takes, which returns the means of what this returns.

    Args:
        queries: float array `(n, d)` of points of `geometry`.
        query_labels: int array `(n,)`, or `(n, levels)`, finest level first, nested;
            -1 for distractors.
        gallery: float array `(m, d)` to retrieve from. By default the queries
            themselves, leave-one-out.
        gallery_labels: int array `(m,)` or `(m, levels)`, if there is a gallery.
        k: int or ints, the K of Recall@K and Precision@K.
        metrics: names of metrics, as of `evaluate`; by default Recall@K,
            Precision@1, R-Precision and MAP@R.
        geometry: where the embeddings live, by default `Sphere()`.
        query_ids, gallery_ids: int or str arrays `(n,)` and `(m,)`: a query never
            retrieves rows of its own id.
        groups, gallery_groups: int or str arrays `(n,)` and `(m,)`: nor rows of its
            own group.
        verbose: bool, whether to tell how long a search of more than 10 seconds
            will take.

    Returns:
        `QueryScores`.

    Example:

    >>> embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.9]])
    >>> scores = khp.retrieval.score_queries(embeddings, np.array([0, 0, 1, 2]), k=1)
    >>> scores.values["recall@1"]
    array([ 1.,  1., nan, nan])
    >>> scores.means()["num_excluded"]
    2
    """
    _check_metrics(metrics)
    if not any(METRICS[name].depth == "k" for name in metrics):
        k = 1
    ks = (k,) if np.ndim(k) == 0 else tuple(k)
    if not ks:
        raise ValueError("k must be one or more positive integers. Received: none.")
    search = NeighborSearch(
        queries,
        gallery,
        geometry,
        verbose,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        groups=groups,
        gallery_groups=gallery_groups,
    )
    for each in ks:
        search.check_k(each)
    query_labels, gallery_labels = check_label_pair(
        search, query_labels, gallery_labels
    )
    if search.exclusions is None and not search.leave_one_out:
        warn_of_queries_in_gallery(search.queries, search.gallery)
    values = _Values(metrics, ks, query_labels, gallery_labels, search)
    nearest = _Nearest(search)
    for rows, indices, similarities in _neighbors(search, values):
        values.add(rows, indices)
        nearest.add(rows, indices, similarities)

    found = {}
    for level in range(query_labels.shape[1]):
        found |= {name.at(level): values[name.at(level)] for name in values.by_level}
        clusters = _clusters(metrics, search, query_labels[:, level])
        found |= {ResultName(level, name): value for name, value in clusters.items()}
        if level == 0:
            found[ResultName(0, "num_queries")] = int(values.asked.sum())
        excluded = values.asked & (values.num_positives[:, level] == 0)
        found[ResultName(level, "num_excluded")] = int(excluded.sum())
    found |= {name: values[name] for name in values.graded}
    results = {str(name): value for name, value in found.items()}
    conventions = _conventions(search, metrics, values)
    return QueryScores(results, conventions, query_labels, *nearest.found)


def positives_of(queries, query_labels, gallery=None, gallery_labels=None, **keys):
    """How many positives each query has on each level, without a search.

    Takes the arguments of `evaluate` that a data set's `retrieval_arguments` returns.

    Returns:
        int64 array `(n, levels)`.
    """
    size = None if gallery is None else len(gallery)
    exclusions = find_exclusions(len(queries), size, **keys)
    return _count_positives(query_labels, gallery_labels, exclusions)


def check_answerable(name, **arguments):
    """Raises a `ValueError` if no query has a positive: no metric would be a number.

    Args:
        name: str, of the data.
        **arguments: as of `positives_of`.
    """
    if positives_of(**arguments).any():
        return
    where = "among the others" if arguments.get("gallery") is None else "in the gallery"
    group, advice = "", "data with two rows or more of a class"
    if "groups" in arguments:
        group = " and outside its group"
        advice += (
            ", of two groups or more. Groups (in a CSV file the column 'group') are "
            "what was taken together; a level of labels needs another name"
        )
    raise ValueError(
        f"No query of {name} has a row of its class {where}{group}, on any level: all "
        f"metrics would be NaN. Received: {len(arguments['queries'])} queries. Pass "
        f"{advice}."
    )


# What ids and groups leave out of a ranking.
_EXCLUDED = {
    "query_ids": "a row of its own id",
    "groups": "a row of its own group (clip, camera, product shoot)",
}


class _Values:
    """Scores of every query, filled block by block."""

    def __init__(self, metrics, ks, query_labels, gallery_labels, search):
        # What has no class is equal to nothing. A last row stands for index -1, past
        # the last rank.
        self.query_labels = np.where(query_labels == DISTRACTOR, -2, query_labels)
        none = np.full_like(gallery_labels[:1], DISTRACTOR)
        # A row a level: the labels of a whole ranking are taken out of it.
        self.gallery_labels = np.concatenate([gallery_labels, none]).T.copy()
        # Of no class on the coarsest level: of none on the others.
        self.asked = query_labels[:, -1] != DISTRACTOR
        self.num_distractors = int((gallery_labels[:, -1] == DISTRACTOR).sum())
        if not search.leave_one_out:
            self.num_distractors += int((~self.asked).sum())
        self.by_level, self.graded = {}, {}
        for name in metrics:
            metric = METRICS[name]
            if metric.depth == "k":
                for k in ks:
                    score = partial(metric.score, k=k)
                    self.by_level[ResultName(0, name, k)] = score
            elif metric.graded:
                self.graded[ResultName(0, name)] = metric.score
            elif metric.depth != "none":
                self.by_level[ResultName.read(name)] = metric.score
        self.num_positives = _count_positives(
            query_labels,
            None if search.leave_one_out else gallery_labels,
            search.exclusions,
        )
        # Neighbours needed, per query and level: max(K), or all of R.
        self.needs = {METRICS[name].depth for name in metrics}
        self.depths = np.full_like(self.num_positives, max(ks))
        if "r" in self.needs:
            self.depths = np.maximum(self.depths, self.num_positives)
        self.depths = np.maximum(self.depths, _kept_by(search))
        self.depths[~self.asked] = 0
        num_queries, num_levels = query_labels.shape
        self._values = {
            name.at(level): np.full(num_queries, np.nan)
            for level in range(num_levels)
            for name in (*self.by_level, *(self.graded if level == 0 else ()))
        }

    def __getitem__(self, name):
        return self._values[name]

    def add(self, rows, indices):
        matched = np.zeros(indices.shape if self.graded else (1, 1), "int8")
        for level in range(self.query_labels.shape[1]):
            neighbors = indices
            if "all" not in self.needs:
                neighbors = indices[:, : self.depths[rows, level].max()]
            relevance = (
                self.gallery_labels[level][neighbors]
                == self.query_labels[rows, level][:, None]
            )
            for name, score in self.by_level.items():
                positives = self.num_positives[rows, level]
                self._values[name.at(level)][rows] = score(relevance, positives)
            if self.graded:
                matched += relevance
        if self.graded:
            matches = Matches(matched)
        for name, score in self.graded.items():
            self._values[name][rows] = score(matches)


class _Nearest:
    """The first neighbours of every query, filled block by block."""

    def __init__(self, search):
        shape = len(search.queries), _kept_by(search)
        self._filled = np.full(shape, -1), np.full(shape, -np.inf, "float32")
        self.found = ()

    def add(self, rows, *blocks):
        self.found = self._filled
        for kept, block in zip(self._filled, blocks, strict=True):
            kept[rows] = block[:, : kept.shape[1]]


def _kept_by(search):
    return min(KEPT_NEIGHBORS, search.num_available)


def _count_positives(query_labels, gallery_labels, exclusions):
    return np.stack(
        [
            count_positives(
                query_labels[:, level],
                None if gallery_labels is None else gallery_labels[:, level],
                exclusions,
            )
            for level in range(query_labels.shape[1])
        ],
        axis=1,
    )


def _neighbors(search, values):
    """Blocks of queries, their neighbours as deep as the metrics look, and the
    similarities of the first ones at least."""
    if "all" in values.needs:
        kept = _kept_by(search)
        for rows, indices in whole_rankings(search, np.flatnonzero(values.asked)):
            yield rows, indices, search.similarities(rows, indices[:, :kept])
    elif values.by_level:
        yield from search(values.depths.max(axis=1))


def _clusters(metrics, search, labels):
    wanted = [name for name in metrics if METRICS[name].depth == "none"]
    if not wanted:
        return {}
    known = labels != DISTRACTOR
    if not known.any():
        return dict.fromkeys(wanted, float("nan"))
    queries = search.queries if known.all() else search.queries[known]
    agreement = cluster_agreement(queries, labels[known], search.geometry)
    return {name: agreement[name] for name in wanted}


def _conventions(search, metrics, values):
    among = "all other queries" if search.leave_one_out else "the gallery"
    left_out = "A query never retrieves itself."
    if search.exclusions is not None:
        reasons = [_EXCLUDED[reason] for reason in search.exclusions.reasons]
        num_left = search.exclusions.num_left[values.asked]
        left_out = (
            f"A query never retrieves {' nor '.join(['itself', *reasons])}: "
            f"{num_left.min():,} to {num_left.max():,} rows are left to each. Ranks "
            "past the last of them count as no hit."
        )
    conventions = {
        "retrieval": f"Each of {values.asked.sum():,} queries retrieves from {among} "
        f"({search.num_available:,}). {left_out}",
        "similarity": f"float64 distance, {search.geometry!r}"
        if search.ranks_anew
        else f"float32 cosine similarity, {search.geometry!r}",
        "ties": "By index, the smallest first.",
        "positives": "Items that share the label of the level with the query.",
        "excluded": "Queries without a positive have no score: they are left out of "
        "the means and counted in num_excluded. Every other query weighs the same.",
        "levels": "Names without a prefix are of the finest level, level1_ of the next "
        "coarser one, and so on.",
    }
    if values.num_distractors:
        conventions["distractors"] = (
            f"{values.num_distractors:,} rows are of no class (-1): they match nothing "
            "and are no queries."
        )
    return conventions | {name: METRICS[name].meaning for name in metrics}


def class_means(values, classes, num_classes):
    """Means of the scores of each class's queries.

    Args:
        values: float array `(n,)`, NaN for queries that are left out.
        classes: int array `(n,)`, of the queries, less than `num_classes`.
        num_classes: int.

    Returns:
        float64 array `(num_classes,)`, NaN for a class without a score.
    """
    known = ~np.isnan(values)
    counts = np.bincount(classes[known], minlength=num_classes)
    sums = np.bincount(classes[known], values[known], minlength=num_classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _mean(values):
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _check_metrics(metrics):
    unknown = [metric for metric in metrics if metric not in METRICS]
    if isinstance(metrics, str) or unknown or not len(metrics):
        raise ValueError(
            f"metrics must be a list of any of {', '.join(map(repr, METRICS))}; the K "
            f"of 'recall' and 'precision' stand in k. Received: metrics={metrics!r}."
        )


def check_label_pair(search, query_labels, gallery_labels):
    """Labels of the queries and of the gallery of a `NeighborSearch`, int64
    `(n, levels)` and `(m, levels)`; raises what `evaluate` does."""
    query_labels = check_rows(query_labels, len(search.queries), "query_labels")
    name, labels = "query_labels", query_labels
    if search.leave_one_out:
        if gallery_labels is not None:
            raise ValueError("gallery_labels were passed without a gallery.")
        gallery_labels = query_labels
    else:
        gallery_labels = check_rows(
            gallery_labels, len(search.gallery), "gallery_labels"
        )
        if gallery_labels.shape[1] != query_labels.shape[1]:
            raise ValueError(
                "query_labels and gallery_labels must have the same levels. Received: "
                f"shapes {query_labels.shape} and {gallery_labels.shape}."
            )
        name = "query_labels and gallery_labels"
        labels = np.concatenate([query_labels, gallery_labels])
    check_nested(labels, name)
    if (query_labels == DISTRACTOR).all():
        raise ValueError(
            f"query_labels hold no class. Received {len(query_labels)} rows of -1, "
            "distractors, which are no queries."
        )
    if look_one_hot(labels):
        # Being nested, they have two classes: one reading is as good as the other.
        warnings.warn(
            f"{name} look one-hot: of one-hot labels pass `labels.argmax(-1)`. They "
            f"are taken for ids of {labels.shape[1]} levels.",
            stacklevel=4,
        )
    return query_labels, gallery_labels
