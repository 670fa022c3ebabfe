"""When the hierarchy is learned anew, and who sees to it."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.callbacks import HierarchyUpdate
from tests import tiny


@pytest.fixture
def refreshes(monkeypatch):
    """The seeds of all refreshes."""
    seeds = []
    refresh = khp.layers.HierProxies.refresh

    def spy(layer, seed=0, verbose=True):
        seeds.append(seed)
        refresh(layer, seed, verbose)

    monkeypatch.setattr(khp.layers.HierProxies, "refresh", spy)
    return seeds


def hierarchical(**options):
    loss = khp.losses.HierProxyLoss("proxy_nca")
    return tiny.compiled_model(loss, optimizer="sgd", **options)


@pytest.mark.parametrize(
    "warmup_epochs, every, initial_epoch, expected",
    [
        (2, 2, 0, [2, 4, 6]),
        (0, 3, 0, [0, 3, 6]),
        (1, 1, 0, [1, 2, 3, 4, 5, 6]),
        # Counted from 0, whenever the run began.
        (2, 2, 3, [4, 6]),
        (2, 3, 5, [5]),
        (9, 1, 0, []),
    ],
)
@pytest.mark.filterwarnings("ignore:The hierarchy")
def test_the_schedule(refreshes, warmup_epochs, every, initial_epoch, expected):
    update = HierarchyUpdate(warmup_epochs, every, seed=10)
    update.set_model(tiny.embedding_model())
    update.set_params({"epochs": 7})
    update.on_train_begin()
    for epoch in range(initial_epoch, 7):
        update.on_epoch_begin(epoch)
    assert refreshes == [10 + epoch for epoch in expected]


def test_fit_follows_the_schedule(refreshes):
    model = hierarchical()
    update = HierarchyUpdate(warmup_epochs=1, every=2)
    tiny.fit(model, epochs=5, initial_epoch=2, callbacks=[update], batch_size=24)
    assert refreshes == [3]


def test_fit_adds_it_once(refreshes):
    model = hierarchical()
    tiny.fit(model, epochs=5, batch_size=24)
    assert refreshes == [2, 4]
    tiny.fit(model, epochs=6, initial_epoch=5, batch_size=24)
    tiny.fit(model, epochs=2, callbacks=[HierarchyUpdate(1)], batch_size=24)
    assert refreshes == [2, 4, 1]


def test_fit_adds_it_for_a_loss_within_a_sum(refreshes):
    loss = khp.losses.SupConLoss() + khp.losses.HierProxyLoss()
    tiny.fit(tiny.compiled_model(loss), epochs=3, batch_size=24)
    assert refreshes == [2]


@pytest.mark.parametrize("case", ["other loss", "taxonomy", "flat proxies"])
def test_fit_does_not_add_it_where_nothing_is_learned(refreshes, case):
    layer = {
        "other loss": None,
        "taxonomy": khp.layers.HierProxies(4, taxonomy=[[0], [0], [1], [1]]),
        "flat proxies": khp.layers.Proxies(4),
    }[case]
    hier = case == "taxonomy"
    loss = khp.losses.HierProxyLoss() if hier else khp.losses.ProxyNCALoss()
    model = tiny.compiled_model(loss, layer, optimizer="sgd")
    tiny.fit(model, epochs=3, batch_size=24)
    assert refreshes == []


def test_a_refresh_shows_in_the_next_step():
    """On JAX variables written between epochs must reach the compiled step."""
    model = hierarchical()
    layer = model.get_layer("proxies")
    fine = khp.losses.ProxyNCALoss(proxies=layer)
    update = HierarchyUpdate(warmup_epochs=1)
    with pytest.warns(UserWarning, match="first learned before epoch 2"):
        tiny.fit(model, callbacks=[update], epochs=1, batch_size=24)
    model.optimizer.learning_rate = 0.0
    history = tiny.fit(
        model, callbacks=[update], initial_epoch=1, epochs=2, batch_size=24
    )
    alone = float(keras.ops.convert_to_numpy(fine(tiny.LABELS, model(tiny.INPUTS))))
    assert history["loss"][0] > alone * 1.05
    expected = model.evaluate(tiny.INPUTS, tiny.LABELS, 24, verbose=0)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_a_model_without_a_hierarchy():
    model = tiny.compiled_model(layer=khp.layers.Proxies(4))
    with pytest.raises(ValueError, match="no hierarchy to learn"):
        tiny.fit(model, callbacks=[HierarchyUpdate()])


def test_a_run_too_short_to_learn_one():
    model = hierarchical()
    with pytest.warns(
        UserWarning, match="first learned before epoch 3.*ends with epoch"
    ):
        tiny.fit(model, epochs=2)


def test_a_short_run_of_one_that_is_learned(recwarn):
    model = hierarchical()
    model.get_layer("proxies").refresh()
    tiny.fit(model, epochs=1)
    assert not [w for w in recwarn if "hierarchy" in str(w.message)]


@pytest.mark.parametrize("settings", [{"warmup_epochs": -1}, {"every": 0}])
def test_impossible_schedules(settings):
    with pytest.raises(ValueError, match="`(warmup_epochs|every)` must be"):
        HierarchyUpdate(**settings)


@pytest.mark.parametrize("verbose", [0, 2])
def test_a_refresh_is_told(verbose, capsys):
    update = HierarchyUpdate(warmup_epochs=1, every=3)
    model = hierarchical()
    data = (tiny.INPUTS, tiny.LABELS)
    model.fit(*data, epochs=2, callbacks=[update], batch_size=24, verbose=verbose)
    told = capsys.readouterr().out.count("Hierarchy of 'proxies' learned in ")
    assert told == bool(verbose)


def test_every_level_is_learned():
    layer = khp.layers.HierProxies(4, level_sizes=(3, 2), name="proxies")
    model = tiny.compiled_model(khp.losses.HierProxyLoss(), layer, optimizer="sgd")
    tiny.fit(model, callbacks=[HierarchyUpdate(0)], batch_size=24)
    assert len(np.unique(layer.parents(1))) == 3
    assert len(np.unique(layer.parents(2))) == 2
