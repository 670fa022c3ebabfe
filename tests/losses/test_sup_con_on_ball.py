"""SupCon by hyperbolic distance, the loss of Hyp-ViT, against NumPy in float64."""

import keras
import numpy as np
import pytest

from keras_hierproxy.geometry import PoincareBall
from keras_hierproxy.losses import SupConLoss
from tests.gradients import (
    assert_gradients_close,
    numerical_gradient,
    value_and_gradients,
)

C = 0.1


def distance(x, y):
    gaps = (1 - C * x @ x) * (1 - C * y @ y)
    return (
        2 / np.sqrt(C) * np.arcsinh(np.sqrt(C) * np.linalg.norm(x - y) / np.sqrt(gaps))
    )


def sup_con(labels, points, temperature):
    losses = []
    for i, label in enumerate(labels):
        others = [j for j in range(len(labels)) if j != i]
        logits = {j: -distance(points[i], points[j]) / temperature for j in others}
        total = np.log(sum(np.exp(logit) for logit in logits.values()))
        positives = [j for j in others if labels[j] == label]
        if positives:
            losses.append(np.mean([total - logits[j] for j in positives]))
    return np.mean(losses)


def hyp_vit(points, temperature):
    """Their cross-entropy: the first half's partners stand in the second half."""
    n = len(points) // 2
    losses = []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        logits = [
            -distance(points[i], points[j]) / temperature
            for j in range(2 * n)
            if j != i
        ]
        target = -distance(points[i], points[partner]) / temperature
        losses.append(np.log(np.exp(logits).sum()) - target)
    return np.mean(losses)


RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(12, 5))
POINTS *= 2.8 * RNG.random((12, 1)) / np.linalg.norm(POINTS, axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_value_and_gradient(temperature):
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 0, 0])
    loss = SupConLoss(temperature, PoincareBall(C))
    value, (gradient,), _ = value_and_gradients(
        lambda x: loss(labels, x), [POINTS.astype("float32")]
    )
    assert value == pytest.approx(sup_con(labels, POINTS, temperature), rel=1e-5)
    expected = numerical_gradient(lambda x: sup_con(labels, x, temperature), POINTS)
    assert_gradients_close(gradient, expected, 2e-4)


def test_two_samples_a_class_is_the_loss_of_hyp_vit():
    labels = np.tile(np.arange(6), 2)
    value = SupConLoss(0.2, PoincareBall(C))(labels, POINTS.astype("float32"))
    value = float(keras.ops.convert_to_numpy(value))
    assert value == pytest.approx(hyp_vit(POINTS, 0.2), rel=1e-5)


def test_equal_points_have_finite_gradients():
    points = np.repeat(POINTS[:3], 4, axis=0).astype("float32")
    loss = SupConLoss(0.2, PoincareBall(C))
    value, (gradient,), _ = value_and_gradients(
        lambda x: loss(np.arange(12) % 3, x), [points]
    )
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_config():
    loss = SupConLoss(0.2, PoincareBall(0.3, 1.0))
    again = SupConLoss.from_config(loss.get_config())
    assert again.geometry == PoincareBall(0.3, 1.0) and again.temperature == 0.2
