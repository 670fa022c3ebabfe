"""Who is a mutual neighbour, and whether triplets are drawn as they should be."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_hierproxy.ops import LocalSeeds, mutual_neighbors, sample_triplets


def seeds(seed=0):
    return LocalSeeds(keras.random.SeedGenerator(seed).next())


def expected_mutual(similarity, k):
    """By sorting, row by row; ties by index."""
    n = len(similarity)
    nearest = [set(np.argsort(-row, kind="stable")[:k]) for row in similarity]
    return np.array(
        [
            [i != j and i in nearest[j] and j in nearest[i] for j in range(n)]
            for i in range(n)
        ]
    )


def draw(mutual, present=None, per_anchor=50, max_triplets=None, seed=0):
    present = np.ones(len(mutual), bool) if present is None else present
    triplets, qualified = sample_triplets(
        ops.convert_to_tensor(mutual),
        ops.convert_to_tensor(present),
        per_anchor,
        seeds(seed),
        max_triplets,
    )
    return ops.convert_to_numpy(triplets), ops.convert_to_numpy(qualified)


def random_relation(n=30, k=8, seed=0):
    points = np.random.default_rng(seed).normal(size=(n, 3))
    similarity = np.exp(-np.linalg.norm(points[:, None] - points, axis=-1))
    return expected_mutual(similarity, k)


@pytest.mark.parametrize("k", [1, 2, 5, 20, 40])
def test_mutual_neighbors(k):
    rng = np.random.default_rng(k)
    similarity = rng.random((20, 20)).astype("float32")
    similarity = np.maximum(similarity, similarity.T)
    np.fill_diagonal(similarity, 2)
    found = ops.convert_to_numpy(mutual_neighbors(similarity, k))
    np.testing.assert_array_equal(found, expected_mutual(similarity, k))


def test_neighbors_that_are_not_mutual():
    similarity = np.array([[9, 5, 1], [5, 9, 7], [1, 7, 9]], "float32")
    found = ops.convert_to_numpy(mutual_neighbors(similarity, 2))
    np.testing.assert_array_equal(found, [[0, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_of_equal_similarities_there_are_no_more_than_k():
    found = ops.convert_to_numpy(mutual_neighbors(np.ones((6, 6), "float32"), 3))
    assert (found.sum(1) <= 3).all()
    np.testing.assert_array_equal(found, found.T)


def test_who_stands_in_a_triplet():
    mutual = random_relation()
    qualifies = mutual.sum(1) >= 2
    assert 0 < qualifies.sum() < len(mutual), "the case must hold both kinds"
    triplets, qualified = draw(mutual)
    assert triplets.shape == (30 * 50, 3)
    i, j, k = triplets.T
    np.testing.assert_array_equal(qualified, qualifies[i])
    np.testing.assert_array_equal(np.bincount(i, minlength=30), 50)
    # Those that qualify come first.
    np.testing.assert_array_equal(qualified, np.sort(qualified)[::-1])
    i, j, k = triplets[qualified].T
    assert mutual[i, j].all()
    assert not mutual[i, k].any()
    assert (i != k).all()


def test_nobody_qualifies():
    for mutual in (np.zeros((5, 5), bool), ~np.eye(5, dtype=bool), np.zeros((1, 1))):
        triplets, qualified = draw(mutual.astype(bool))
        assert not qualified.any()
        assert ((0 <= triplets) & (triplets < len(mutual))).all()


def test_one_mutual_neighbor_is_not_enough():
    mutual = np.zeros((6, 6), bool)
    for a, b in ((0, 1), (2, 3), (2, 4)):
        mutual[a, b] = mutual[b, a] = True
    triplets, qualified = draw(mutual)
    assert set(triplets[qualified, 0]) == {2}


def test_what_is_absent_stands_in_no_triplet():
    mutual = random_relation()
    present = np.random.default_rng(1).random(30) < 0.7
    triplets, qualified = draw(mutual, present)
    assert qualified.any()
    assert present[triplets[qualified]].all()
    here = mutual[np.ix_(present, present)]
    assert qualified.sum() == 50 * (here.sum(1) >= 2).sum()


def p_value_of_uniform(counts):
    return stats.chisquare(counts).pvalue


@pytest.mark.parametrize("max_triplets", [None, 1000])
def test_frequencies_are_uniform(max_triplets):
    """Of positives and negatives of each anchor, and with a cap of anchors."""
    mutual = random_relation()
    per_anchor = 3000
    if max_triplets is None:
        drawn = [draw(mutual, per_anchor=per_anchor)]
    else:
        drawn = [draw(mutual, max_triplets=1000, seed=seed) for seed in range(60)]
    triplets = np.concatenate([rows[ok] for rows, ok in drawn])
    p_values = []
    for i in np.flatnonzero(mutual.sum(1) >= 2):
        _, j, k = triplets[triplets[:, 0] == i].T
        negative = ~mutual[i] & (np.arange(30) != i)
        p_values += [p_value_of_uniform(np.bincount(j, minlength=30)[mutual[i]])]
        p_values += [p_value_of_uniform(np.bincount(k, minlength=30)[negative])]
    anchors = np.bincount(triplets[:, 0], minlength=30)[mutual.sum(1) >= 2]
    p_values += [p_value_of_uniform(anchors)]
    # The least of so many would be below this one time in a thousand.
    assert min(p_values) > 1e-3 / len(p_values)


def test_the_test_of_frequencies_sees_a_biased_sampler():
    ranks = np.floor(7 * np.random.default_rng(0).random(3000) ** 1.2).astype(int)
    assert p_value_of_uniform(np.bincount(ranks, minlength=7)) < 1e-3 / 60


def test_j_and_k_are_independent():
    mutual = random_relation()
    triplets, ok = draw(mutual, per_anchor=4000)
    i = np.flatnonzero(mutual.sum(1) >= 2)[0]
    _, j, k = triplets[(triplets[:, 0] == i) & ok].T
    table = np.zeros((30, 30))
    np.add.at(table, (j, k), 1)
    table = table[table.any(1)][:, table.any(0)]
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_a_cap_above_all_triplets_changes_nothing():
    mutual = random_relation()
    expected, _ = draw(mutual, per_anchor=5)
    np.testing.assert_array_equal(draw(mutual, None, 5, 10_000)[0], expected)
    assert draw(mutual, None, 5, 20)[0].shape == (20, 3)
