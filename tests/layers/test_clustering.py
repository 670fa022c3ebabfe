import numpy as np
import pytest

from keras_hierproxy import progress
from keras_hierproxy.layers import clustering
from keras_hierproxy.layers.clustering import (
    cluster_centroids,
    cluster_directions,
    match_clusters,
    unit_rows,
)

pytestmark = pytest.mark.host


def two_bundles(random, size=20):
    bundles = np.eye(8)[[0, 3]].repeat(size, axis=0)
    return bundles + 0.1 * random.normal(size=bundles.shape)


def test_clusters_directions_not_lengths():
    random = np.random.default_rng(0)
    vectors = two_bundles(random) * random.uniform(0.01, 100, size=(40, 1))
    clusters = cluster_directions(vectors, 2, seed=0)
    assert len(set(clusters[:20])) == len(set(clusters[20:])) == 1
    assert clusters[0] != clusters[20]
    assert clusters.dtype == "int32"


def test_seed_decides():
    vectors = np.random.default_rng(0).normal(size=(60, 4))
    first, again, other = (cluster_directions(vectors, 7, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("seed", range(5))
def test_renamed_clusters_get_their_names_back(seed):
    random = np.random.default_rng(seed)
    old = random.permutation(np.repeat(np.arange(6), 5))
    matched, unrelated = match_clusters(random.permutation(6)[old], old, 6)
    np.testing.assert_array_equal(matched, old)
    assert not unrelated.any()


def test_a_few_moves_do_not_change_names():
    old = np.repeat(np.arange(3), 10)
    moved = old.copy()
    moved[[0, 10, 20]] = [1, 2, 0]
    matched, unrelated = match_clusters(np.array([2, 0, 1])[moved], old, 3)
    np.testing.assert_array_equal(matched, moved)
    assert not unrelated.any()


def test_largest_total_overlap_wins():
    # New cluster 0 shares 3 members with old 0 and 2 with old 1; new 1 shares 2 with
    # old 0 only: greedy matching would give new 0 the name 0, for 3 in all, not 4.
    old = np.array([0, 0, 0, 1, 1, 0, 0])
    new = np.array([0, 0, 0, 0, 0, 1, 1])
    matched, unrelated = match_clusters(new, old, 2)
    np.testing.assert_array_equal(matched, [1, 1, 1, 1, 1, 0, 0])
    assert not unrelated.any()


def test_a_cluster_without_members_of_its_namesake_is_unrelated():
    # The largest old cluster split in two, the others merged: one half must take
    # the name of a cluster that it shares nothing with.
    old = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    new = np.array([0, 0, 0, 2, 2, 1, 1, 1])
    matched, unrelated = match_clusters(new, old, 3)
    np.testing.assert_array_equal(matched, [0, 0, 0, 2, 2, 1, 1, 1])
    np.testing.assert_array_equal(unrelated, [False, False, True])


def test_centroids_are_mean_directions():
    vectors = np.array([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    centroids = cluster_centroids(vectors, np.array([0, 0, 2]), 4)
    half = np.sqrt(0.5)
    expected = [[half, half], [0, 0], [-1, 0], [0, 0]]
    np.testing.assert_allclose(centroids, expected, atol=1e-12)


def test_unit_rows_keeps_zeros():
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0.0, 0.0]])


def test_many_vectors_are_clustered_as_well_as_few(monkeypatch):
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(60, 16))
    vectors = centers[rng.integers(0, 60, 5000)] + rng.normal(size=(5000, 16))

    def inertia():
        clusters = clustering.cluster_directions(vectors, 40, seed=0)
        assert clusters.dtype == "int32" and set(clusters) == set(range(40))
        again = clustering.cluster_directions(vectors, 40, seed=0)
        np.testing.assert_array_equal(clusters, again)
        unit = clustering.unit_rows(vectors)
        means = np.stack([unit[clusters == c].mean(0) for c in range(40)])
        return np.square(unit - means[clusters]).sum()

    every = inertia()
    monkeypatch.setattr(clustering, "_MOST_FOR_ALL", 1000)
    assert inertia() != every
    assert inertia() < 1.02 * every


def test_it_is_told_early_how_long_many_take(monkeypatch, capsys):
    monkeypatch.setattr(clustering, "_MOST_FOR_ALL", 10)
    monkeypatch.setattr(progress, "ENOUGH_TO_TELL", 0)
    monkeypatch.setattr(progress, "WORTH_TELLING", 0)
    vectors = np.random.default_rng(0).normal(size=(500, 8))
    for verbose in (False, True):
        clusters = clustering.cluster_directions(vectors, 5, 0, verbose)
        assert len(clusters) == 500
        told = "Clustering 500 classes into 5: about" in capsys.readouterr().err
        assert told == verbose
