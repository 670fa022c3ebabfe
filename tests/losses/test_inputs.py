"""What losses take for labels, embeddings and proxies, and what they refuse."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests.gradients import value_and_gradients
from tests.losses.cases import ALL, SMALL, Case, as_float32, to_number

LABELS = SMALL.labels
X = as_float32(SMALL.embeddings)
OVER_PROXIES = [case for case in ALL if not case.over_pairs]


@pytest.mark.parametrize("label", [-1, SMALL.num_classes, 10**6])
@pytest.mark.parametrize("case", OVER_PROXIES, ids=str)
def test_label_out_of_range_is_nan(case, label):
    assert_nan(case, label)


@pytest.mark.parametrize(
    ("case", "label"), [(ALL[0], SMALL.num_classes), (ALL[-1], -1)], ids=str
)
def test_label_out_of_range_is_nan_compiled(case, label):
    assert_nan(case, label, jit=True)


def assert_nan(case, label, jit=False):
    loss = case.build()
    labels = np.where(np.arange(len(LABELS)) == 3, label, LABELS).astype("int32")
    value, _, by_proxies = value_and_gradients(
        lambda x: loss(labels, x), [X], case.variables(loss), jit
    )
    assert np.isnan(value)
    for gradient in by_proxies:
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint16"])
def test_integer_labels(dtype):
    loss = Case("HierProxyLoss", base="proxy_anchor").build()
    expected = to_number(loss(LABELS, X))
    assert to_number(loss(LABELS.astype(dtype), X)) == expected
    assert to_number(loss(LABELS.astype(dtype)[:, None], X)) == expected


def test_a_list_of_labels():
    loss = Case("ProxyAnchorLoss").build()
    assert to_number(loss(LABELS.tolist(), X)) == to_number(loss(LABELS, X))


@pytest.mark.parametrize(
    ("labels", "advice"),
    [
        (LABELS.astype("float32"), r"float32.*astype\('int32'\)"),
        (LABELS > 2, r"bool.*astype\('int32'\)"),
        (np.eye(8)[LABELS], r"\(14, 8\).*argmax"),
        (np.eye(8, dtype=int)[LABELS], r"\(14, 8\).*argmax"),
        (np.stack([LABELS, LABELS // 2], 1), r"\(14, 2\).*y\[:, 0\]"),
        (LABELS[:5], "5 labels for 14 embeddings"),
        (LABELS[:1], "1 labels for 14 embeddings"),
    ],
    ids=["float", "bool", "one-hot", "int one-hot", "two levels", "few", "one"],
)
@pytest.mark.parametrize("case", ALL, ids=str)
def test_wrong_labels(case, labels, advice):
    with pytest.raises(ValueError, match=advice):
        case.build()(labels, X)


@pytest.mark.parametrize("shape", [(14,), (14, 2, 3)])
def test_wrong_embeddings(shape):
    with pytest.raises(ValueError, match=r"\(batch, dimension\)"):
        khp.losses.TripletLoss()(LABELS, np.zeros(shape, "float32"))


@pytest.mark.parametrize(
    "weights", [np.ones(5), np.ones((14, 2)), np.float32(1.0)], ids=np.shape
)
def test_wrong_weights(weights):
    with pytest.raises(ValueError, match="one number a sample"):
        khp.losses.TripletLoss()(LABELS, X, weights)


@pytest.mark.parametrize("case", OVER_PROXIES, ids=str)
def test_unbound(case):
    loss = getattr(khp.losses, case.loss)()
    with pytest.raises(ValueError, match=rf"not bound.*{case.loss}\(proxies=layer\)"):
        loss(LABELS, X)
    with pytest.raises(ValueError, match="not bound"):
        (2.0 * loss + khp.losses.TripletLoss())(LABELS, X)


def test_hier_proxy_loss_needs_a_hierarchy():
    layer = khp.layers.Proxies(8)
    layer.build(X.shape)
    with pytest.raises(ValueError, match="needs a `khp.layers.HierProxies`"):
        khp.losses.HierProxyLoss(proxies=layer)(LABELS, X)


@pytest.mark.parametrize(
    "case", [c for c in OVER_PROXIES if c.centers_per_class == 1], ids=str
)
def test_one_proxy_a_class(case):
    layer_class = khp.layers.HierProxies if case.base else khp.layers.Proxies
    layer = layer_class(8, centers_per_class=3)
    layer.build(X.shape)
    loss = getattr(khp.losses, case.loss)(proxies=layer)
    with pytest.raises(ValueError, match="centers_per_class=3"):
        loss(LABELS, X)


def test_one_weight_a_level():
    case = Case("HierProxyLoss", {"level_weights": [1.0, 0.5]}, base="cosface")
    with pytest.raises(ValueError, match="level_weights.*3 levels"):
        case.build()(LABELS, X)


@pytest.mark.parametrize("base", ["proxyanchor", None, khp.losses.TripletLoss()])
def test_unknown_base(base):
    with pytest.raises(ValueError, match="'proxy_anchor', 'proxy_nca'"):
        khp.losses.HierProxyLoss(base)


def test_base_with_settings():
    base = khp.losses.CosFaceLoss(margin=0.2, scale=8.0)
    weighted = {"level_weights": [1.0, 0.0, 0.0]}
    layer = Case("HierProxyLoss", base="cosface").build().proxies
    loss = khp.losses.HierProxyLoss(base, **weighted, proxies=layer)
    flat = Case("CosFaceLoss", {"margin": 0.2, "scale": 8.0}).build()
    assert to_number(loss(LABELS, X)) == pytest.approx(to_number(flat(LABELS, X)))


def test_any_loss_reads_the_class_level_of_a_hierarchy():
    layer = Case("HierProxyLoss", base="cosface").build().proxies
    flat = Case("ProxyAnchorLoss").build()
    loss = khp.losses.ProxyAnchorLoss(proxies=layer)
    assert to_number(loss(LABELS, X)) == to_number(flat(LABELS, X))
    _, _, by_proxies = value_and_gradients(
        lambda x: loss(LABELS, x), [X], layer.proxy_variables()
    )
    assert by_proxies[0].any()
    assert not any(gradient.any() for gradient in by_proxies[1:])


def test_labels_reach_the_loss_through_fit_as_integers():
    """Keras casts `y_true` to float, and columns to vectors, before most losses."""
    inputs = keras.Input((6,))
    layer = khp.layers.Proxies(8)
    model = keras.Model(inputs, layer(inputs))
    loss = khp.losses.ProxyAnchorLoss(proxies=layer)
    expected = pytest.approx(to_number(loss(LABELS, X)), rel=1e-6)
    for labels in (LABELS, LABELS[:, None], LABELS.astype("uint8")):
        model.compile(loss=loss)
        assert model.evaluate(X, labels, batch_size=14, verbose=0) == expected
    with pytest.raises(ValueError, match="integer class ids"):
        model.evaluate(X, as_float32(LABELS), verbose=0)
