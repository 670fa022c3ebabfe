"""`HIERLoss`: what it draws, what it reads, and that it stays finite."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import keras_hierproxy as khp
from keras_hierproxy.geometry import PoincareBall
from keras_hierproxy.losses import HIERLoss, hier
from tests.gradients import differentiated, value_and_gradients

BALL = PoincareBall()
RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(8), 3)
CENTERS = RNG.normal(size=(8, 6))
VECTORS = (CENTERS[LABELS] + 0.3 * RNG.normal(size=(24, 6))).astype("float32")


def to_float(x):
    return float(ops.convert_to_numpy(x))


def bound(num_proxies=12, geometry=BALL, seed=0, **options):
    """A loss with a layer of its own."""
    layer = khp.layers.LatentHierarchy(num_proxies, geometry, seed=seed)
    layer.build((None, 6))
    options = {"num_neighbors": 5, "triplets_per_anchor": 20} | options
    return HIERLoss(proxies=layer, **options)


def points(vectors=VECTORS, geometry=BALL):
    return ops.convert_to_numpy(geometry.project(vectors))


def measure(loss, labels=LABELS, x=None, weights=None):
    """Value and gradients by the embeddings and by the latent proxies."""
    value, (by_points,), (by_latents,) = value_and_gradients(
        lambda x: loss(labels, x, weights),
        [points() if x is None else x],
        [loss.proxies.proxies],
    )
    return value, by_points, by_latents


def draws(loss, count, labels=LABELS, x=None):
    x = points() if x is None else x
    return np.array([to_float(loss(labels, x)) for _ in range(count)])


def test_gradients_reach_embeddings_and_latent_proxies():
    value, by_points, by_latents = measure(bound())
    assert value > 0
    assert np.abs(by_points).max() > 0 and np.abs(by_latents).max() > 0


def test_every_step_draws_anew_and_one_seed_is_one_sequence():
    first, second = draws(bound(), 5), draws(bound(), 5)
    np.testing.assert_allclose(first, second, rtol=1e-6)
    assert len(set(first)) == 5
    assert not np.allclose(draws(bound(seed=1), 5), first, rtol=1e-3)


@pytest.mark.nightly
def test_the_mean_of_the_capped_loss_is_that_of_the_full_one():
    full = draws(bound(), 25)
    capped = draws(bound(max_triplets=60), 100)
    error = np.sqrt(full.var() / len(full) + capped.var() / len(capped))
    assert abs(full.mean() - capped.mean()) < 4 * error
    assert error < 0.05 * full.mean(), "else a difference would not be seen"
    assert capped.std() > 1.3 * full.std(), "fewer triplets, more variance"


def test_two_terms():
    """Samples that nothing relates leave the term over the latent proxies."""
    far = points(1e3 * np.eye(6, dtype="float32"))
    value, by_points, by_latents = measure(bound(num_neighbors=2), np.arange(6), far)
    np.testing.assert_array_equal(by_points, 0)
    loss = bound(num_neighbors=20)  # all are related to all: no negatives
    value, by_points, by_latents = measure(loss, np.arange(6), far)
    assert value == 0 and not by_latents.any()


def test_batch_of_one():
    value, by_points, by_latents = measure(bound(), LABELS[:1], points()[:1])
    assert value == 0 and not by_points.any() and not by_latents.any()


def test_weights_all_zero():
    value, by_points, by_latents = measure(bound(), weights=np.zeros(24))
    assert value == 0 and not by_points.any() and not by_latents.any()


def test_weight_zero_is_absent():
    weights = np.arange(24) % 4 != 0
    other = np.where(weights[:, None], points(), points()[::-1])
    value, by_points, by_latents = measure(bound(), weights=weights)
    again, *_ = measure(bound(), x=other, weights=weights)
    assert value == pytest.approx(again, rel=1e-5)
    assert not by_points[~weights].any() and by_points[weights].any()


def test_labels_relate(monkeypatch):
    """Where labels agree, samples are related however far apart they are."""
    drawn = []

    def record(distances, triplets, *_):
        drawn.append(ops.convert_to_numpy(triplets))
        return ops.sum(distances[:0])

    monkeypatch.setattr(hier, "lca_triplet_loss", record)
    random = np.random.default_rng(3).normal(size=(24, 6)).astype("float32")
    bound(num_neighbors=3)(LABELS, points(random))
    i, j, k = LABELS[drawn[0].T]
    assert len(i) == 24 * 20
    np.testing.assert_array_equal(i, j)
    assert (i != k).all()


def test_class_ids_need_not_be_dense():
    np.testing.assert_allclose(
        draws(bound(), 3, LABELS * 1000 - 7), draws(bound(), 3), rtol=1e-6
    )


EXTREMES = {
    "all at the origin": np.zeros((24, 6)),
    "all at one point": np.ones((24, 6)),
    "pairs of equal points": np.repeat(VECTORS[:12], 2, axis=0),
    "on the clipped boundary": 1e6 * VECTORS,
    "one far away": np.concatenate([1e30 * VECTORS[:1], VECTORS[1:]]),
    "tiny": 1e-30 * VECTORS,
}


@functools.cache
def of_vectors():
    """A differentiated loss of vectors, its latent proxies, and where they begin."""
    loss = bound()
    proxies = loss.proxies.proxies
    differentiate = differentiated(lambda x: loss(LABELS, BALL.project(x)), [proxies])
    return differentiate, proxies, ops.convert_to_numpy(proxies).copy()


@pytest.mark.parametrize("latents", ["start", "equal", "zero", "far"])
@pytest.mark.parametrize("case", EXTREMES)
def test_gradients_are_finite(case, latents):
    differentiate, proxies, start = of_vectors()
    change = {"equal": np.ones_like, "zero": np.zeros_like, "far": lambda x: 1e30 * x}
    proxies.assign(change.get(latents, np.asarray)(start))
    vectors = EXTREMES[case].astype("float32")
    value, (by_vectors,), (by_latents,) = differentiate([vectors])
    assert np.isfinite(value)
    assert np.isfinite(by_vectors).all() and np.isfinite(by_latents).all()


def test_on_the_sphere():
    sphere = khp.geometry.Sphere()
    loss = bound(geometry=sphere)
    value, by_points, by_latents = measure(loss, x=points(geometry=sphere))
    assert value > 0 and np.abs(by_points).max() > 0 and np.abs(by_latents).max() > 0


def test_unbound():
    with pytest.raises(ValueError, match="HIERLoss is not bound.*LatentHierarchy"):
        HIERLoss()(LABELS, points())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_neighbors": 0}, "`num_neighbors` must be a positive int. Received: 0"),
        ({"triplets_per_anchor": 2.5}, "`triplets_per_anchor` must be a positive int"),
        ({"max_triplets": True}, "`max_triplets` must be a positive int"),
        ({"temperature": 0}, "`temperature` must be a positive number. Received: 0"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        HIERLoss(**options)


def test_config():
    loss = 0.5 * HIERLoss(0.2, 0.3, 7, 9, 100, proxies="latent", name="mine")
    config = keras.saving.serialize_keras_object(loss)
    (term,) = keras.saving.deserialize_keras_object(config).terms
    assert term.get_config() == loss.terms[0].get_config()
    assert term.get_config() == {
        "name": "mine",
        "proxies": "latent",
        "margin": 0.2,
        "temperature": 0.3,
        "num_neighbors": 7,
        "triplets_per_anchor": 9,
        "max_triplets": 100,
    }


def test_a_layer_that_is_not_built():
    loss = HIERLoss(proxies=khp.layers.LatentHierarchy(4, name="mine"))
    with pytest.raises(ValueError, match="layer 'mine', which has none yet: call it"):
        loss(LABELS, points())
