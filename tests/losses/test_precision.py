"""Losses under `mixed_bfloat16`, and compiled."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests.gradients import assert_gradients_close, value_and_gradients
from tests.losses.cases import ALL, SMALL, as_float32, to_number

LABELS = SMALL.labels
X = as_float32(SMALL.embeddings)


def model_of(case):
    """A model whose `Dense` computes in the global policy, and its proxies if any."""
    inputs = keras.Input((6,))
    outputs = keras.layers.Dense(6)(inputs)
    layer = None
    if not case.over_pairs:
        layer = case.build().proxies
        outputs = layer(outputs)
    return keras.Model(inputs, outputs), layer


def compile_loss(case, model, layer):
    loss_class = getattr(khp.losses, case.loss)
    loss = loss_class() if case.over_pairs else loss_class(proxies=layer)
    model.compile("adam", loss=loss)
    return loss


@pytest.mark.parametrize("case", ALL, ids=str)
def test_mixed_bfloat16(case):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, layer = model_of(case)
    loss = compile_loss(case, model, layer)
    assert model.layers[1].compute_dtype == "bfloat16"
    embeddings = model(X)
    value = to_number(loss(LABELS, embeddings))
    if not case.over_pairs:
        assert keras.backend.standardize_dtype(embeddings.dtype) == "float32"
        for variable in layer.proxy_variables():
            assert variable.dtype == "float32"

    keras.config.set_dtype_policy("float32")
    x = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(embeddings, "float32")))
    assert value == pytest.approx(to_number(case.build()(LABELS, x)), rel=1e-6)


@pytest.mark.parametrize("case", [ALL[0], ALL[-1]], ids=str)
def test_training_under_mixed_bfloat16(case):
    """With all that `fit` puts around a loss: autocast scopes, jit."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, layer = model_of(case)
    loss = compile_loss(case, model, layer)
    value = to_number(loss(LABELS, model(X)))
    before = [np.array(variable) for variable in layer.proxy_variables()]
    history = model.fit(X, LABELS, batch_size=len(X), epochs=2, verbose=0).history
    assert history["loss"][0] == pytest.approx(value, rel=1e-5)
    for variable, start in zip(layer.proxy_variables(), before, strict=True):
        assert variable.dtype == "float32"
        step = np.abs(np.array(variable) - start)
        # Steps of 1e-3 on values around 1 would round to 0 or 4e-3 in bfloat16.
        assert 1e-4 < np.median(step[step > 0]) < 3e-3


@pytest.mark.parametrize("case", ALL, ids=str)
def test_jit_changes_nothing(case):
    """Not even at the edges, where XLA might divide before it selects."""
    if keras.backend.backend() == "torch":
        pytest.skip("torch.compile takes half a minute a loss; Keras leaves it off")
    loss = case.build()
    variables = case.variables(loss)
    x = X.copy()
    x[2] = 0.0
    x[4:7] = x[4]
    x[8] = SMALL.proxies()[LABELS[8]]
    x[9] *= 1e6
    weights = as_float32(np.arange(len(LABELS)) % 3)

    def measure(jit):
        return value_and_gradients(
            lambda x: loss(LABELS, x, weights), [x], variables, jit
        )

    value, (by_embeddings,), by_proxies = measure(jit=False)
    jit_value, (by_jit_embeddings,), by_jit_proxies = measure(jit=True)
    assert np.isfinite(value) and value > 0.01
    assert jit_value == pytest.approx(value, rel=1e-6)
    assert_gradients_close(by_jit_embeddings, by_embeddings, 1e-5)
    for actual, expected in zip(by_jit_proxies, by_proxies, strict=True):
        assert_gradients_close(actual, expected, 1e-5)
