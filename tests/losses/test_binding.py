"""Which layer a loss reads, and what a model logs of it."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny


def compile_losses(model, loss, **options):
    model.compile("sgd", loss=loss, run_eagerly=tiny.EAGERLY, **options)
    return model


def evaluate(model, x=tiny.INPUTS, y=tiny.LABELS):
    return model.evaluate(x, y, batch_size=24, return_dict=True, verbose=0)


def by_hand(loss, model):
    """A loss over a model's embeddings of all inputs."""
    return number(loss(tiny.LABELS, model(tiny.INPUTS)))


def number(tensor):
    return float(keras.ops.convert_to_numpy(tensor))


@pytest.fixture
def two_layers():
    """A model with two layers of proxies, and the layers."""
    fine, coarse = (
        khp.layers.Proxies(4, name="fine"),
        khp.layers.Proxies(5, name="coarse"),
    )
    inputs = keras.Input((6,))
    x = keras.layers.Dense(8)(inputs)
    return khp.models.EmbeddingModel(inputs, coarse(fine(x))), fine, coarse


@pytest.fixture
def two_outputs():
    """A model with two outputs, each with proxies of its own, and their layers."""
    a, b = khp.layers.Proxies(4, name="a"), khp.layers.Proxies(4, name="b")
    inputs = keras.Input((6,))
    x = keras.layers.Dense(8)(inputs)
    outputs = [a(x), b(keras.layers.Dense(3)(x))]
    return khp.models.EmbeddingModel(inputs, outputs), a, b


# Which layer


def test_an_unbound_loss_gets_the_only_layer():
    model = tiny.embedding_model()
    loss = khp.losses.ProxyAnchorLoss()
    compile_losses(model, loss)
    assert model.loss is loss
    assert loss.proxies is model.get_layer("proxies")
    assert evaluate(model)["loss"] == pytest.approx(by_hand(loss, model), rel=1e-5)


def test_no_layer():
    inputs = keras.Input((6,))
    outputs = keras.layers.Dense(8, name="my_head")(inputs)
    model = khp.models.EmbeddingModel(inputs, outputs, name="bare")
    with pytest.raises(ValueError, match="(?s)'bare'.*my_head.*khp.layers.Proxies"):
        compile_losses(model, khp.losses.ProxyAnchorLoss())


def test_no_layer_of_the_right_class():
    model = tiny.embedding_model(khp.layers.Proxies(4))
    with pytest.raises(ValueError, match="needs a `khp.layers.HierProxies`"):
        compile_losses(model, khp.losses.HierProxyLoss())


def test_several_layers(two_layers):
    model, fine, _ = two_layers
    with pytest.raises(ValueError, match=r"\['fine', 'coarse'\].*proxies=layer"):
        compile_losses(model, khp.losses.ProxyAnchorLoss())
    compile_losses(model, khp.losses.ProxyAnchorLoss(proxies=fine))
    assert model.loss.proxies is fine


def test_a_layer_of_another_model():
    elsewhere = tiny.embedding_model().get_layer("proxies")
    loss = khp.losses.ProxyAnchorLoss(proxies=elsewhere)
    with pytest.raises(ValueError, match="'proxies', which is not part of model"):
        compile_losses(tiny.embedding_model(), loss)


def test_a_given_layer_of_the_wrong_class():
    layer = khp.layers.Proxies(4)
    with pytest.raises(ValueError, match="needs a `khp.layers.HierProxies`. Received"):
        compile_losses(
            tiny.embedding_model(layer), khp.losses.HierProxyLoss(proxies=layer)
        )


def test_a_layer_by_its_name(two_layers):
    model, _, coarse = two_layers
    compile_losses(model, khp.losses.ProxyAnchorLoss(proxies="coarse"))
    assert model.loss.proxies is coarse
    with pytest.raises(ValueError, match="'colour', which is not part of model"):
        compile_losses(model, khp.losses.ProxyAnchorLoss(proxies="colour"))


@pytest.mark.parametrize(
    "loss, layer, message",
    [
        (khp.losses.ProxyAnchorLoss(), {"centers_per_class": 2}, "one proxy a class"),
        (
            khp.losses.HierProxyLoss(level_weights=[1.0, 0.5, 0.25]),
            {"level_sizes": (2,)},
            "one number a level",
        ),
    ],
)
def test_a_layer_that_does_not_fit_the_loss(loss, layer, message):
    with pytest.raises(ValueError, match=message):
        compile_losses(tiny.embedding_model(khp.layers.HierProxies(4, **layer)), loss)


def test_one_loss_in_two_models():
    loss = khp.losses.ProxyAnchorLoss() + khp.losses.ProxyNCALoss()
    models = [compile_losses(tiny.embedding_model(), loss) for _ in range(2)]
    compile_losses(models[0], loss)
    for model in models:
        layer = model.get_layer("proxies")
        assert all(term.proxies is layer for term in model.loss.terms)
        expected = by_hand(khp.losses.ProxyNCALoss(proxies=layer), model)
        assert evaluate(model)["proxy_nca_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_was_given_a_name_keeps_its_layer():
    model = tiny.embedding_model()
    loss = khp.losses.ProxyAnchorLoss(proxies="proxies")
    compile_losses(model, loss)
    assert loss.proxies is model.get_layer("proxies")
    with pytest.raises(ValueError, match="not part of model"):
        compile_losses(tiny.embedding_model(khp.layers.Proxies(4, name="own")), loss)


def test_the_bound_loss_of_one_model_in_another():
    first, second = tiny.embedding_model(), tiny.embedding_model()
    compile_losses(first, khp.losses.ProxyAnchorLoss())
    compile_losses(second, first.loss)
    assert second.loss.proxies is second.get_layer("proxies")
    assert first.loss.proxies is first.get_layer("proxies")


def test_losses_within_a_sum_are_bound():
    model = tiny.embedding_model()
    pairs = khp.losses.MultiSimilarityLoss()
    compile_losses(model, khp.losses.HierProxyLoss() + 0.5 * pairs)
    assert model.loss.terms[0].proxies is model.get_layer("proxies")
    assert model.loss.terms[1] is pairs


# Several outputs


@pytest.mark.parametrize("structure", [list, dict])
def test_a_loss_for_each_output(two_outputs, structure):
    model, a, b = two_outputs
    losses = [
        khp.losses.ProxyAnchorLoss(proxies=a),
        [khp.losses.ProxyNCALoss(proxies=b), 2.0 * khp.losses.SupConLoss()],
    ]
    if structure is dict:
        losses = dict(zip(model.output_names, losses, strict=True))
    compile_losses(
        model, losses, loss_weights=[1.0, 0.5] if structure is list else None
    )
    logs = evaluate(model, y=[tiny.LABELS, tiny.LABELS])

    first, second = model(tiny.INPUTS)
    anchor = number(khp.losses.ProxyAnchorLoss(proxies=a)(tiny.LABELS, first))
    nca = number(khp.losses.ProxyNCALoss(proxies=b)(tiny.LABELS, second))
    sup_con = number(khp.losses.SupConLoss()(tiny.LABELS, second))
    weight = 0.5 if structure is list else 1.0
    assert logs == pytest.approx(
        {
            "loss": anchor + weight * (nca + 2 * sup_con),
            "a_loss": anchor,
            "b_loss": nca + 2 * sup_con,
            "proxy_nca_loss": nca,
            "sup_con_loss": sup_con,
        },
        rel=1e-4,
    )


def test_training_several_outputs(two_outputs):
    model, a, b = two_outputs
    losses = [khp.losses.ProxyAnchorLoss(proxies=layer) for layer in (a, b)]
    compile_losses(model, losses)
    before = tiny.values([a.proxies, b.proxies])
    tiny.fit(model, y=[tiny.LABELS, tiny.LABELS])
    after = tiny.values([a.proxies, b.proxies])
    assert all((before[path] != after[path]).any() for path in before)
    points = model.embed(tiny.INPUTS)
    assert [p.shape for p in points] == [(24, 8), (24, 3)]
    for each in points:
        np.testing.assert_allclose(np.linalg.norm(each, axis=1), 1, atol=1e-6)


# Sums and what is logged


def test_a_list_for_one_output_is_a_sum():
    model = tiny.embedding_model()
    losses = [khp.losses.ProxyAnchorLoss(), khp.losses.SupConLoss()]
    compile_losses(model, losses, loss_weights=[0.25, 3.0])
    layer = model.get_layer("proxies")
    anchor = by_hand(khp.losses.ProxyAnchorLoss(proxies=layer), model)
    sup_con = by_hand(khp.losses.SupConLoss(), model)
    expected = {
        "loss": 0.25 * anchor + 3.0 * sup_con,
        # Terms are logged before their weights.
        "proxy_anchor_loss": anchor,
        "sup_con_loss": sup_con,
    }
    assert evaluate(model) == pytest.approx(expected, rel=1e-5)


def test_a_list_with_a_loss_of_another_kind():
    losses = [khp.losses.ProxyAnchorLoss(), keras.losses.MeanSquaredError()]
    with pytest.raises(ValueError, match="Only losses of keras_hierproxy add up"):
        compile_losses(tiny.embedding_model(), losses)


def test_terms_of_one_name_are_told_apart():
    model = tiny.embedding_model()
    loss = khp.losses.ProxyAnchorLoss(alpha=1.0) + khp.losses.ProxyAnchorLoss(alpha=8.0)
    loss += khp.losses.SupConLoss(name="pairs")
    compile_losses(model, loss)
    layer = model.get_layer("proxies")
    logs = evaluate(model)
    assert set(logs) == {
        "loss",
        "proxy_anchor_loss",
        "proxy_anchor_loss_1",
        "pairs",
    }
    for name, alpha in [("proxy_anchor_loss", 1.0), ("proxy_anchor_loss_1", 8.0)]:
        expected = khp.losses.ProxyAnchorLoss(alpha=alpha, proxies=layer)
        assert logs[name] == pytest.approx(by_hand(expected, model), rel=1e-5)


def test_fit_logs_terms_of_training_and_validation():
    model = tiny.embedding_model()
    compile_losses(model, khp.losses.ProxyAnchorLoss() + khp.losses.SupConLoss())
    history = tiny.fit(model, epochs=2, validation_data=(tiny.INPUTS, tiny.LABELS))
    names = ["loss", "proxy_anchor_loss", "sup_con_loss"]
    assert set(history) == {*names, *(f"val_{name}" for name in names)}
    for prefix in ("", "val_"):
        total, anchor, pairs = (np.array(history[prefix + name]) for name in names)
        np.testing.assert_allclose(total, anchor + pairs, rtol=1e-5)
    # Of the last epoch alone.
    logs = model.evaluate(tiny.INPUTS, tiny.LABELS, 8, return_dict=True, verbose=0)
    assert history["val_sup_con_loss"][-1] == pytest.approx(logs["sup_con_loss"])


def test_recompiling_forgets_the_terms():
    model = tiny.embedding_model()
    compile_losses(model, khp.losses.ProxyAnchorLoss() + khp.losses.SupConLoss())
    evaluate(model)
    compile_losses(model, khp.losses.ProxyAnchorLoss())
    assert set(evaluate(model)) == {"loss"}


# A plain keras.Model


def test_a_plain_model_trains_with_a_loss_bound_by_hand():
    layer = khp.layers.Proxies(4)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layer(keras.layers.Dense(8)(inputs)))
    loss = khp.losses.ProxyAnchorLoss(proxies=layer) + khp.losses.SupConLoss()
    model.compile(keras.optimizers.Adam(0.05), loss=loss)
    before = tiny.values([layer.proxies])
    history = tiny.fit(model, epochs=5)
    assert history["loss"][-1] < history["loss"][0]
    assert (
        tiny.values([layer.proxies])[layer.proxies.path] != [*before.values()]
    ).any()


def test_a_plain_model_with_an_unbound_loss():
    inputs = keras.Input((6,))
    outputs = khp.layers.Proxies(4)(keras.layers.Dense(8)(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", loss=khp.losses.ProxyAnchorLoss())
    with pytest.raises(
        ValueError, match="(?s)not bound.*ProxyAnchorLoss.proxies=layer"
    ):
        tiny.fit(model)
