"""Verification: are two items of one class? Scores of pairs, and not of rankings."""

import warnings

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.geometry import Sphere
from keras_hierproxy.labels import DISTRACTOR
from keras_hierproxy.retrieval.exclusions import warn_of_queries_in_gallery
from keras_hierproxy.retrieval.result_names import ResultName
from keras_hierproxy.retrieval.scores import check_label_pair
from keras_hierproxy.retrieval.search import BLOCK_COORDINATES, TILE, NeighborSearch

# Of more pairs than this, similarities are counted in steps: so many from end to end,
# on the sphere of 1e-6, which float32 may confuse.
EXACT_PAIRS = 1 << 22
STEPS = 1 << 21
# Where ids and groups leave few pairs over, so many are drawn for each that is wanted.
DRAWS = 64


def verification(
    queries,
    query_labels,
    gallery=None,
    gallery_labels=None,
    fmr=(1e-2, 1e-3),
    num_pairs=None,
    geometry=Sphere(),  # noqa: B008 (immutable)
    query_ids=None,
    gallery_ids=None,
    groups=None,
    gallery_groups=None,
    seed=0,
    verbose=False,
):
    """How well a threshold on the similarity tells whether two items are of one class.

    The terms are those of ISO/IEC 19795-1. A pair of one class is genuine (mated), of
    two classes an impostor (non-mated). Of pairs that match where their similarity s
    is at least a threshold t,

        FMR(t)  = share of impostor pairs with s >= t     (false match rate)
        FNMR(t) = share of genuine pairs with s < t       (false non-match rate)

    - `roc_auc` is the area under 1 - FNMR over FMR: the probability that a genuine pair
      is more similar than an impostor pair, ties counting a half.
    - `eer` is where FMR and FNMR are equal, on straight lines between thresholds.
    - `fnmr@fmr=f` is the least FNMR of any threshold with FMR(t) <= f, and
      `threshold@fmr=f` the largest such t that has it. Fewer than 1 / f impostor pairs
      can't resolve f: both are NaN then, with a warning.

    The curves are scikit-learn's. Pairs of few classes are not independent of each
    other: the numbers are surer of more classes, not of more pairs.

    Pairs are those of all rows, each once and none of a row with itself; with a
    gallery, those of a query with a row of it. As in `evaluate`, pairs that share an id
    or a group are left out, and the label -1, a distractor, matches nothing: its pairs
    with rows of a class are impostors. Pairs of two distractors are left out, and with
    a gallery, queries that are distractors.

    All pairs are taken in tiles of 2,000 x 2,000, which takes some 300 MB, whatever the
    sizes. Up to 4 million pairs the numbers are exact; of more, similarities are
    counted in steps of 1e-6 (on the ball, of 1 / 2,000,000 of the largest possible
    distance).

    Args:
        queries: float array `(n, d)` of points of `geometry`.
        query_labels: int array `(n,)` or `(n, levels)`, finest level first.
        gallery, gallery_labels: float array `(m, d)` and int array `(m,)` or
            `(m, levels)`. By default pairs are those of the queries.
        fmr: float or floats in (0, 1), false match rates. By default 1% and 0.1%.
        num_pairs: int, at most how many genuine pairs to draw, and how many impostors,
            on each level, without replacement: what they are of 100,000 rows takes
            seconds where all pairs take minutes. By default all are taken.
        geometry: where the points live, by default `Sphere()`: similarities are the
            float32 cosines that `evaluate` ranks by. On a `PoincareBall` they are
            negative distances.
        query_ids, gallery_ids, groups, gallery_groups: as of `evaluate`.
        seed: int, of the draw.
        verbose: bool, whether to tell how long it will take, and how far it is.

    Returns:
        Dictionary of floats `roc_auc`, `eer`, and for each f of `fmr`
        `fnmr@fmr={f}` and `threshold@fmr={f}`; and of ints `num_genuine` and
        `num_impostor`. For level l >= 1 the same with the prefix `level{l}_`.

    Raises:
        ValueError: for what `evaluate` refuses; for an FMR that is not between 0 and
            1; and on a level without genuine or without impostor pairs.

    Example:

    >>> points = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.9]])
    >>> results = khp.retrieval.verification(points, [0, 0, 1, 1], fmr=0.25)
    >>> results["roc_auc"], results["fnmr@fmr=0.25"], results["num_impostor"]
    (1.0, 0.0, 4)
    """
    rates = [
        checks.real("fmr", rate, above=0, below=1)
        for rate in ([fmr] if np.ndim(fmr) == 0 else fmr)
    ]
    if num_pairs is not None:
        num_pairs = checks.integer("num_pairs", num_pairs, least=1)
    seed = checks.integer("seed", seed, least=0)
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
    labels = check_label_pair(search, query_labels, gallery_labels)
    if search.exclusions is None and not search.leave_one_out:
        warn_of_queries_in_gallery(search.queries, search.gallery)
    if num_pairs is None:
        counted = _count_all(search, *labels)
    else:
        counted = [
            _draw_both(search, own, others, num_pairs, np.random.default_rng([seed, i]))
            for i, (own, others) in enumerate(zip(*(x.T for x in labels), strict=True))
        ]
    results = {}
    for level, (genuine, impostor) in enumerate(counted):
        for name, value in _summary(genuine, impostor, rates, level).items():
            results[str(ResultName(level, name))] = value
    return results


def _summary(genuine, impostor, rates, level):
    """The numbers of one level, from `(similarities, counts)` of both kinds."""
    from sklearn.metrics import auc, roc_curve

    numbers = {"genuine": int(genuine[1].sum()), "impostor": int(impostor[1].sum())}
    for kind, number in numbers.items():
        if not number:
            which = f"level {level}" if level else "the finest level"
            of = "one class" if kind == "genuine" else "two classes"
            raise ValueError(
                f"Verification needs genuine and impostor pairs. Received: no {kind} "
                f"pair on {which}, no two items of {of} that ids and groups leave to "
                "be compared. Pass more rows, or, of sampled pairs, a larger num_pairs."
            )
    fmr, tmr, thresholds = roc_curve(
        np.repeat([True, False], [len(genuine[0]), len(impostor[0])]),
        np.concatenate([genuine[0], impostor[0]]),
        sample_weight=np.concatenate([genuine[1], impostor[1]]),
        drop_intermediate=False,
    )
    fnmr = 1 - tmr
    results = {"roc_auc": float(auc(fmr, tmr)), "eer": _equal_error_rate(fmr, fnmr)}
    for rate in rates:
        # Less rounding, so that 1 of 100 is 1%.
        allowed = rate * (1 + 1e-9)
        found = np.nan, np.nan
        if allowed * numbers["impostor"] >= 1:
            last = np.searchsorted(fmr, allowed, side="right") - 1
            # The largest threshold of those that do as well.
            first = np.searchsorted(-fnmr, -fnmr[last], side="left")
            found = fnmr[last], thresholds[first]
        else:
            name = ResultName(level, f"fnmr@fmr={rate}")
            warnings.warn(
                f"{name} is NaN: {numbers['impostor']:,} impostor "
                f"pairs can't resolve an FMR of {rate}, which takes {1 / rate:,.0f}.",
                stacklevel=3,
            )
        results[f"fnmr@fmr={rate}"] = float(found[0])
        results[f"threshold@fmr={rate}"] = float(found[1])
    return results | {f"num_{kind}": number for kind, number in numbers.items()}


def _equal_error_rate(fmr, fnmr):
    """Where the lines between the points of both rates cross."""
    gap = fnmr - fmr  # falls from 1 to -1
    after = int(np.argmax(gap <= 0))
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(fmr[after - 1] + share * (fmr[after] - fmr[after - 1]))


def _count_all(search, query_labels, gallery_labels):
    """Of each level the similarities of all pairs, tile by tile."""
    n, m = len(search.queries), len(search.gallery)
    ends = None if n * m <= EXACT_PAIRS else _ends(search)
    counted = [(_Counts(ends), _Counts(ends)) for _ in query_labels.T]
    with search.progress("Comparing") as progress:
        for start in range(0, n, TILE):
            rows = np.arange(start, min(start + TILE, n))
            for column in range(start if search.leave_one_out else 0, m, TILE):
                columns = np.arange(column, min(column + TILE, m))
                similarities = _tile(search, rows, columns)
                i, j = rows[:, None], columns[None]
                allowed = _allowed(search, i, j)
                for level, (genuine, impostor) in enumerate(counted):
                    own, others = query_labels[:, level], gallery_labels[:, level]
                    same, known = _same(search, own, others, i, j)
                    genuine.add(similarities[allowed & same])
                    impostor.add(similarities[allowed & known & ~same])
            done = rows[-1] + 1
            # In leave-one-out what is left is a triangle.
            share = 1 - (1 - done / n) ** 2 if search.leave_one_out else done / n
            progress.set(n * share)
    return [tuple(counts.all() for counts in pair) for pair in counted]


def _draw_both(search, own, others, num_pairs, rng):
    """The similarities of genuine and impostor pairs drawn at random."""
    both = []
    for genuine in (True, False):
        # Impostors are most of all pairs, genuine ones all of those within classes.
        classes = (own, others) if genuine else (own * 0, others * 0)
        space = _PairsWithin(*classes, search.leave_one_out)
        i, j = _draw(search, own, others, genuine, space, num_pairs, rng)
        both.append((_of_pairs(search, i, j), np.ones(len(i), "int64")))
    return both


def _draw(search, own, others, genuine, space, wanted, rng):
    from sklearn.utils.random import sample_without_replacement

    most, size = DRAWS * wanted, wanted
    while True:
        size = min(size, space.total)
        if size < space.total:
            state = int(rng.integers(2**31))
            drawn = sample_without_replacement(space.total, size, random_state=state)
        else:
            drawn = np.arange(size)
        i, j = space.pairs(rng.permutation(drawn))
        same, known = _same(search, own, others, i, j)
        right = _allowed(search, i, j) & (same if genuine else known & ~same)
        if right.sum() >= wanted or size in (space.total, most):
            return i[right][:wanted], j[right][:wanted]
        size = min(4 * size, most)


class _PairsWithin:
    """The pairs of rows of one class, numbered from 0 to `total`.

    Args:
        own, others: int arrays, classes; of less than 0 there are no pairs.
        within: bool, whether both are the same rows, of which each pair counts once.
    """

    def __init__(self, own, others, within):
        self.within = within
        self.own, self.others = np.argsort(own, kind="stable"), np.argsort(others)
        classes = np.intersect1d(own, others)
        classes = classes[classes >= 0]
        self.first = np.searchsorted(own[self.own], classes)
        self.first_other = np.searchsorted(others[self.others], classes)
        sizes = np.searchsorted(own[self.own], classes, side="right") - self.first
        self.sizes = (
            np.searchsorted(others[self.others], classes, side="right")
            - self.first_other
        )
        if within:
            self.others, self.first_other = self.own, self.first
            numbers = sizes * (sizes - 1) // 2
        else:
            numbers = sizes * self.sizes
        self.ends = np.cumsum(numbers)
        self.starts = self.ends - numbers
        self.total = int(self.ends[-1]) if len(self.ends) else 0

    def pairs(self, numbers):
        """The rows of both sides of pairs by their numbers."""
        at = np.searchsorted(self.ends, numbers, side="right")
        numbers = numbers - self.starts[at]
        if self.within:
            # Row j of a triangle holds pairs j (j - 1) / 2 and on.
            j = ((1 + np.sqrt(1 + 8.0 * numbers)) / 2).astype("int64")
            j -= j * (j - 1) // 2 > numbers
            j += j * (j + 1) // 2 <= numbers
            i = numbers - j * (j - 1) // 2
        else:
            i, j = np.divmod(numbers, self.sizes[at])
        return self.own[self.first[at] + i], self.others[self.first_other[at] + j]


def _same(search, own, others, i, j):
    """Are pairs of one class, and is the class of one of them known (of the query)?"""
    own, others = own[i], others[j]
    known = own != DISTRACTOR
    same = (own == others) & known
    return same, known | (others != DISTRACTOR) if search.leave_one_out else known


def _allowed(search, i, j):
    """Which pairs count at all, in leave-one-out those of `i < j`."""
    shape = np.broadcast_shapes(i.shape, j.shape)
    allowed = np.broadcast_to(i < j if search.leave_one_out else True, shape)
    if search.exclusions is not None:
        for own, others in search.exclusions.keys:
            allowed = allowed & (own[i] != others[j])
    return allowed


def _tile(search, rows, columns):
    """Float32 similarities of all of `rows` to all of `columns`."""
    if not search.ranks_anew:
        # Float64 sums of float32 products: rounded, they are the same in any tile.
        own = search.query_vectors(rows).astype("float64")
        others = search.vectors[search.group_of[columns]].astype("float64")
        return (own @ others.T).astype("float32")
    geometry = search.geometry
    keys, errors = geometry.ranking_keys(search.queries[rows], search.gallery[columns])
    root = geometry.curvature**0.5
    distances = 2 / root * np.arcsinh(root * np.sqrt(np.maximum(keys, 0)))
    # Of those that are near, cancellation has left few digits.
    i, j = np.nonzero(keys < 1e8 * errors[:, None])
    similarities = (-distances).astype("float32")
    similarities[i, j] = _of_pairs(search, rows[i], columns[j])
    return similarities


def _of_pairs(search, i, j):
    """Float32 similarities of rows `i` to rows `j`, pair by pair."""
    similarities = np.empty(len(i), "float32")
    step = max(1, BLOCK_COORDINATES // search.queries.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        if search.ranks_anew:
            similarities[part] = -search.geometry.exact_distance(
                search.queries[i[part]], search.gallery[j[part]]
            )
        else:
            own = search.query_vectors(i[part]).astype("float64")
            others = search.vectors[search.group_of[j[part]]]
            similarities[part] = np.einsum("nd,nd->n", own, others)
    return similarities


def _ends(search):
    """Similarities that none is beyond."""
    if not search.ranks_anew:
        return -1.0, 1.0
    origin = np.zeros(search.queries.shape[1])
    farthest = [
        search.geometry.exact_distance(points, origin).max()
        for points in (search.queries, search.gallery)
    ]
    return -float(sum(farthest)), 0.0


class _Counts:
    """How often each similarity was seen: as they are, or in steps between `ends`."""

    def __init__(self, ends):
        self.ends, self.seen = ends, []
        self.steps = None if ends is None else np.zeros(STEPS + 1, "int64")

    def add(self, similarities):
        if self.ends is None:
            self.seen.append(similarities)
            return
        low, high = self.ends
        places = (similarities.astype("float64") - low) * (STEPS / (high - low))
        places = np.rint(places).clip(0, STEPS).astype("int64")
        self.steps += np.bincount(places, minlength=STEPS + 1)

    def all(self):
        """Similarities and the count of each."""
        if self.ends is None:
            seen = np.concatenate(self.seen)
            return seen, np.ones(len(seen), "int64")
        places = np.flatnonzero(self.steps)
        low, high = self.ends
        return low + places * ((high - low) / STEPS), self.steps[places]
