"""`grouped`: which variable learns at which rate, and when."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny

STILL = {"backbone": 0.0, "head": 0.0, "proxies": 0.0, "weight_decay": 0.0}


@pytest.fixture
def model():
    """A model of a backbone with dropout and normalisation, a head, and proxies."""
    inner = keras.Input((6,))
    x = keras.layers.Dense(5, name="inner")(inner)
    x = keras.layers.Dropout(0.1)(keras.layers.BatchNormalization(name="norm")(x))
    backbone = keras.Model(inner, x, name="backbone")
    inputs = keras.Input((6,))
    x = keras.layers.Dropout(0.1)(keras.layers.Dense(8, name="outer")(backbone(inputs)))
    outputs = khp.layers.HierProxies(4, level_sizes=(2,), name="proxies")(x)
    return khp.models.EmbeddingModel(inputs, outputs)


def group_of(variable):
    layer = variable.path.split("/")[0]
    return {"inner": "backbone", "norm": "backbone", "outer": "head"}.get(
        layer, "proxies"
    )


def moved_groups(model, before):
    after = tiny.values(model.trainable_variables)
    return {
        group_of(v)
        for v in model.trainable_variables
        if (before[v.path] != after[v.path]).any()
    }


def train(model, optimizer, loss=None, **options):
    """The groups that a run moves."""
    loss = loss or khp.losses.ProxyAnchorLoss()
    model.compile(optimizer, loss=loss, run_eagerly=tiny.EAGERLY)
    before = tiny.values(model.trainable_variables)
    tiny.fit(model, **options)
    return moved_groups(model, before)


@pytest.mark.parametrize("group", ["backbone", "head", "proxies"])
def test_each_group_has_its_rate(model, group):
    optimizer = khp.optimizers.grouped(model, **{**STILL, group: 1e-2})
    assert train(model, optimizer) == {group}


def test_adam_moves_by_the_rate(model):
    rates = {"backbone": 1e-4, "head": 1e-3, "proxies": 1e-2}
    model.compile(
        khp.optimizers.grouped(model, **rates, weight_decay=0.0),
        loss=khp.losses.ProxyAnchorLoss(),
        run_eagerly=tiny.EAGERLY,
    )
    before = tiny.values(model.trainable_variables)
    tiny.fit(model, batch_size=24)
    after = tiny.values(model.trainable_variables)
    for path, group in [
        ("inner/kernel", "backbone"),
        ("outer/kernel", "head"),
        ("proxies/proxies", "proxies"),
    ]:
        # The first step of Adam is the rate, whatever the gradient.
        step = np.abs(after[path] - before[path]).max()
        assert step == pytest.approx(rates[group], rel=0.02)


def test_epsilon_bounds_the_step(model):
    model.compile(
        khp.optimizers.grouped(model, head=1e-3, weight_decay=0.0, epsilon=1e6),
        loss=khp.losses.ProxyAnchorLoss(),
        run_eagerly=tiny.EAGERLY,
    )
    before = tiny.values(model.trainable_variables)
    tiny.fit(model, batch_size=24)
    after = tiny.values(model.trainable_variables)
    assert np.abs(after["outer/kernel"] - before["outer/kernel"]).max() < 1e-6


def test_every_variable_of_the_model_is_in_one_optimizer(model):
    optimizer = khp.optimizers.grouped(model)
    optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        rate = float(
            keras.ops.convert_to_numpy(optimizer._optimizer_map(variable).learning_rate)
        )
        expected = {"backbone": 1e-5, "head": 1e-4, "proxies": 1e-2}[group_of(variable)]
        assert rate == pytest.approx(expected), variable.path
    assert len(optimizer.optimizers) == 3


def test_a_model_without_a_backbone():
    model = tiny.embedding_model()
    assert model.backbone is None
    optimizer = khp.optimizers.grouped(model, **{**STILL, "head": 1e-3})
    model.compile(optimizer, khp.losses.ProxyAnchorLoss(), run_eagerly=tiny.EAGERLY)
    before = tiny.values(model.trainable_variables)
    tiny.fit(model)
    after = tiny.values(model.trainable_variables)
    moved = [path for path in before if (before[path] != after[path]).any()]
    assert moved == ["dense/kernel", "dense/bias"]


def test_a_layer_of_the_users_own_joins_a_group():
    layer = keras.layers.Dense(8, name="own")
    layer.optimizer_group = "proxies"
    inputs = keras.Input((6,))
    model = khp.models.EmbeddingModel(inputs, khp.layers.Proxies(4)(layer(inputs)))
    optimizer = khp.optimizers.grouped(model, proxies=0.5)
    rate = optimizer._optimizer_map(layer.kernel).learning_rate
    assert float(keras.ops.convert_to_numpy(rate)) == 0.5


def test_weight_decay_is_for_all_groups(model):
    for each in khp.optimizers.grouped(model, weight_decay=0.25).optimizers:
        assert each.weight_decay == 0.25


def test_gradients_are_clipped(model):
    for each in khp.optimizers.grouped(model, clipvalue=0.5).optimizers:
        assert each.clipvalue == 0.5


def test_the_backbone_stands_still_while_warming_up(model):
    optimizer = khp.optimizers.grouped(
        model, backbone=1e-2, head=1e-2, weight_decay=0.1, warmup_steps=3
    )
    # An epoch has three steps.
    assert train(model, optimizer) == {"head", "proxies"}
    before = tiny.values(model.trainable_variables)
    tiny.fit(model, batch_size=24)
    assert moved_groups(model, before) == {"backbone", "head", "proxies"}


def test_the_first_step_moves_all_but_the_backbone(model):
    optimizer = khp.optimizers.grouped(model, head=1e-2, warmup_steps=1)
    assert train(model, optimizer, batch_size=24) == {"head", "proxies"}


def test_a_schedule_multiplies_all_rates(model):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [1.0, 0.5])
    optimizer = khp.optimizers.grouped(
        model, backbone=0.2, head=0.4, proxies=0.8, schedule=schedule, warmup_steps=1
    )
    rates = {
        group_of(v): optimizer._optimizer_map(v)._learning_rate
        for v in model.trainable_variables
    }
    for step, expected in [
        (0, (0.0, 0.4, 0.8)),
        (1, (0.2, 0.4, 0.8)),
        (2, (0.1, 0.2, 0.4)),
    ]:
        at_step = [
            float(keras.ops.convert_to_numpy(rates[group](step)))
            for group in ("backbone", "head", "proxies")
        ]
        assert at_step == pytest.approx(expected)


def test_a_rate_survives_serialization():
    schedule = keras.optimizers.schedules.CosineDecay(1.0, decay_steps=10)
    rate = khp.optimizers.GroupRate(0.5, schedule, frozen_steps=2)
    config = keras.saving.serialize_keras_object(rate)
    again = keras.saving.deserialize_keras_object(config)
    steps = range(12)
    assert [float(again(s)) for s in steps] == [float(rate(s)) for s in steps]
    assert float(again(1)) == 0 and float(again(2)) > 0


def test_an_unbuilt_model():
    model = keras.Sequential([keras.layers.Dense(3)], name="unbuilt")
    with pytest.raises(ValueError, match="needs a built model.*'unbuilt'"):
        khp.optimizers.grouped(model)


def test_variables_of_two_groups_with_one_path():
    inner = keras.Input((6,))
    backbone = keras.Model(inner, keras.layers.Dense(5, name="twin")(inner))
    inputs = keras.Input((6,))
    x = keras.layers.Dense(8, name="twin")(backbone(inputs))
    model = khp.models.EmbeddingModel(inputs, khp.layers.Proxies(4)(x))
    with pytest.raises(ValueError, match="backbone.*head.*'twin/kernel'"):
        khp.optimizers.grouped(model)


@pytest.mark.parametrize(
    "callback",
    [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
        keras.callbacks.ReduceLROnPlateau(monitor="loss"),
    ],
)
def test_callbacks_that_set_one_rate_are_refused(callback):
    model = tiny.compiled_model(optimizer="auto")
    with pytest.raises(ValueError, match="one learning rate.*schedule="):
        tiny.fit(model, callbacks=[callback])
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 0
    # They are at home with one optimizer.
    model.compile("adam", loss=khp.losses.ProxyAnchorLoss(), run_eagerly=tiny.EAGERLY)
    tiny.fit(model, callbacks=[callback])


def saved_numbers(model, path):
    """How many numbers of optimizer state a saved model holds."""
    import h5py

    model.save_weights(path)
    sizes = []

    def add(name, item):
        if name.startswith("optimizer") and isinstance(item, h5py.Dataset):
            sizes.append(item.size)

    with h5py.File(path) as file:
        file.visititems(add)
    return sum(sizes)


def test_the_state_is_saved_once_and_loaded(model, tmp_path):
    train(model, khp.optimizers.grouped(model))
    path = tmp_path / "a.weights.h5"
    state = [np.array(variable) for variable in model.optimizer.variables]
    assert saved_numbers(model, path) == sum(value.size for value in state)
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    model.load_weights(path)
    for variable, value in zip(model.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(np.array(variable), value)


def test_a_state_that_was_saved_twice_is_loaded(model, tmp_path):
    train(model, khp.optimizers.grouped(model))
    path = tmp_path / "a.weights.h5"
    state = [np.array(variable) for variable in model.optimizer.variables]
    for optimizer in (model.optimizer, *model.optimizer.optimizers):
        del optimizer.save_own_variables  # as Keras itself saves it
    assert saved_numbers(model, path) > sum(value.size for value in state)
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    model.load_weights(path)
    for variable, value in zip(model.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(np.array(variable), value)


def test_gradients_accumulate(model):
    options = {**STILL, "proxies": 1e-2, "gradient_accumulation_steps": 2}
    loss = khp.losses.NormalizedSoftmaxLoss()
    model.compile(
        khp.optimizers.grouped(model, **options),
        loss=loss,
        run_eagerly=tiny.EAGERLY,
    )
    proxies = model.get_layer("proxies").proxies
    before = np.array(proxies)
    model.fit(tiny.INPUTS[:4], tiny.LABELS[:4], batch_size=4, verbose=0)
    np.testing.assert_array_equal(np.array(proxies), before)
    model.fit(tiny.INPUTS[4:8], tiny.LABELS[4:8], batch_size=4, verbose=0)
    assert (np.array(proxies) != before).any()
