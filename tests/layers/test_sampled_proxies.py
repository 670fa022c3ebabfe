import keras
import numpy as np
import pytest

import keras_hierproxy as khp

CLASSES, DIMENSION = 40, 8


def as_numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def vectors(n=96, num_classes=CLASSES):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 12)).astype("float32")
    return x, rng.integers(0, num_classes, n)


def model_of(layer):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((12,))
    hidden = keras.layers.Dense(DIMENSION, name="head")(inputs)
    return khp.models.EmbeddingModel(inputs, layer(hidden))


def sampled(num_sampled=20, num_classes=CLASSES, **options):
    options.setdefault("initializer", keras.initializers.RandomNormal(seed=3))
    return khp.layers.SampledProxies(num_classes, num_sampled, seed=5, **options)


def trained(layer, loss, optimizer, epochs=3):
    model = model_of(layer)
    model.compile(optimizer(model), loss=loss)
    x, y = vectors(num_classes=layer.num_classes)
    model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    return model


OPTIMIZERS = {
    "grouped": ("adam", lambda m: khp.optimizers.grouped(m, head=1e-2, clipvalue=0.1)),
    "schedule": (
        "adam",
        lambda m: keras.optimizers.AdamW(
            keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), weight_decay=0.1
        ),
    ),
    "sgd": ("sgd", lambda m: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)),
    "plain sgd": ("sgd", lambda m: keras.optimizers.SGD(0.05, clipnorm=1.0)),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_sampled_is_all(optimizer):
    """Loss and every update are those of `Proxies`."""
    rule, optimizer = OPTIMIZERS[optimizer]
    ends = []
    for kind, options in (
        (khp.layers.Proxies, {}),
        (khp.layers.SampledProxies, {"num_sampled": CLASSES, "rule": rule}),
    ):
        initializer = keras.initializers.RandomNormal(seed=3)
        layer = kind(CLASSES, initializer=initializer, **options)
        model = trained(layer, khp.losses.NormalizedSoftmaxLoss(), optimizer)
        head = model.get_layer("head").kernel
        ends.append([as_numpy(layer.proxies), as_numpy(head), model.history.history])
    assert np.abs(ends[0][0] - ends[1][0]).max() < 3e-5
    assert np.abs(ends[0][1] - ends[1][1]).max() < 3e-5
    np.testing.assert_allclose(ends[0][2]["loss"], ends[1][2]["loss"], rtol=1e-5)


LOSSES = {
    "proxy anchor": (khp.losses.ProxyAnchorLoss, 1),
    "proxy nca": (khp.losses.ProxyNCALoss, 1),
    "cosface": (khp.losses.CosFaceLoss, 1),
    "arcface": (khp.losses.ArcFaceLoss, 1),
    "soft triple": (khp.losses.SoftTripleLoss, 3),
    "sub-center": (khp.losses.SubCenterArcFaceLoss, 2),
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_reads_it(name):
    loss, centers = LOSSES[name]
    every = {}
    for kind, options in (
        (khp.layers.Proxies, {}),
        (khp.layers.SampledProxies, {"num_sampled": CLASSES}),
        (khp.layers.SampledProxies, {"num_sampled": 24, "seed": 1}),
    ):
        initializer = keras.initializers.RandomNormal(seed=3)
        layer = kind(
            CLASSES, centers_per_class=centers, initializer=initializer, **options
        )
        x, y = vectors(16)
        points = layer(x[:, :DIMENSION])
        every[len(every)] = float(as_numpy(loss(proxies=layer)(y, points)))
    assert every[0] == pytest.approx(every[1], rel=1e-6)
    assert 0 < every[2] < np.inf and every[2] != every[0]


def test_only_what_was_drawn_moves():
    layer = sampled(18, num_classes=1000)
    model = model_of(layer)
    model.compile(
        keras.optimizers.AdamW(0.1, weight_decay=0.1),
        loss=khp.losses.NormalizedSoftmaxLoss(),
    )
    x, y = vectors(16, 1000)
    before = as_numpy(layer.proxies).copy()
    drawn = set()
    for _ in range(3):
        model.train_on_batch(x, y)
        ids = as_numpy(layer._ids)
        assert len(set(ids)) == 18 and set(y) <= set(ids)
        drawn |= set(ids)
    after = as_numpy(layer.proxies)
    moved = np.flatnonzero((before != after).any(1))
    assert set(moved) == drawn
    assert 18 < len(drawn) <= len(set(y)) + 3 * (18 - len(set(y)))


def test_moments_fade_while_a_row_is_not_drawn():
    """Adam's own, with gradients of 0 in between; the row itself keeps still."""
    layer = sampled(2, num_classes=4)
    layer.build((None, DIMENSION))
    rng = np.random.default_rng(0)
    table = as_numpy(layer.proxies).copy()
    rule = keras.optimizers.AdamW(0.1, weight_decay=0.1)
    layer.follow(khp.optimizers.RowWise(rule))
    reference = {"w": table.astype("float64"), "m": 0 * table, "v": 0 * table}
    for step, ids in enumerate([[0, 1], [2, 3], [1, 2], [0, 3]], start=1):
        gradient = rng.normal(size=(2, DIMENSION)).astype("float32")
        marks = np.full((2, DIMENSION), [[0.1], [step]], "float32")
        layer._ids.assign(np.array(ids))
        layer._gradient.assign(np.concatenate([gradient, marks]))
        full = np.zeros((4, DIMENSION))
        full[ids] = gradient
        reference["m"] = 0.9 * reference["m"] + 0.1 * full
        reference["v"] = 0.999 * reference["v"] + 0.001 * full**2
        m, v = (reference[name][ids] for name in "mv")
        w = reference["w"][ids] * (1 - 0.1 * 0.1)
        rate = 0.1 * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        reference["w"][ids] = w - rate * m / (v**0.5 + 1e-7)
        np.testing.assert_allclose(as_numpy(layer.proxies), reference["w"], atol=1e-5)


def estimates(loss, num_draws=400, **options):
    """The values of a loss over random draws, and that of all classes."""
    initializer = keras.initializers.RandomNormal(seed=3)
    x, y = vectors(6, 60)
    x = x[:, :DIMENSION]
    full = khp.layers.Proxies(60, initializer=initializer)
    expected = float(as_numpy(loss(proxies=full)(y, full(x))))
    layer = sampled(12, num_classes=60, **options)
    layer.build((None, DIMENSION))
    layer._gradient.trainable = False  # nothing is learned
    bound = loss(proxies=layer)
    values = []
    for _ in range(num_draws):
        points = layer(x, training=True)
        values.append(float(as_numpy(bound(y, points))))
    return np.array(values), expected


class SumOfExp(khp.losses.ProxyLoss):
    """What a softmax divides by: its logarithm is biased, this is not."""

    def __init__(self, proxies=None):
        super().__init__(proxies, "sum_of_exp")

    def value(self, labels, embeddings, weights, proxies, counts=1.0):
        cosines = khp.ops.cosine_similarity(embeddings, proxies)
        return keras.ops.mean(keras.ops.sum(counts * keras.ops.exp(3 * cosines), 1))


@pytest.mark.nightly  # hundreds of steps
@pytest.mark.parametrize("loss", [SumOfExp, khp.losses.ProxyAnchorLoss])
def test_sums_over_classes_are_estimated_without_bias(loss):
    values, expected = estimates(loss)
    error = values.std() / len(values) ** 0.5
    assert abs(values.mean() - expected) < 4 * error


@pytest.mark.nightly
def test_without_correction_the_drawn_are_all_there_is():
    uncorrected, expected = estimates(SumOfExp, correction=False)
    error = uncorrected.std() / len(uncorrected) ** 0.5
    assert abs(uncorrected.mean() - expected) > 4 * error


def test_softmax_adds_the_logarithm():
    layer = sampled(12, num_classes=60)
    x, y = vectors(6, 60)
    points = layer(x[:, :DIMENSION])
    drawn = layer.drawn(keras.ops.convert_to_tensor(y.astype("int32")))
    counts, own = as_numpy(drawn.counts), len(set(y))
    np.testing.assert_allclose(counts[:own], 1)
    np.testing.assert_allclose(counts[own:], (60 - own) / (12 - own), rtol=1e-6)
    rows = as_numpy(drawn.proxies)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    unit = x[:, :DIMENSION] / np.linalg.norm(x[:, :DIMENSION], axis=1, keepdims=True)
    logits = unit @ rows.T / 0.05
    of_own = logits[np.arange(6), as_numpy(drawn.labels)]
    expected = np.log((np.exp(logits) * counts).sum(1)) - of_own
    value = khp.losses.NormalizedSoftmaxLoss(proxies=layer)(y, points)
    assert float(as_numpy(value)) == pytest.approx(expected.mean(), rel=1e-4)


@pytest.mark.nightly  # thousands of small steps
@pytest.mark.parametrize("centers", [1, 3])
@pytest.mark.parametrize("per_proxy", [False, True])
def test_orthogonality_is_estimated_without_bias(centers, per_proxy):
    regularizer = khp.regularizers.SoftOrthogonality(0.5, per_proxy=per_proxy)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(15, centers, 4)).astype("float32") + 0.3
    whole = float(as_numpy(regularizer(rows.reshape(-1, 4))))
    values = []
    for _ in range(1500):
        order = np.concatenate([[0, 1, 2], 3 + rng.permutation(12)[:4]])
        drawn = rows[order] if centers > 1 else rows[order, 0]
        values.append(float(as_numpy(regularizer.of_drawn(drawn, 3, 15))))
    assert np.std(values) > 0
    assert abs(np.mean(values) - whole) < 4 * np.std(values) / len(values) ** 0.5
    everything = rows if centers > 1 else rows[:, 0]
    exact = float(as_numpy(regularizer.of_drawn(everything, 3, 15)))
    assert exact == pytest.approx(whole, rel=1e-5)


def test_orthogonality_is_part_of_the_loss_once():
    regularizer = khp.regularizers.SoftOrthogonality(0.5)
    plain, penalized = sampled(30), sampled(30, regularizer=regularizer)
    loss = khp.losses.NormalizedSoftmaxLoss() + khp.losses.ProxyNCALoss()
    values = []
    for layer in (plain, penalized):
        model = model_of(layer)
        model.compile("adamw", loss=loss)
        values.append(model.evaluate(*vectors(16), verbose=0))
    x, y = vectors(16)
    penalized(x[:, :DIMENSION])
    drawn = penalized.drawn(keras.ops.convert_to_tensor(y.astype("int32")))
    values = [value[0] if isinstance(value, list) else value for value in values]
    penalty = float(as_numpy(drawn.penalty))
    assert values[1] - values[0] == pytest.approx(penalty, rel=1e-3)


@pytest.mark.parametrize("levels", [{"level_sizes": (6, 2)}, {"taxonomy": True}])
def test_coarse_levels_are_not_sampled(levels):
    if "taxonomy" in levels:
        levels = {"taxonomy": (np.arange(CLASSES) % 5)[:, None]}
    layer = sampled(24, **levels)
    model = trained(layer, khp.losses.HierProxyLoss(), khp.optimizers.grouped, 4)
    assert as_numpy(layer.ready) == 1
    assert layer.tree().num_leaves == CLASSES
    assert np.isfinite(model.history.history["loss"]).all()


def test_a_step_waits_for_nothing_that_reads(tmp_path):
    """The last step is in what is read, saved and loaded."""
    layer = sampled(24)
    model = trained(layer, khp.losses.ProxyAnchorLoss(), khp.optimizers.grouped, 1)
    before = as_numpy(layer._table).copy()
    model.save(tmp_path / "model.keras")
    now = as_numpy(layer._table)
    assert np.abs(before - now).max() > 1e-4
    again = keras.models.load_model(tmp_path / "model.keras")
    loaded = next(each for each in again.layers if each.name == layer.name)
    np.testing.assert_array_equal(as_numpy(loaded.proxies), now)
    assert loaded.get_config() == layer.get_config()


def test_goes_on_bit_for_bit(tmp_path):
    x, y = vectors()
    ends = []
    for parts in ([4], [2, 4]):
        folder = tmp_path / str(len(parts))
        for epochs in parts:
            layer = sampled(24)
            model = model_of(layer)
            model.compile(khp.optimizers.grouped(model), khp.losses.ProxyAnchorLoss())
            backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
            options = {"callbacks": [backup], "verbose": 0, "batch_size": 16}
            model.fit(x, y, epochs=epochs, **options)
        ends.append([as_numpy(layer.proxies), *map(as_numpy, layer._moments)])
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)


def test_evaluation_draws_nothing_from_training():
    layer = sampled(24)
    model = trained(layer, khp.losses.ProxyAnchorLoss(), khp.optimizers.grouped, 1)
    state = as_numpy(layer._random.state).copy()
    first, again = (
        model.evaluate(*vectors(), batch_size=16, verbose=0) for _ in range(2)
    )
    assert first == again
    np.testing.assert_array_equal(as_numpy(layer._random.state), state)


def message(call):
    with pytest.raises(ValueError) as error:
        call()
    return str(error.value)


def test_says_what_it_cannot_do():
    assert "at most the number of classes, 40" in message(lambda: sampled(41))
    loss = khp.losses.NormalizedSoftmaxLoss()
    x, y = vectors()

    def fit(layer, optimizer="adamw", loss=loss, labels=y):
        model = model_of(layer)
        model.compile(optimizer, loss=loss)
        model.fit(x, labels, batch_size=32, verbose=0)

    few = message(lambda: fit(sampled(20)))
    assert "num_sampled=20" in few and "classes: pass num_sampled=" in few
    model = model_of(sampled(20))
    model.compile("adamw", loss=loss)
    for on_batch in (model.train_on_batch, model.test_on_batch):
        told = message(lambda on_batch=on_batch: on_batch(x[:40], y[:40]))
        assert "num_sampled=20" in told
    assert "class ids" in message(lambda: fit(sampled(32), labels=y + 30))
    lion = message(lambda: fit(sampled(32), "lion"))
    assert "Adam, AdamW or SGD" in lion
    assert "rule='adam'" in message(lambda: fit(sampled(32), "sgd"))
    accumulating = keras.optimizers.Adam(gradient_accumulation_steps=2)
    assert "gradient_accumulation_steps" in message(
        lambda: fit(sampled(32), accumulating)
    )
    l2 = keras.regularizers.L2()
    assert "SoftOrthogonality" in message(lambda: sampled(32, regularizer=l2))

    class Everything(khp.losses.ProxyLoss):
        def value(self, labels, embeddings, weights, proxies):
            return keras.ops.mean(embeddings @ keras.ops.transpose(proxies))

    everything = Everything(name="everything")
    assert "counts=None" in message(lambda: fit(sampled(32), loss=everything))
    fit(sampled(32, correction=False), loss=Everything(name="everything"))
    assert "every proxy at once" in message(sampled(32).class_proxies)


def test_a_plain_model_is_told_of_grouped():
    def plain():
        layer = sampled(24)
        inputs = keras.Input((DIMENSION,))
        model = keras.Model(inputs, layer(inputs))
        return layer, model, khp.losses.NormalizedSoftmaxLoss(proxies=layer)

    x, y = vectors()
    layer, model, loss = plain()
    model.compile("adam", loss=loss)
    assert "khp.optimizers.grouped" in message(
        lambda: model.fit(x[:, :DIMENSION], y, batch_size=16, verbose=0)
    )
    layer, model, loss = plain()
    model.compile(khp.optimizers.grouped(model), loss=loss)
    before = as_numpy(layer.proxies).copy()
    model.fit(x[:, :DIMENSION], y, batch_size=16, verbose=0)
    assert (as_numpy(layer.proxies) != before).any()
