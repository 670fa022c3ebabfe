"""Against slow loops over the queries."""

import copy
import dataclasses
from collections import Counter

import numpy as np
import pytest

from keras_hierproxy.report.confusions import (
    count_pairs,
    shares_within,
    show_confusions,
)
from keras_hierproxy.report.retrievals import search_neighbors

pytestmark = pytest.mark.host


@pytest.fixture(params=["all against all", "gallery"])
def search(request, data, split, points):
    chosen = data if request.param == "all against all" else split
    return search_neighbors(chosen, points, None)


def errors(search):
    """(query, first neighbour) as rows of the data, where the neighbour is wrong."""
    labels, gallery = search.data.labels[:, 0], search.gallery
    for query, (first, *_) in zip(search.queries, search.neighbors, strict=True):
        positives = (labels == labels[query]) & gallery
        positives[query] = False
        if positives.any() and labels[first] != labels[query]:
            yield query, first


def test_pairs_are_counted(search):
    labels = search.data.labels[:, 0]
    expected = Counter((labels[q], labels[first]) for q, first in errors(search))
    pairs = count_pairs(search)
    found = zip(
        zip(pairs.classes, pairs.others, strict=True), pairs.counts, strict=True
    )
    assert len(expected) > 3 and dict(found) == expected
    assert (np.diff(pairs.counts) <= 0).all()
    assert pairs.counts.max() > 1


def test_the_example_is_the_pair_that_is_most_similar(search):
    labels = search.data.labels[:, 0]
    best = {}
    for query, first in errors(search):
        similarity = search.similarities[search.queries == query, 0].item()
        pair = labels[query], labels[first]
        best[pair] = max(best.get(pair, (-2, None)), (similarity, query))
    pairs = count_pairs(search)
    codes = zip(pairs.classes, pairs.others, strict=True)
    found = dict(zip(codes, search.queries[pairs.examples], strict=True))
    assert found == {pair: query for pair, (_, query) in best.items()}


def test_shares_within_a_super_class(search):
    labels = search.data.labels
    within, expected = [], []
    for query, first in errors(search):
        within.append(labels[query, 1] == labels[first, 1])
        others = labels[search.gallery & (labels[:, 0] != labels[query, 0]), 1]
        expected.append((others == labels[query, 1]).mean())
    ((name, share, by_chance),) = shares_within(search)
    assert name == search.data.level_names[1]
    assert share == pytest.approx(np.mean(within)) and 0 < share < 1
    assert by_chance == pytest.approx(np.mean(expected))


def test_no_share_is_told_where_each_class_has_a_coarser_one_for_itself(search):
    data = copy.copy(search.data)
    data.labels = np.repeat(data.labels[:, :1], 2, axis=1)
    data.class_names = data.class_names[:1] * 2
    assert shares_within(dataclasses.replace(search, data=data)) == []


def test_crossings_and_shares_are_shown(search):
    confusions = show_confusions(search, count_pairs(search), lambda row: row)
    places = [search.names[1][i] for i in search.data.taxonomy[:, 0]]
    parents = dict(zip(search.names[0][:-1], places, strict=True))
    seen = set()
    for pair in confusions:
        ((own, other, crosses),) = pair.crossed
        assert (own, other) == (parents[pair.name], parents[pair.other])
        assert crosses == (own != other)
        seen.add(crosses)
        counted = search.counted & (search.classes == search.names[0].index(pair.name))
        assert pair.queries == counted.sum()
        assert pair.share == pair.count / pair.queries
    assert seen == {True, False}
