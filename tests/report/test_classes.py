import math

import numpy as np
import pytest

from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.report import classes
from keras_hierproxy.report.confusions import count_pairs
from keras_hierproxy.report.retrievals import search_neighbors
from keras_hierproxy.retrieval import score_queries

pytestmark = pytest.mark.host


@pytest.fixture(params=["all against all", "gallery"])
def search(request, data, split, points):
    chosen = data if request.param == "all against all" else split
    return search_neighbors(chosen, points, None)


@pytest.fixture
def table(search, points):
    scores = score_queries(**search.data.retrieval_arguments(points), k=(1, 2))
    return classes.class_table(search, scores, count_pairs(search))


def test_a_row_for_each_class_with_queries(search, table):
    names = [row[0] for row in table.rows]
    expected = {search.names[0][c] for c in search.classes}
    assert len(names) == table.total and set(names) == expected
    assert table.metrics == ["Recall@1", "R-Precision", "MAP@R"]


def test_numbers_are_means_over_the_class(search, table, points):
    values = score_queries(**search.data.retrieval_arguments(points), k=1).values
    for name, queries, numbers, wrong, coarser in table.rows:
        c = search.names[0].index(name)
        own = search.classes == c
        assert queries == own.sum()
        assert coarser == [search.names[1][search.data.taxonomy[c, 0]]]
        expected = [
            values[key][own].mean() for key in ("recall@1", "r_precision", "map@r")
        ]
        np.testing.assert_allclose(numbers, expected, atol=1e-12)
        others = search.first_classes[own & search.wrong]
        if wrong is None:
            assert not len(others)
        else:
            counts = np.bincount(others)
            assert wrong[1] == counts.max()
            assert counts[search.names[0].index(wrong[0])] == counts.max()


def test_the_worst_stand_first_and_those_without_a_score_last(table):
    recalls = [numbers[0] for _, _, numbers, _, _ in table.rows]
    known = [recall for recall in recalls if not math.isnan(recall)]
    assert known == sorted(known) and known[0] < known[-1]
    assert all(math.isnan(recall) for recall in recalls[len(known) :])


def test_alone_in_its_class_stands_last_without_a_score():
    data = RetrievalDataset(np.zeros((5, 8, 8, 1), "uint8"), [0, 1, 1, 2, 2])
    points = np.eye(3)[data.labels[:, 0]]
    scores = score_queries(**data.retrieval_arguments(points), k=1)
    search = search_neighbors(data, points, None)
    *perfect, (name, queries, numbers, wrong, _) = classes.class_table(
        search, scores, count_pairs(search)
    ).rows
    assert [row[2] for row in perfect] == [[1, 1, 1]] * 2
    assert (name, queries, wrong) == ("0", 1, None)
    assert np.isnan(numbers).all()


def test_too_many_classes_are_cut_the_best_first(search, table, points, monkeypatch):
    monkeypatch.setattr(classes, "MAX_BYTES", 700)
    scores = score_queries(**search.data.retrieval_arguments(points), k=1)
    few = classes.class_table(search, scores, count_pairs(search))
    assert 1 < len(few.rows) < few.total == table.total
    assert [row[0] for row in few.rows] == [r[0] for r in table.rows[: len(few.rows)]]
