"""From which score on an answer is given, so that a promise holds."""

import dataclasses
import math

import numpy as np

# Of the promise.
CONFIDENCE = 0.9
# Wrong answers that the first threshold tried may have: with none, one mistake among
# the clearest would end the search.
_ALLOWED = 3
# How many times as many answers the next threshold gives.
_STEP = 1.1


@dataclasses.dataclass(frozen=True)
class Threshold:
    """What calibration found for a level.

    Attributes:
        score: float, the least score of an answer that is given; None where the level
            gives none.
        queries: int, how many queries finer levels had left.
        answered: int, of how many of these the score is as high.
        right: int, how many of these answers were right.
        bound: float, what the precision of such answers is at least, with 90%
            confidence; None without answers.
        scores, confidences: tuples of floats: the share of answers that were right, by
            their score, between which is interpolated.

    Example:

    >>> threshold = khp.gallery.Threshold(0.5, 99, 50, 49, 0.92, (0, 1), (0.2, 1))
    >>> round(threshold.confidence(0.5), 3)
    0.6
    """

    score: float | None
    queries: int
    answered: int
    right: int
    bound: float | None
    scores: tuple
    confidences: tuple

    def confidence(self, score):
        """The share of answers of such a score that were right in calibration."""
        if not self.scores or not np.isfinite(score):
            return 0.0
        return float(np.interp(score, self.scores, self.confidences))


def queries_needed(precision, wrong=0):
    """How many answers, of which some are wrong, show a precision.

    Args:
        precision: float between 0 and 1.
        wrong: int.

    Example:

    >>> queries_needed(0.95), queries_needed(0.95, wrong=1)
    (45, 77)
    """
    count = math.ceil(math.log(1 - CONFIDENCE) / math.log(precision)) + wrong
    while lower_bound(count - wrong, count) < precision:
        count += 1
    return count


def lower_bound(right, count):
    """The exact (Clopper-Pearson) lower bound of a precision, one-sided.

    Args:
        right: int, of
        count: int, answers.
    """
    from scipy.stats import beta

    return float(beta.ppf(1 - CONFIDENCE, right, count - right + 1)) if right else 0.0


def find_threshold(scores, right, precision):
    """The least score from which on answers are precise enough.

    Thresholds are tried from a high one downwards, each by the exact binomial bound,
    and the first that fails ends it: a sequence in a fixed order, whose last success
    holds with the confidence of each single test. Where it begins depends on the scores
    alone.

    Args:
        scores: float array `(n,)` of the queries that are left, minus infinity where
            there is no answer.
        right: bool array `(n,)`.
        precision: float.

    Returns:
        `Threshold`.
    """
    answered = np.isfinite(scores)
    order = np.argsort(-scores[answered], kind="stable")
    ranked, hit = scores[answered][order], right[answered][order]
    total = len(ranked)
    best = None
    count = min(queries_needed(precision, _ALLOWED), total)
    while count >= queries_needed(precision):
        # All that tie with the last.
        count = int(np.searchsorted(-ranked, -ranked[count - 1], side="right"))
        num_right = int(hit[:count].sum())
        bound = lower_bound(num_right, count)
        if bound < precision:
            break
        best = float(ranked[count - 1]), count, num_right, bound
        if count == total:
            break
        count = min(total, math.ceil(count * _STEP))
    score, count, num_right, bound = best or (None, 0, 0, None)
    return Threshold(
        score, len(scores), count, num_right, bound, *_shares(ranked[::-1], hit[::-1])
    )


def _shares(scores, right):
    """The share of right answers as a function of the score that never falls."""
    if not len(scores):
        return (), ()
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1).fit(scores, right.astype("float64"))
    return (
        tuple(fitted.X_thresholds_.astype("float64").tolist()),
        tuple(fitted.y_thresholds_.astype("float64").clip(0, 1).tolist()),
    )
