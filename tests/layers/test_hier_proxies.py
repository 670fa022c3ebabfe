"""`HierProxies` without learning: shapes, taxonomies, saving."""

import json

import keras
import numpy as np
import pytest

import keras_hierproxy as khp

# Six classes in three groups in two groups.
TAXONOMY = np.array([[0, 0], [0, 0], [1, 0], [2, 1], [2, 1], [2, 1]])


def build(*args, dimension=6, **kwargs):
    layer = khp.layers.HierProxies(*args, **kwargs)
    layer.build((None, dimension))
    return layer


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def to_numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_is_a_proxies():
    layer = build(6, taxonomy=TAXONOMY, centers_per_class=2)
    assert isinstance(layer, khp.layers.Proxies)
    assert layer.proxies.shape == (12, 6)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    np.testing.assert_array_equal(to_numpy(layer(x)), x)


@pytest.mark.parametrize(
    ("num_classes", "sizes"), [(1, (1,)), (2, (1,)), (100, (10,)), (11318, (106,))]
)
def test_auto_is_one_level_of_the_square_root(num_classes, sizes):
    assert khp.layers.HierProxies(num_classes).level_sizes == sizes


def test_a_learned_hierarchy_starts_empty():
    layer = build(6, level_sizes=(3, 2))
    assert layer.learned and layer.num_levels == 3
    assert [v.shape for v in layer.coarse_proxies] == [(3, 6), (2, 6)]
    assert not any(np.array(variable).any() for variable in layer.coarse_proxies)
    assert not to_numpy(layer.is_ready())
    assert np.array(layer.proxies).any()


def test_a_taxonomy_is_ready_at_once():
    layer = build(6, taxonomy=TAXONOMY.tolist())
    assert not layer.learned and layer.num_levels == 3
    assert layer.level_sizes == (3, 2)
    assert to_numpy(layer.is_ready())
    np.testing.assert_array_equal(np.array(layer.taxonomy), TAXONOMY)


@pytest.mark.parametrize("centers", [1, 3])
def test_coarse_proxies_of_a_taxonomy_start_at_centroids(centers):
    layer = build(6, taxonomy=TAXONOMY, centers_per_class=centers)
    directions = unit(np.array(layer.proxies)).reshape(6, centers, 6).mean(1)
    for level, size in enumerate(layer.level_sizes, start=1):
        members = [TAXONOMY[:, level - 1] == group for group in range(size)]
        centroids = unit(np.stack([unit(directions)[m].sum(0) for m in members]))
        proxies = to_numpy(layer.level_proxies(level))
        np.testing.assert_allclose(proxies, centroids, atol=1e-6)


def test_labels_and_parents():
    layer = build(6, taxonomy=TAXONOMY)
    labels = np.array([5, 0, 2, 2, 3], "int32")
    np.testing.assert_array_equal(to_numpy(layer.labels_at(1, labels)), [2, 0, 1, 1, 2])
    np.testing.assert_array_equal(to_numpy(layer.labels_at(2, labels)), [1, 0, 0, 0, 1])
    np.testing.assert_array_equal(layer.parents(1), [0, 0, 1, 2, 2, 2])
    np.testing.assert_array_equal(layer.parents(2), [0, 0, 1])


def test_tree():
    tree = build(6, taxonomy=TAXONOMY).tree()
    assert tree.num_leaves == 6
    # Classes, three groups, two groups of these, and a root above both.
    assert tree.parents.tolist() == [6, 6, 7, 8, 8, 8, 9, 9, 10, 11, 11, -1]
    assert tree.ids.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 0, 1, -1]


def test_tree_with_one_coarsest_proxy_has_it_as_its_root():
    taxonomy = np.concatenate([TAXONOMY, np.zeros((6, 1), int)], axis=1)
    tree = build(6, taxonomy=taxonomy).tree()
    assert tree.parents.tolist() == [6, 6, 7, 8, 8, 8, 9, 9, 10, 11, 11, -1]
    assert tree.ids[tree.root] == 0


def test_tree_without_coarse_proxies_that_have_no_class():
    layer = build(6, level_sizes=(5, 4))
    layer.taxonomy.assign([[1, 2], [1, 2], [4, 2], [4, 2], [3, 3], [3, 3]])
    layer.ready.assign(1.0)
    tree = layer.tree()
    assert tree.ids.tolist() == [0, 1, 2, 3, 4, 5, 1, 3, 4, 2, 3, -1]
    groups = [tree.ids[tree.ancestors(c)].tolist() for c in (0, 3, 5)]
    assert groups == [[1, 2, -1], [4, 2, -1], [3, 3, -1]]


def test_tree_of_a_learned_hierarchy():
    layer = khp.layers.HierProxies(6, level_sizes=(3, 2), name="pyramid")
    with pytest.raises(ValueError, match="'pyramid' has no hierarchy yet"):
        layer.tree()
    layer.build((None, 6))
    with pytest.raises(ValueError, match=r"no hierarchy yet.*layer\.refresh\(\)"):
        layer.tree()
    layer.refresh()
    tree = layer.tree()
    ancestors = [tree.ids[tree.ancestors(c)][:2] for c in range(6)]
    np.testing.assert_array_equal(ancestors, np.array(layer.taxonomy))


def test_only_proxies_are_trainable():
    layer = build(6, taxonomy=TAXONOMY)
    trainable = {v.path for v in layer.trainable_variables}
    assert trainable == {v.path for v in layer.proxy_variables()}
    assert [v.shape for v in layer.proxy_variables()] == [(6, 6), (3, 6), (2, 6)]


def test_regularizer_is_for_the_classes():
    regularizer = khp.regularizers.SoftOrthogonality(1.0)
    layer = build(6, taxonomy=TAXONOMY, regularizer=regularizer)
    (penalty,) = layer.losses
    expected = regularizer(layer.proxies.value)
    np.testing.assert_allclose(to_numpy(penalty), to_numpy(expected), rtol=1e-6)


@pytest.mark.parametrize(
    ("level_sizes", "message"),
    [
        ((7,), "more proxies than the one below.*num_classes=6"),
        ((3, 4), "more proxies than the one below"),
        ((), "'auto' or a tuple"),
        (3, "'auto' or a tuple"),
        ("sqrt", "'auto' or a tuple"),
        ((3, 0), "positive int"),
        ((2.5,), "positive int"),
    ],
)
def test_wrong_level_sizes(level_sizes, message):
    with pytest.raises(ValueError, match=message):
        khp.layers.HierProxies(6, level_sizes=level_sizes)


def changed(row, column, value):
    taxonomy = TAXONOMY.copy()
    taxonomy[row, column] = value
    return taxonomy


@pytest.mark.parametrize(
    ("taxonomy", "message"),
    [
        (changed(4, 1, 0), r"not nested: group 2 of level 1 has 2 parents.*\[0, 1\]"),
        (changed(2, 0, 5), "must be dense.*level 1"),
        (changed(slice(3, 6), 1, 2), "must be dense.*level 2.*from 0 to 2"),
        (TAXONOMY - 1, "must be dense.*from -1 to"),
        (TAXONOMY + 1, "must be dense.*from 1 to"),
        (TAXONOMY[:4], "4 rows for num_classes=6"),
        (TAXONOMY.astype("float32"), "dtype float32"),
        (TAXONOMY[:, 0], r"shape \(6,\)"),
        (TAXONOMY[:, :0], r"shape \(6, 0\)"),
        (TAXONOMY > 0, "dtype bool"),
    ],
    ids=[
        "not nested",
        "gap",
        "gap above",
        "negative",
        "from one",
        "wrong length",
        "float",
        "one-dimensional",
        "no level",
        "bool",
    ],
)
def test_wrong_taxonomy(taxonomy, message):
    with pytest.raises(ValueError, match=message):
        khp.layers.HierProxies(6, taxonomy=taxonomy)


def test_a_taxonomy_says_its_own_level_sizes():
    with pytest.raises(ValueError, match="either `level_sizes` or `taxonomy`"):
        khp.layers.HierProxies(6, level_sizes=(3, 2), taxonomy=TAXONOMY)


def test_any_nested_taxonomy_is_taken():
    khp.layers.HierProxies(1, taxonomy=[[0]])
    khp.layers.HierProxies(3, taxonomy=[[2], [1], [0]])
    khp.layers.HierProxies(4, taxonomy=np.zeros((4, 3), "uint8"))


@pytest.mark.parametrize("levels", [{"level_sizes": (3, 2)}, {"taxonomy": TAXONOMY}])
def test_save_and_load(levels):
    layer, again = build(6, **levels), build(6, **levels)
    if layer.learned:
        layer.refresh()
    for variable in layer.coarse_proxies:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    store = {}
    layer.save_own_variables(store)
    again.load_own_variables(store)
    assert len(layer.variables) == 5
    for variable, loaded in zip(layer.variables, again.variables, strict=True):
        np.testing.assert_array_equal(np.array(loaded), np.array(variable))


@pytest.mark.parametrize("levels", [{"level_sizes": (3, 2)}, {"taxonomy": TAXONOMY}])
def test_config_round_trip(levels):
    layer = build(6, centers_per_class=2, name="pyramid", **levels)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is khp.layers.HierProxies
    assert again.get_config() == layer.get_config()
    assert again.learned == layer.learned
    assert to_numpy(again.is_ready()) == (not layer.learned)
    np.testing.assert_array_equal(np.array(again.taxonomy), np.array(layer.taxonomy))
    assert [v.shape for v in again.variables] == [v.shape for v in layer.variables]


def test_a_saved_model_keeps_its_hierarchy(tmp_path):
    inputs = keras.Input((6,))
    layer = khp.layers.HierProxies(6, level_sizes=(3, 2))
    model = keras.Model(inputs, layer(inputs))
    layer.refresh()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    for variable, again in zip(layer.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(np.array(again), np.array(variable))
    np.testing.assert_array_equal(loaded.parents(2), layer.parents(2))


def test_loading_another_hierarchy():
    store = {}
    build(6, level_sizes=(3, 2)).save_own_variables(store)
    with pytest.raises(ValueError, match=r"level1_proxies of shape \(3, 6\)"):
        build(6, level_sizes=(4, 2)).load_own_variables(store)


def test_float32_under_any_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = keras.Input((6,))
    layer = khp.layers.HierProxies(6, taxonomy=TAXONOMY)
    outputs = layer(keras.layers.Dense(6)(inputs))
    assert outputs.dtype == "float32"
    assert {v.dtype for v in layer.variables} == {"float32", "int32"}
