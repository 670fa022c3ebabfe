"""The loss of triplets against a plain NumPy version, whatever the blocks."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_hierproxy.ops import LocalSeeds, lca_triplet_loss, lca_triplets
from keras_hierproxy.ops.traced_random import gumbel_noise
from tests.gradients import (
    assert_gradients_close,
    numerical_gradient,
    value_and_gradients,
)

MARGIN, TEMPERATURE = 0.1, 0.2


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def reference(distances, triplets, noise, weights=None, backward=False):
    """One triplet after the other, in float64.

    With `backward`, a function whose derivative is the straight-through gradient:
    ancestors are `hard + softmax - (softmax as it was)`.
    """
    weights = np.ones(len(triplets)) if weights is None else weights
    chosen, fixed = [], []
    for t, (i, j, k) in enumerate(triplets):
        pair = np.maximum(distances[i], distances[j])
        triple = np.maximum(pair, distances[k])
        soft = [
            softmax(noise[level, t] - d / TEMPERATURE)
            for level, d in enumerate((pair, triple))
        ]
        chosen.append([np.argmax(each) for each in soft])
        fixed.append(soft)

    def value(d):
        total = 0.0
        for t, (i, j, k) in enumerate(triplets):
            if chosen[t][0] == chosen[t][1]:
                continue
            pair = np.maximum(d[i], d[j])
            triple = np.maximum(pair, d[k])
            low, high = (
                np.eye(d.shape[1])[chosen[t][level]]
                + softmax(noise[level, t] - each / TEMPERATURE)
                - fixed[t][level]
                for level, each in enumerate((pair, triple))
            )
            hinges = (
                low @ d[i] - high @ d[i] + MARGIN,
                low @ d[j] - high @ d[j] + MARGIN,
                high @ d[k] - low @ d[k] + MARGIN,
            )
            total += weights[t] * sum(max(hinge, 0.0) for hinge in hinges)
        return total / max(weights.sum(), 1e-300)

    return value if backward else value(distances)


def case(points=12, candidates=9, triplets=40, seed=0):
    rng = np.random.default_rng(seed)
    distances = 2 * rng.random((points, candidates))
    rows = np.stack([rng.permutation(points)[:3] for _ in range(triplets)])
    return distances, rows, rng.gumbel(size=(2, triplets, candidates))


def measure(distances, triplets, noise, weights=None, jit=False):
    def loss(d):
        return lca_triplet_loss(
            d, triplets, noise.astype("float32"), MARGIN, TEMPERATURE, weights
        )

    value, (gradient,), _ = value_and_gradients(
        loss, [distances.astype("float32")], jit=jit
    )
    return value, gradient


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient(weighted, jit):
    distances, triplets, noise = case()
    weights = np.random.default_rng(1).integers(0, 3, 40) if weighted else None
    value, gradient = measure(distances, triplets, noise, weights, jit)
    backward = reference(distances, triplets, noise, weights, backward=True)
    assert value == pytest.approx(backward(distances), rel=1e-5)
    assert_gradients_close(gradient, numerical_gradient(backward, distances))
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("block", [1, 7 * 9, 39 * 9, 40 * 9, 1000])
def test_blocks_do_not_matter(block, monkeypatch):
    distances, triplets, noise = case()
    expected, by_distances = measure(distances, triplets, noise)
    monkeypatch.setattr(lca_triplets, "BLOCK", block)
    value, gradient = measure(distances, triplets, noise)
    assert value == pytest.approx(expected, rel=1e-6)
    assert_gradients_close(gradient, by_distances, 1e-5)


def test_a_weight_of_two_is_two_copies(monkeypatch):
    distances, triplets, noise = case()
    weights = np.array([2, 0] * 20)
    rows = np.repeat(np.arange(40), weights)
    expected, _ = measure(distances, triplets[rows], noise[:, rows])
    monkeypatch.setattr(lca_triplets, "BLOCK", 27)
    assert measure(distances, triplets, noise, weights)[0] == pytest.approx(expected)


def test_no_weight_is_no_loss():
    value, gradient = measure(*case(), weights=np.zeros(40))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis 1")
def test_one_candidate_is_everybodys_ancestor():
    distances, triplets, noise = case(candidates=1)
    value, gradient = measure(distances, triplets, noise)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_noise_that_decides():
    """Ancestors are where the noise says, and the loss what the equation says."""
    distances, triplets, noise = case(triplets=1)
    noise[0, 0, 3] = noise[1, 0, 5] = 1e6
    i, j, k = triplets[0]
    d = distances
    expected = (
        max(d[i, 3] - d[i, 5] + MARGIN, 0)
        + max(d[j, 3] - d[j, 5] + MARGIN, 0)
        + max(d[k, 5] - d[k, 3] + MARGIN, 0)
    )
    assert measure(distances, triplets, noise)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("block", [100 * 9, 1 << 19])
def test_drawn_noise_gives_the_same_expectation(block, monkeypatch):
    """As NumPy's Gumbel noise; were blocks to share theirs, it would be noisier."""
    monkeypatch.setattr(lca_triplets, "BLOCK", block)
    distances, triplets, _ = case(triplets=4)
    triplets = np.tile(triplets, (1000, 1))
    noise = np.random.default_rng(2).gumbel(size=(2, 4000, 9))
    generator = keras.random.SeedGenerator(3)
    ours = [
        lca_triplet_loss(
            ops.convert_to_tensor(distances.astype("float32")),
            triplets,
            LocalSeeds(generator.next()),
            MARGIN,
            TEMPERATURE,
        )
        for _ in range(4)
    ]
    ours = [float(ops.convert_to_numpy(value)) for value in ours]
    one_by_one = [
        reference(distances, triplets[t : t + 1], noise[:, t : t + 1])
        for t in range(4000)
    ]
    error = np.std(one_by_one) / np.sqrt(4000)
    assert error < 0.05 * np.mean(one_by_one)
    errors = (np.array(ours) - np.mean(one_by_one)) / error
    assert np.sqrt(np.mean(errors**2)) < 2.5
    assert len(set(ours)) == 4


def test_blocks_draw_noise_of_their_own():
    seeds_of = LocalSeeds(keras.random.SeedGenerator(3).next()).blocks(5)
    drawn = [ops.convert_to_numpy(gumbel_noise((2,), seeds_of(b))) for b in range(5)]
    assert len({tuple(each.tolist()) for each in drawn}) == 5
    again = LocalSeeds(keras.random.SeedGenerator(3).next()).blocks(5)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(gumbel_noise((2,), again(1))), drawn[1]
    )


def test_equal_distances_have_finite_gradients():
    distances, triplets, noise = case()
    value, gradient = measure(np.ones_like(distances), triplets, noise)
    assert np.isfinite(value) and np.isfinite(gradient).all()
