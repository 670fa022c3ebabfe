"""How sure is a mean over queries, and is the difference of two of them real?"""

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.labels import as_array

# Draws (resamples x queries) held at a time.
BLOCK_DRAWS = 1 << 22


def bootstrap_intervals(values, confidence=0.95, resamples=1000, seed=0):
    """Percentile bootstrap intervals of means over queries.

    Queries are drawn with replacement, as many as there are, `resamples` times; all
    columns see the same draws. NaN are left out of each mean. The interval says how
    far the mean would move with other queries of these classes; queries of a class
    resemble each other, so other classes can move it further.

    Args:
        values: float array `(n, columns)`, one column a metric.
        confidence: float in (0, 1).
        resamples: int. Of 1,000, the ends of a 95% interval stand on the 25 most
            extreme means of each side.
        seed: int: the same seed, the same interval.

    Returns:
        float64 array `(columns, 2)`, low and high; NaN for a column of NaN.

    Raises:
        ValueError: values that are no numbers, infinite, without a row or of another
            shape; a confidence or a number of resamples out of range.

    Example:

    >>> values = np.array([[1.0], [0.0], [1.0], [1.0]])
    >>> khp.retrieval.bootstrap_intervals(values).tolist()
    [[0.25, 1.0]]
    """
    confidence = checks.real("confidence", confidence, above=0, below=1)
    resamples = checks.integer("resamples", resamples, least=1)
    seed = checks.integer("seed", seed, least=0)
    values = _check_scores(values, "values")
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    rng = np.random.default_rng(seed)
    means = []
    for block in _blocks(resamples, len(values)):
        counts = _draw_counts(rng, block, len(values))
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append((counts @ filled) / (counts @ present))
    tail = 50 * (1 - confidence)
    means = np.concatenate(means)
    # A resample may miss all that have a value.
    results = np.full((values.shape[1], 2), np.nan)
    for column, drawn in enumerate(means.T):
        drawn = drawn[np.isfinite(drawn)]
        if len(drawn):
            results[column] = np.percentile(drawn, [tail, 100 - tail])
    return results


def paired_test(first, second, resamples=9999, seed=0):
    """Do two embedders differ on the same queries?

    A randomisation test of the mean difference, two-sided: if the two were the same,
    each query's two scores could as well be swapped, so signs of the differences are
    drawn at random. `p` is the share of draws with a mean difference at least as large
    as the one seen, `(1 + hits) / (1 + resamples)`; of so few queries that there are
    fewer ways to swap them than resamples, the share of all ways. By
    `scipy.stats.permutation_test`, as in Smucker, Allan and
    Carterette, "A Comparison of Statistical Significance Tests for Information
    Retrieval Evaluation", CIKM 2007.

    It speaks of these two embedders and of queries like these; not of other seeds of
    training, nor of other classes.

    Args:
        first, second: float arrays `(n, columns)` of the same queries in the same
            order, NaN in the same places: of queries that have no score.
        resamples: int. 9,999 can show a p of 0.0001.
        seed: int.

    Returns:
        Float64 array `(columns,)` of p, NaN for a column of NaN.

    Raises:
        ValueError: scores that are no numbers, infinite, without a query, or of
            different shapes; a query that one of the two has no score of; fewer than
            one resample.

    Example:

    >>> better, worse = np.ones((20, 1)), np.zeros((20, 1))
    >>> khp.retrieval.paired_test(better, worse).tolist()
    [0.0001]
    """
    from scipy.stats import permutation_test  # which takes as long as all else here

    resamples = checks.integer("resamples", resamples, least=1)
    seed = checks.integer("seed", seed, least=0)
    first, second = _check_scores(first, "first"), _check_scores(second, "second")
    if first.shape != second.shape:
        raise ValueError(
            "first and second must be scores of the same queries, in the same shape. "
            f"Received: shapes {first.shape} and {second.shape}."
        )
    lone = np.flatnonzero((np.isnan(first) != np.isnan(second)).any(axis=1))
    if len(lone):
        raise ValueError(
            "first and second must be NaN in the same places: queries without a "
            f"score. Received: {len(lone)} of {len(first)} rows where one is NaN and "
            f"the other is not, the first of them row {lone[0]}. Are they of the same "
            "queries, in the same order?"
        )
    difference = second - first
    known = ~np.isnan(difference)
    difference = np.where(known, difference, 0.0)
    # Equal scores stay equal under either sign. SciPy asks for two rows at least.
    moving = difference[(difference != 0).any(axis=1)]
    moving = np.pad(moving, [(0, 2), (0, 0)])
    scale = np.maximum(np.abs(moving).sum(axis=0), np.finfo("float64").tiny)

    def size_of_mean(signs, axis):
        # Rounding alone parts no two: ties count as at least as large.
        return np.round(np.abs(signs @ moving) / scale, 9)

    test = permutation_test(
        (np.ones(len(moving)),),
        size_of_mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, BLOCK_DRAWS // len(moving)),
        alternative="greater",
        rng=seed,
    )
    return np.where(known.any(axis=0), test.pvalue, np.nan)


def _check_scores(values, name):
    """Scores as float64 `(n, columns)`: numbers, or NaN where there is none."""
    values = as_array(values, name)
    if values.ndim != 2 or not len(values):
        raise ValueError(
            f"{name} must have shape (queries, columns), with at least one query. "
            f"Received: shape {values.shape}."
            + (" Pass scores[:, None]." if values.ndim == 1 and len(values) else "")
        )
    if values.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} must be numbers. Received: dtype {values.dtype} of shape "
            f"{values.shape}."
        )
    values = values.astype("float64")
    infinite = np.flatnonzero(np.isinf(values).any(axis=1))
    if len(infinite):
        raise ValueError(
            f"{name} must be finite, or NaN for queries without a score. Received: "
            f"infinity in {len(infinite)} of {len(values)} rows, the first of them row "
            f"{infinite[0]}."
        )
    return values


def _blocks(resamples, size):
    step = max(1, BLOCK_DRAWS // max(size, 1))
    return [min(step, resamples - start) for start in range(0, resamples, step)]


def _draw_counts(rng, resamples, size):
    """How often each query is drawn in each resample, float64."""
    drawn = rng.integers(size, size=(resamples, size))
    drawn += size * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * size)
    return counts.reshape(resamples, size).astype("float64")
