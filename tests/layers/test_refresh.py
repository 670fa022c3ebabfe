"""`HierProxies.refresh`: learning a hierarchy, and keeping its identity."""

import keras
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import keras_hierproxy as khp
from keras_hierproxy.layers import hier_proxies
from tests.gradients import assert_gradients_close, value_and_gradients


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def planted(random, branches, dimension=16, spread=0.3):
    """A tree of directions: its leaves, and the ancestors of each, fine to coarse."""
    directions = unit(random.normal(size=(branches[0], dimension)))
    ancestors = [np.arange(branches[0])]
    for children in branches[1:]:
        spread = spread / 2
        directions = directions.repeat(children, axis=0)
        directions += spread * unit(random.normal(size=directions.shape))
        ancestors = [column.repeat(children) for column in ancestors]
        ancestors.append(np.arange(len(directions)))
    shuffle = random.permutation(len(directions))
    taxonomy = np.stack(ancestors[-2::-1], axis=1)
    return directions[shuffle], taxonomy[shuffle]


def build(proxies, level_sizes):
    layer = khp.layers.HierProxies(len(proxies), level_sizes)
    layer.build(proxies.shape)
    # Directions matter, lengths do not.
    lengths = np.random.default_rng(0).uniform(0.01, 10, size=(len(proxies), 1))
    layer.proxies.assign(proxies * lengths)
    return layer


def values(variables):
    return [np.array(variable) for variable in variables]


def centroids(directions, clusters, size):
    members = [clusters == cluster for cluster in range(size)]
    return unit(np.stack([unit(directions)[m].sum(0) for m in members]))


def test_recovers_planted_groups():
    proxies, taxonomy = planted(np.random.default_rng(0), (6, 8))
    layer = build(proxies, (6,))
    layer.refresh()
    assert adjusted_rand_score(taxonomy[:, 0], layer.parents(1)) == 1.0
    assert keras.ops.convert_to_numpy(layer.is_ready())
    np.testing.assert_array_equal(np.array(layer.taxonomy)[:, 0], layer.parents(1))
    coarse = keras.ops.convert_to_numpy(layer.level_proxies(1))
    expected = centroids(proxies, layer.parents(1), 6)
    np.testing.assert_allclose(coarse, expected, atol=1e-5)


def test_recovers_planted_groups_of_groups():
    proxies, taxonomy = planted(np.random.default_rng(1), (3, 4, 5), spread=0.8)
    layer = build(proxies, (12, 3))
    layer.refresh()
    learned = np.array(layer.taxonomy)
    for level in (0, 1):
        assert adjusted_rand_score(taxonomy[:, level], learned[:, level]) == 1.0
    np.testing.assert_array_equal(layer.parents(2)[learned[:, 0]], learned[:, 1])
    hier_proxies.check_taxonomy(learned, 60)
    top = keras.ops.convert_to_numpy(layer.level_proxies(2))
    below = keras.ops.convert_to_numpy(layer.level_proxies(1))
    expected = centroids(below, layer.parents(2), 3)
    np.testing.assert_allclose(top, expected, atol=1e-5)


def test_clusters_the_mean_of_the_centers_of_a_class():
    random = np.random.default_rng(2)
    directions, taxonomy = planted(random, (4, 6))
    directions = unit(directions)
    aside = random.normal(size=directions.shape)
    aside -= (aside * directions).sum(1, keepdims=True) * directions
    aside = 2 * unit(aside)
    centers = np.stack([directions + aside, directions - aside], axis=1)
    one_sided = hier_proxies.cluster_directions(centers[:, 0], 4, seed=0)
    assert adjusted_rand_score(taxonomy[:, 0], one_sided) < 0.5

    layer = khp.layers.HierProxies(24, (4,), centers_per_class=2)
    layer.build((None, 16))
    layer.proxies.assign(centers.reshape(-1, 16))
    layer.refresh()
    assert adjusted_rand_score(taxonomy[:, 0], layer.parents(1)) == 1.0
    coarse = keras.ops.convert_to_numpy(layer.level_proxies(1))
    expected = centroids(directions, layer.parents(1), 4)
    np.testing.assert_allclose(coarse, expected, atol=1e-5)


def test_another_clustering_keeps_names_and_learned_proxies():
    proxies, _ = planted(np.random.default_rng(0), (6, 8))
    first, second = (hier_proxies.cluster_directions(proxies, 6, s) for s in (0, 1))
    assert (first != second).any(), "k-means with other seeds must number otherwise"

    layer = build(proxies, (6,))
    layer.refresh(seed=0)
    taxonomy = np.array(layer.taxonomy)
    learned = np.random.default_rng(1).normal(size=(6, 16)).astype("float32")
    layer.coarse_proxies[0].assign(learned)
    layer.refresh(seed=1)
    np.testing.assert_array_equal(np.array(layer.taxonomy), taxonomy)
    np.testing.assert_array_equal(np.array(layer.coarse_proxies[0]), learned)


def test_three_levels_keep_names_and_learned_proxies():
    proxies, _ = planted(np.random.default_rng(1), (3, 4, 5), spread=0.8)
    layer = build(proxies, (12, 3))
    layer.refresh(seed=0)
    taxonomy, learned = np.array(layer.taxonomy), values(layer.coarse_proxies)
    # They move, but less than apart.
    learned = [3 * p + 0.01 for p in learned]
    for variable, value in zip(layer.coarse_proxies, learned, strict=True):
        variable.assign(value)
    layer.refresh(seed=1)
    np.testing.assert_array_equal(np.array(layer.taxonomy), taxonomy)
    for actual, expected in zip(values(layer.coarse_proxies), learned, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_class_that_moved_gets_another_parent_and_no_more_changes():
    proxies, _ = planted(np.random.default_rng(0), (6, 8))
    layer = build(proxies, (6,))
    layer.refresh()
    before, coarse = layer.parents(1).copy(), np.array(layer.coarse_proxies[0])
    target = np.flatnonzero(before != before[0])[0]
    proxies[0] = proxies[target] + 0.01
    layer.proxies.assign(proxies)
    layer.refresh(seed=3)
    expected = before.copy()
    expected[0] = before[target]
    np.testing.assert_array_equal(layer.parents(1), expected)
    np.testing.assert_array_equal(np.array(layer.coarse_proxies[0]), coarse)


def test_only_a_cluster_with_nothing_of_its_namesake_restarts(monkeypatch):
    old = np.array([0, 0, 0, 0, 0, 1, 1, 2], "int32")
    new = np.array([0, 0, 0, 2, 2, 1, 1, 1], "int32")
    proxies = np.random.default_rng(0).normal(size=(8, 16))
    layer = build(proxies, (3,))
    for clusters in (old, new):
        monkeypatch.setattr(
            hier_proxies, "cluster_directions", lambda *_, result=clusters: result
        )
        learned = np.random.default_rng(1).normal(size=(3, 16)).astype("float32")
        layer.refresh()
        if clusters is old:
            np.testing.assert_array_equal(layer.parents(1), old)
            layer.coarse_proxies[0].assign(learned)
    np.testing.assert_array_equal(layer.parents(1), new)
    coarse = np.array(layer.coarse_proxies[0])
    np.testing.assert_array_equal(coarse[:2], learned[:2])
    np.testing.assert_allclose(coarse[2], centroids(proxies, new, 3)[2], atol=1e-6)


def test_class_proxies_stay():
    proxies, _ = planted(np.random.default_rng(0), (6, 8))
    layer = build(proxies, (6,))
    before = np.array(layer.proxies)
    layer.refresh()
    np.testing.assert_array_equal(np.array(layer.proxies), before)


def test_as_many_groups_as_classes():
    proxies = np.random.default_rng(0).normal(size=(5, 16))
    layer = build(proxies, (5, 1))
    layer.refresh()
    assert sorted(layer.parents(1)) == list(range(5))
    np.testing.assert_array_equal(layer.parents(2), np.zeros(5))


def test_a_given_taxonomy_is_not_learned():
    layer = khp.layers.HierProxies(3, taxonomy=[[0], [0], [1]], name="given")
    layer.build((None, 4))
    with pytest.raises(ValueError, match="'given' was given its taxonomy"):
        layer.refresh()


@pytest.mark.parametrize("base", ["proxy_anchor", "arcface"])
def test_coarse_terms_are_off_before_the_first_refresh(base):
    random = np.random.default_rng(0)
    layer = build(random.normal(size=(8, 6)), (4, 2))
    # Even if they say something.
    for variable in layer.coarse_proxies:
        variable.assign(random.normal(size=variable.shape))
    x = random.normal(size=(14, 6)).astype("float32")
    labels = random.integers(0, 8, 14)
    loss = khp.losses.HierProxyLoss(base, [0.7, 0.5, 0.3], proxies=layer)

    def measure(loss):
        return value_and_gradients(
            lambda x: loss(labels, x), [x], layer.proxy_variables()
        )

    value, _, (by_classes, *by_coarse) = measure(loss)
    flat_value, _, (flat_by_classes, *_) = measure(type(loss.base)(proxies=layer))
    assert value == pytest.approx(0.7 * flat_value, rel=1e-6)
    assert_gradients_close(by_classes, 0.7 * flat_by_classes, 1e-5)
    assert not any(gradient.any() for gradient in by_coarse)

    layer.refresh()
    value, _, (_, *by_coarse) = measure(loss)
    assert value > 0.7 * flat_value
    assert all(gradient.any() for gradient in by_coarse)


def test_coarse_proxies_stand_still_before_the_first_refresh():
    """In training: their zeros have a finite gradient, times zero."""
    inputs = keras.Input((16,))
    layer = khp.layers.HierProxies(12, (4, 2))
    model = keras.Model(inputs, layer(inputs))
    model.compile("adam", loss=khp.losses.HierProxyLoss(proxies=layer))
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(20, 16)), random.integers(0, 12, 20)
    start = np.array(layer.proxies)
    model.fit(x, labels, epochs=1, verbose=0)
    assert not any(value.any() for value in values(layer.coarse_proxies))
    assert (np.array(layer.proxies) != start).any()

    layer.refresh()
    start = values(layer.coarse_proxies)
    model.fit(x, labels, epochs=1, verbose=0)
    for value, before in zip(values(layer.coarse_proxies), start, strict=True):
        assert (value != before).any()
        assert np.isfinite(value).all()
