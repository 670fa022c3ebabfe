"""Tables that are made, saved and loaded in parts, and what memory that takes."""

import gc
import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.layers import hier_proxies, large_tables
from keras_hierproxy.models import keras_files
from keras_hierproxy.optimizers import saved_state

CLASSES, DIMENSION = 50, 6


@pytest.fixture
def parts(monkeypatch):
    """Tables of more than 100 numbers are large, and have parts of 40."""
    monkeypatch.setattr(large_tables, "_LARGE", 100)
    monkeypatch.setattr(large_tables, "_PART", 40)


def as_numpy(variable):
    return np.asarray(keras.ops.convert_to_numpy(variable))


LAYERS = {
    "dense": lambda: khp.layers.Proxies(CLASSES, name="proxies"),
    "centers": lambda: khp.layers.Proxies(CLASSES, centers_per_class=3, name="proxies"),
    "taxonomy": lambda: khp.layers.HierProxies(
        CLASSES, taxonomy=(np.arange(CLASSES) % 5)[:, None], name="proxies"
    ),
    "sampled": lambda: khp.layers.SampledProxies(CLASSES, 30, name="proxies"),
}


def untrained(kind):
    inputs = keras.Input((DIMENSION,))
    return khp.models.EmbeddingModel(inputs, LAYERS[kind]()(inputs))


def trained(kind):
    model = untrained(kind)
    centers = model.get_layer("proxies").centers_per_class > 1
    loss = khp.losses.SoftTripleLoss() if centers else khp.losses.ProxyNCALoss()
    model.compile(khp.optimizers.grouped(model), loss)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, DIMENSION)).astype("float32")
    model.fit(x, rng.integers(0, CLASSES, 16), epochs=2, verbose=0)
    return model


def values(model):
    layer = model.get_layer("proxies")
    tables = [layer.proxies, *getattr(layer, "_moments", [])]
    state = sorted(model.optimizer.variables, key=lambda variable: variable.path)
    return [as_numpy(each) for each in (*tables, *state)]


def keys_in(path):
    found = []
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as content:
        with h5py.File(content) as file:
            file.visit(found.append)
    return [key for key in found if "proxies" in key or "optimizer" in key]


@pytest.mark.parametrize("kind", LAYERS)
def test_saved_in_parts_is_what_was_saved(kind, parts, tmp_path):
    model = trained(kind)
    expected = values(model)
    model.save(tmp_path / "model.keras")
    assert any(
        key.endswith("vars/proxies.part7") for key in keys_in(tmp_path / "model.keras")
    )
    again = keras.models.load_model(tmp_path / "model.keras")
    for one, other in zip(values(again), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    shard = 0.5 * CLASSES * DIMENSION * 4 / 2**30  # half of the table
    for name, options in (
        ("w.weights.h5", {}),
        ("w.weights.json", {"max_shard_size": shard}),
    ):
        model.save_weights(tmp_path / name, **options)
        other = untrained(kind)
        other.load_weights(tmp_path / name)
        proxies = other.get_layer("proxies").proxies
        np.testing.assert_array_equal(as_numpy(proxies), expected[0])
    assert len([*tmp_path.glob("w_0*")]) > 2
    # What was loaded can be trained.
    x = np.ones((4, DIMENSION), "float32")
    again.fit(x, np.arange(4), verbose=0)
    assert (values(again)[0] != expected[0]).any()


def test_files_of_tables_in_one_piece(tmp_path, monkeypatch):
    """As earlier versions wrote them; and parts of another size."""
    model = trained("dense")
    expected = values(model)
    model.save(tmp_path / "whole.keras")
    assert not any("part" in key for key in keys_in(tmp_path / "whole.keras"))
    monkeypatch.setattr(large_tables, "_LARGE", 100)
    for path, part in (("whole.keras", 40), ("parts.keras", 66)):
        monkeypatch.setattr(large_tables, "_PART", part)
        again = keras.models.load_model(tmp_path / path)
        for one, other in zip(values(again), expected, strict=True):
            np.testing.assert_array_equal(one, other)
        monkeypatch.setattr(large_tables, "_PART", 40)
        model.save(tmp_path / "parts.keras")


@pytest.mark.parametrize(("classes", "dimension"), [(51, 6), (44, 6), (50, 5)])
def test_parts_of_another_shape(classes, dimension, parts):
    store = {}
    layer = LAYERS["dense"]()
    layer.build((None, DIMENSION))
    layer.save_own_variables(store)
    assert [*store] == [f"proxies.part{i}" for i in range(9)]
    other = khp.layers.Proxies(classes)
    other.build((None, dimension))
    with pytest.raises(ValueError, match=r"saved with proxies of shape \(50, 6\)"):
        other.load_own_variables(store)
    with pytest.raises(KeyError):
        layer.load_own_variables({})


def test_a_taxonomy_of_very_many_classes(monkeypatch):
    taxonomy = np.stack([np.arange(CLASSES) % 10, np.arange(CLASSES) % 5], 1)
    layer = khp.layers.HierProxies(CLASSES, taxonomy=taxonomy)
    assert layer.get_config()["taxonomy"] == taxonomy.tolist()
    monkeypatch.setattr(hier_proxies, "_MOST_IN_LISTS", 99)
    config = layer.get_config()
    assert isinstance(config["taxonomy"], str)
    again = khp.layers.HierProxies.from_config(config)
    np.testing.assert_array_equal(again._given_taxonomy, taxonomy)
    for damaged in (config["taxonomy"][:-4], "?" + config["taxonomy"][1:]):
        with pytest.raises(ValueError, match="taxonomy"):
            khp.layers.HierProxies.from_config({**config, "taxonomy": damaged})


def test_moments_of_another_padding(parts):
    """Those of four devices, on one, and of one on four; no part is left out."""
    optimizer = keras.optimizers.SGD(momentum=0.9)
    saved_state.save_once_load_padded(optimizer)
    rows = keras.Variable(np.ones((50, 6), "float32"))
    optimizer.build([rows])
    moment = optimizer.variables[-1]
    moment.assign(np.arange(300).reshape(50, 6))
    store = {}
    optimizer.save_own_variables(store)
    key = max(store, key=lambda name: (len(name), name)).partition(".")[0]
    for padded in (52, 60):
        again = keras.optimizers.SGD(momentum=0.9)
        saved_state.save_once_load_padded(again)
        again.build([keras.Variable(np.ones((padded, 6), "float32"))])
        again.load_own_variables(store)
        expected = np.pad(as_numpy(moment), [(0, padded - 50), (0, 0)])
        np.testing.assert_array_equal(as_numpy(again.variables[-1]), expected)
        back = {}
        again.save_own_variables(back)
        assert any(name.startswith(f"{key}.part") for name in back)
        moment.assign(np.zeros((50, 6)))
        optimizer.load_own_variables(back)
        np.testing.assert_array_equal(as_numpy(moment), expected[:50])


def test_a_model_of_many_classes_is_of_its_weights(parts, monkeypatch, tmp_path):
    """A number of classes beyond the rows of each part."""
    monkeypatch.setattr(large_tables, "_PART", 2_000)
    inputs = keras.Input((2,))
    layer = khp.layers.Proxies(20_000, name="proxies")
    khp.models.EmbeddingModel(inputs, layer(inputs)).save(tmp_path / "model.keras")
    again = keras_files.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        as_numpy(again.get_layer("proxies").proxies), as_numpy(layer.proxies)
    )
    table = as_numpy(layer.proxies).copy()
    table[19_999, 1] = np.nan
    layer.proxies.assign(table)
    khp.models.EmbeddingModel(inputs, layer(inputs)).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="NaN or infinite"):
        keras_files.load(tmp_path / "model.keras")


def peak():
    """The most memory of this process since the last call, in bytes."""
    status = pathlib.Path("/proc/self/status").read_text()
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.nightly  # tables of 100 MB
@pytest.mark.parametrize("kind", ["dense", "taxonomy", "sampled", "with Adam"])
def test_building_saving_and_loading_take_little_more_than_the_table(kind, tmp_path):
    if not pathlib.Path("/proc/self/clear_refs").exists():
        pytest.skip("measured on Linux alone")

    def build(classes):
        inputs = keras.Input((64,))
        if kind == "taxonomy":
            taxonomy = (np.arange(classes) % 1000)[:, None]
            layer = khp.layers.HierProxies(classes, taxonomy=taxonomy)
        elif kind == "sampled":
            layer = khp.layers.SampledProxies(classes)
        else:
            layer = khp.layers.Proxies(classes)
        model = khp.models.EmbeddingModel(inputs, layer(inputs))
        if kind == "with Adam":
            model.compile(khp.optimizers.grouped(model), khp.losses.ProxyNCALoss())
            model.optimizer.build(model.trainable_variables)
        return model

    def measured(work, *args):
        gc.collect()
        peak()
        before = peak()
        result = work(*args)
        return result, peak() - before

    classes, path = 400_000, tmp_path / "model.keras"
    build(270_000).save(path)  # imports, and what is compiled once
    keras.models.load_model(path)
    size = classes * 64 * 4
    # Adam's moments are tables, too.
    tables = size * (3 if kind in ("sampled", "with Adam") else 1)
    model, of_build = measured(build, classes)
    _, of_save = measured(model.save, path)
    del model
    _, of_load = measured(keras.models.load_model, path)
    assert of_build < 2.5 * tables
    # The model was there before.
    assert of_save < 1.5 * tables
    assert of_load < 2.5 * tables
