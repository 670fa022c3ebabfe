"""The loops of docs/hand_written_loops.md train as `fit` does; others are refused."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_hierproxy as khp
from tests import tiny

PAGE = Path(__file__).resolve().parents[1] / "docs" / "hand_written_loops.md"
HEADINGS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
BACKEND = keras.backend.backend()
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="other backends have one state")


def block(heading):
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.S)[1]


def test_the_loop_of_this_backend_trains_as_fit_does():
    names = {}
    exec(block("Model and data"), names)
    model, before = names["model"], names["model"].get_weights()
    exec(block(HEADINGS[BACKEND]), names)
    by_hand = model.get_weights()
    moments = [ops.convert_to_numpy(v) for v in names["optimizer"].variables]
    model.set_weights(before)
    model.compile(khp.optimizers.grouped(model, head=1e-3), loss=model.loss)
    x, y = names["vectors"], names["labels"]
    model.fit(x, y, batch_size=64, epochs=3, shuffle=False, verbose=0)
    for start, hand, fitted in zip(before, by_hand, model.get_weights(), strict=True):
        np.testing.assert_allclose(hand, fitted, atol=2e-5)
        assert start.dtype == "int32" or start.ndim == 0 or (start != fitted).any()
    fitted = [ops.convert_to_numpy(v) for v in model.optimizer.variables]
    for hand, of_fit in zip(moments, fitted, strict=True):
        np.testing.assert_allclose(hand, of_fit, atol=1e-4, rtol=1e-2)


# What JAX traces

WRONG = "gradient of 0.*keras.StatelessScope"


def losses():
    yield khp.losses.ProxyAnchorLoss(), {}
    yield khp.losses.HierProxyLoss() + khp.losses.MultiSimilarityLoss(), {}
    layer = khp.layers.LatentHierarchy(8, khp.geometry.Sphere())
    yield khp.losses.HIERLoss(triplets_per_anchor=2), {"layer": layer}


def stateless(model, trainable):
    others = [v.value for v in model.non_trainable_variables]
    return model.stateless_call(trainable, others, tiny.INPUTS)[0]


def scoped(model, trainable):
    with keras.StatelessScope(zip(model.trainable_variables, trainable, strict=True)):
        return model(tiny.INPUTS)


@on_jax
@pytest.mark.parametrize("number", range(3))
def test_a_loss_outside_of_the_scope(number):
    import jax

    loss, options = list(losses())[number]
    model = tiny.compiled_model(loss, **options)
    trainable = [v.value for v in model.trainable_variables]

    for call in (stateless, scoped):

        def value(trainable, call=call):
            return model.loss(tiny.LABELS, call(model, trainable))

        for wrong in (jax.grad(value), jax.jit(jax.grad(value)), jax.jit(value)):
            with pytest.raises(ValueError, match=f"(?s){WRONG}"):
                wrong(trainable)
        # Not traced, but of other proxies than the model's.
        others = [2 * each for each in trainable]
        with pytest.raises(ValueError, match=f"(?s){WRONG}"):
            value(others)


@on_jax
def test_what_reads_the_right_proxies():
    import jax

    model = tiny.compiled_model(optimizer="sgd")
    loss, proxies = model.loss, model.layers[-1]
    expected = float(loss(tiny.LABELS, model(tiny.INPUTS)))
    trainable = [v.value for v in model.trainable_variables]
    embeddings = model(tiny.INPUTS)

    def inside(trainable):
        scope = zip(model.trainable_variables, trainable, strict=True)
        with keras.StatelessScope(scope):
            return loss(tiny.LABELS, model(tiny.INPUTS))

    def of_embeddings(embeddings):
        return loss(tiny.LABELS, embeddings)

    value, gradients = jax.jit(jax.value_and_grad(inside))(trainable)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients[:3])
    # With proxies as constants: a value, a gradient by the embeddings, by the inputs.
    assert float(jax.jit(of_embeddings)(embeddings)) == pytest.approx(expected, 1e-5)
    assert np.abs(jax.grad(of_embeddings)(embeddings)).max() > 0
    by_inputs = jax.grad(lambda x: loss(tiny.LABELS, model(x)))(tiny.INPUTS)
    assert np.abs(by_inputs).max() > 0
    assert float(of_embeddings(stateless(model, trainable))) == pytest.approx(expected)
    # After all that, Keras's own.
    tiny.fit(model, validation_split=0.5)
    assert float(of_embeddings(model(tiny.INPUTS))) != expected
    model.evaluate(tiny.INPUTS, tiny.LABELS, verbose=0)
    # Frozen, they are constants in the loop, too.
    proxies.trainable = False
    trainable = [v.value for v in model.trainable_variables]
    gradients = jax.grad(lambda v: of_embeddings(stateless(model, v)))(trainable)
    assert len(gradients) == 2 and np.abs(gradients[0]).max() > 0
