"""Every loss trains what it reads, and leaves the rest of the proxies alone."""

import itertools

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny

OVER_PROXIES = [
    "ProxyAnchorLoss",
    "ProxyNCALoss",
    "NormalizedSoftmaxLoss",
    "SoftTripleLoss",
    "CosFaceLoss",
    "ArcFaceLoss",
    "SubCenterArcFaceLoss",
]
OVER_PAIRS = ["MultiSimilarityLoss", "SupConLoss", "TripletLoss"]
SEVERAL_CENTERS = ["SoftTripleLoss", "SubCenterArcFaceLoss"]


def hierarchy(**options):
    """A hierarchy that is ready, so that its coarse proxies are not zero."""
    taxonomy = [[0], [0], [1], [1]]
    return khp.layers.HierProxies(tiny.NUM_CLASSES, taxonomy=taxonomy, **options)


def assert_trains_only(model, expected, **options):
    """Asserts that of all proxies a run moves the expected variables alone."""
    layer = model.layers[-1]
    before = tiny.values(model.weights)
    history = tiny.fit(model, **options)
    after = tiny.values(model.weights)
    assert np.isfinite(history["loss"]).all()
    assert (after["dense/kernel"] != before["dense/kernel"]).any()
    for variable in layer.proxy_variables():
        moved = (after[variable.path] != before[variable.path]).any()
        read = any(variable is each for each in expected)
        assert moved == read, f"{variable.path} {'moved' if moved else 'stood still'}"


@pytest.mark.parametrize(
    "name, layer_class",
    [
        *itertools.product([*OVER_PROXIES, *OVER_PAIRS], ["Proxies", "HierProxies"]),
        ("HierProxyLoss", "HierProxies"),
    ],
)
def test_every_loss_with_grouped_rates(name, layer_class):
    centers = 2 if name in SEVERAL_CENTERS else 1
    layer = hierarchy(centers_per_class=centers)
    if layer_class == "Proxies":
        layer = khp.layers.Proxies(tiny.NUM_CLASSES, centers_per_class=centers)
    model = tiny.embedding_model(layer)
    model.compile(
        khp.optimizers.grouped(model, weight_decay=0.1),
        loss=getattr(khp.losses, name)(),
        # Once on each path: Keras treats unread variables differently in graphs.
        run_eagerly=tiny.EAGERLY and layer_class == "Proxies",
    )
    expected = [] if name in OVER_PAIRS else [layer.proxies]
    if name == "HierProxyLoss":
        expected = layer.proxy_variables()
    assert_trains_only(model, expected)


@pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="makes no variables in a step"
)
def test_a_step_is_traced_once():
    traced = []

    class Traced(khp.losses.ProxyNCALoss):
        def call(self, *arguments):
            traced.append(arguments)
            return super().call(*arguments)

    model = tiny.compiled_model(Traced(), run_eagerly=False)
    tiny.fit(model, epochs=2)
    assert len(traced) == 1


def test_training_lowers_the_loss():
    model = tiny.embedding_model()
    optimizer = khp.optimizers.grouped(model, head=0.05, proxies=0.05)
    loss = khp.losses.HierProxyLoss("normalized_softmax")
    model.compile(optimizer, loss=loss, run_eagerly=tiny.EAGERLY)
    update = khp.callbacks.HierarchyUpdate(warmup_epochs=0, every=100)
    history = tiny.fit(model, epochs=10, callbacks=[update])
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def decayed():
    return keras.optimizers.AdamW(0.01, weight_decay=0.1)


def test_what_is_not_read_stands_still_until_recompiled():
    layer = hierarchy(regularizer=khp.regularizers.SoftOrthogonality(10.0))
    model = tiny.compiled_model(khp.losses.SupConLoss(), layer, optimizer=decayed())
    assert_trains_only(model, [])
    model.compile(decayed(), loss=khp.losses.ProxyNCALoss())
    assert_trains_only(model, [layer.proxies])
    model.compile("auto", loss=khp.losses.HierProxyLoss("proxy_nca"))
    assert_trains_only(model, layer.proxy_variables())
    model.compile("auto", loss=khp.losses.TripletLoss())
    assert_trains_only(model, [])


def test_a_level_of_weight_zero_stands_still():
    layer = hierarchy()
    loss = khp.losses.HierProxyLoss("proxy_nca", level_weights=[1.0, 0.0])
    model = tiny.compiled_model(loss, layer, optimizer=decayed())
    assert_trains_only(model, [layer.proxies])


def test_a_frozen_layer_stays_frozen():
    layer = hierarchy()
    layer.trainable = False
    model = tiny.compiled_model(layer=layer, optimizer=decayed())
    assert_trains_only(model, [])
    layer.trainable = True
    model.compile(decayed(), loss=khp.losses.ProxyAnchorLoss())
    assert_trains_only(model, [layer.proxies])


def test_coarse_proxies_wait_for_the_first_refresh():
    model = tiny.compiled_model(khp.losses.HierProxyLoss(), optimizer=decayed())
    layer = model.get_layer("proxies")
    update = khp.callbacks.HierarchyUpdate(warmup_epochs=1)
    fine = khp.losses.ProxyAnchorLoss(proxies=layer)
    before = keras.ops.convert_to_numpy(fine(tiny.LABELS, model(tiny.INPUTS)))
    history = tiny.fit(model, callbacks=[update], batch_size=24, shuffle=False)
    assert history["loss"] == pytest.approx([float(before)], rel=1e-5)
    (coarse,) = layer.coarse_proxies
    assert not tiny.values([coarse])[coarse.path].any()
    assert not float(keras.ops.convert_to_numpy(layer.ready))

    tiny.fit(model, callbacks=[update], initial_epoch=1, epochs=2)
    assert float(keras.ops.convert_to_numpy(layer.ready))
    centroids = coarse.numpy() if hasattr(coarse, "numpy") else np.array(coarse)
    assert (np.abs(np.linalg.norm(centroids, axis=1) - 1) > 1e-6).all(), "they learn"


@pytest.mark.parametrize("optimizer", ["sgd", "auto"])
def test_losses_of_keras_read_no_proxies(optimizer):
    model = tiny.compiled_model("mse", optimizer=optimizer)
    assert_trains_only(model, [], y=np.zeros((24, 8), "float32"))


def test_a_function_as_the_loss_may_read_any_proxies():
    layer = hierarchy()

    def distance_to_proxies(y_true, y_pred):
        own = keras.ops.take(layer.proxies, keras.ops.cast(y_true, "int32"), axis=0)
        return keras.ops.mean(keras.ops.square(y_pred - own), axis=-1)

    model = tiny.compiled_model(khp.losses.SupConLoss(), layer)
    model.compile("sgd", loss=distance_to_proxies, run_eagerly=tiny.EAGERLY)
    assert_trains_only(model, [layer.proxies])
