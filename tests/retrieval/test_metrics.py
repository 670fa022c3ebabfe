import numpy as np
import pytest

from keras_hierproxy.retrieval import (
    count_positives,
    map_at_r,
    precision_at_1,
    precision_at_k,
    r_precision,
    recall_at_k,
)

pytestmark = pytest.mark.host

# By hand: three positives, found at ranks 1, 3 and 5; one at rank 2; none to find.
RELEVANCE = np.array([[1, 0, 1, 0, 1], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=bool)
POSITIVES = np.array([3, 1, 0])


@pytest.mark.parametrize(
    "metric, expected",
    [
        (lambda *a: recall_at_k(*a, k=1), [1, 0]),
        (lambda *a: recall_at_k(*a, k=2), [1, 1]),
        (precision_at_1, [1, 0]),
        (lambda *a: precision_at_k(*a, k=1), [1, 0]),
        (lambda *a: precision_at_k(*a, k=5), [3 / 5, 1 / 5]),
        (r_precision, [2 / 3, 0]),
        (map_at_r, [(1 + 2 / 3) / 3, 0]),
    ],
)
def test_by_hand(metric, expected):
    values = metric(RELEVANCE, POSITIVES)
    assert values.dtype == "float64"
    np.testing.assert_allclose(values, [*expected, np.nan])


def test_only_the_needed_depth_is_asked_for():
    np.testing.assert_allclose(
        map_at_r(RELEVANCE[:, :3], POSITIVES), map_at_r(RELEVANCE, POSITIVES)
    )
    for metric in (r_precision, map_at_r):
        with pytest.raises(ValueError, match="3 neighbours deep"):
            metric(RELEVANCE[:, :2], POSITIVES)
    for metric in (recall_at_k, precision_at_k):
        with pytest.raises(ValueError, match="6 neighbours deep"):
            metric(RELEVANCE, POSITIVES, 6)


def test_no_query_has_a_positive():
    for metric in (precision_at_1, r_precision, map_at_r):
        assert np.isnan(metric(RELEVANCE, np.zeros(3, int))).all()


def test_count_positives():
    np.testing.assert_array_equal(
        count_positives(np.array([7, -1, 7, 2, 7, 9])), [2, 0, 2, 0, 2, 0]
    )
    np.testing.assert_array_equal(
        count_positives(np.array([7, 3, 99, -5]), np.array([7, 7, 2, 3])), [2, 1, 0, 0]
    )


def test_relevance_must_be_bool():
    with pytest.raises(ValueError, match="bool array .*float64"):
        precision_at_1(RELEVANCE.astype(float), POSITIVES)
    with pytest.raises(ValueError, match=r"bool array .*\(5,\)"):
        precision_at_1(RELEVANCE[0], POSITIVES)
    with pytest.raises(ValueError, match=r"one number per row.*\(2,\)"):
        precision_at_1(RELEVANCE, POSITIVES[:2])
