"""Models whose embeddings live on the Poincare ball."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.geometry import PoincareBall, Sphere
from tests import tiny

BALL = PoincareBall(1.0, 2.0)


def ball_model(geometry=BALL, latent=BALL, regularizer=None):
    """A dense layer, the ball, class proxies and latent proxies."""
    inputs = keras.Input((6,))
    x = keras.layers.Dense(8, name="dense")(inputs)
    x = khp.layers.ProjectToGeometry(geometry, name="projection")(x)
    x = khp.layers.HierProxies(4, (2,), regularizer=regularizer, name="proxies")(x)
    outputs = khp.layers.LatentHierarchy(16, latent, seed=0, name="latent")(x)
    return khp.models.EmbeddingModel(inputs, outputs)


def hier(**options):
    options = {"num_neighbors": 5, "triplets_per_anchor": 4} | options
    return khp.losses.HIERLoss(**options)


def compiled(loss, optimizer="adamw", **options):
    model = ball_model(**options)
    model.compile(optimizer, loss=loss, run_eagerly=tiny.EAGERLY)
    return model


def latents(model):
    return np.array(keras.ops.convert_to_numpy(model.get_layer("latent").proxies))


def image_embedder(**options):
    backbone = khp.models.conv4((16, 16, 3), filters=4)
    options = {"num_classes": 4, "embedding_dim": 8, "geometry": BALL} | options
    return khp.models.ImageEmbedder(backbone, **options)


# Three methods in one model


def test_hpl_so_and_hier_together():
    regularizer = khp.regularizers.SoftOrthogonality(0.1)
    loss = khp.losses.HierProxyLoss() + 0.5 * hier()
    model = compiled(loss, regularizer=regularizer)
    layers = [model.get_layer(name) for name in ("proxies", "latent")]
    assert [term.proxies for term in model.loss.terms] == layers
    before = tiny.values(model.trainable_variables)
    update = khp.callbacks.HierarchyUpdate(warmup_epochs=1)
    history = tiny.fit(model, epochs=3, callbacks=[update])
    assert {"hier_proxy_loss", "hier_loss", "orthogonality_excess"} < history.keys()
    after = tiny.values(model.trainable_variables)
    assert all((after[path] != value).any() for path, value in before.items())
    total = np.array(history["hier_proxy_loss"]) + 0.5 * np.array(history["hier_loss"])
    penalty = np.array(history["loss"]) - total
    assert (penalty > 0).all(), "the regularizer is part of the loss"


@pytest.mark.parametrize("loss", [khp.losses.ProxyAnchorLoss, khp.losses.TripletLoss])
def test_latent_proxies_that_no_loss_reads_stand_still(loss):
    model = compiled(loss())
    before = latents(model)
    tiny.fit(model, epochs=2)
    np.testing.assert_array_equal(latents(model), before)


def test_hier_trains_latent_proxies_at_their_own_rate():
    model = ball_model()
    optimizer = khp.optimizers.grouped(model, latent=0.0, weight_decay=0.0)
    model.compile(
        optimizer, loss=khp.losses.ProxyAnchorLoss() + hier(), run_eagerly=tiny.EAGERLY
    )
    before = latents(model)
    tiny.fit(model)
    np.testing.assert_array_equal(latents(model), before)


# One geometry for all


@pytest.mark.parametrize(
    "loss",
    [
        khp.losses.ProxyAnchorLoss() + hier(),
        khp.losses.SupConLoss(geometry=PoincareBall()),
        khp.losses.SupConLoss(geometry=PoincareBall()) + khp.losses.TripletLoss(),
    ],
    ids=["hier", "hyp", "sum"],
)
def test_another_geometry_is_refused_at_compile(loss):
    with pytest.raises(ValueError, match="measures in PoincareBall.*live on Sphere"):
        compiled(loss, geometry=Sphere(), latent=PoincareBall())
    other = "PoincareBall.0.1.*live on PoincareBall.1.0"
    with pytest.raises(ValueError, match=other):
        compiled(loss, latent=PoincareBall())


def test_a_model_without_latent_proxies():
    with pytest.raises(ValueError, match=r"`khp.layers.LatentHierarchy\(\)\(points\)`"):
        tiny.compiled_model(khp.losses.ProxyAnchorLoss() + hier())


def test_image_embedder_has_latent_proxies_on_the_ball():
    assert image_embedder(geometry=None).latent is None
    embedder = image_embedder()
    assert embedder.latent.geometry == BALL and embedder.latent.num_proxies == 512
    embedder.compile(loss=khp.losses.ProxyAnchorLoss() + 0.5 * hier(max_triplets=50))
    assert embedder.loss.terms[1].proxies is embedder.latent
    assert image_embedder(latent=None).latent is None
    layer = khp.layers.LatentHierarchy(7, BALL)
    assert image_embedder(latent=layer).latent is layer
    with pytest.raises(ValueError, match="`latent` must be 'auto', a .*'none'"):
        image_embedder(latent="none")


# What is evaluated is what was trained


def hyperbolic_recall(points, labels):
    indices, _ = khp.retrieval.knn(points, k=1, geometry=BALL)
    return (labels[indices[:, 0]] == labels).mean()


def spread_data():
    """Vectors whose neighbours by angle are others than those by distance."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(4, 6))
    labels = np.arange(40) % 4
    length = np.array([0.1, 0.4, 0.9, 1.6])[labels]
    noise = 0.05 * rng.normal(size=(40, 6))
    vectors = length[:, None] * (directions[labels // 2] + noise)
    return vectors.astype("float32"), labels


@pytest.mark.parametrize("kind", [khp.models.EmbeddingModel, keras.Model])
def test_retrieval_evaluation_measures_in_the_models_geometry(kind):
    x, y = spread_data()
    inputs = keras.Input((6,))
    points = khp.layers.ProjectToGeometry(BALL)(inputs)
    model = kind(inputs, khp.layers.Proxies(4)(points))
    evaluation = khp.callbacks.RetrievalEvaluation((x, y), k=1)
    evaluation.set_model(model)
    embedded = keras.ops.convert_to_numpy(model(x))
    expected = hyperbolic_recall(embedded, y)
    assert evaluation.compute()["val_recall@1"] == expected
    by_angle = khp.retrieval.evaluate(embedded, y, k=1, metrics=["recall"])
    assert by_angle["recall@1"] != expected


def test_the_geometry_travels(tmp_path):
    x, y = tiny.INPUTS, tiny.LABELS
    model = compiled(khp.losses.ProxyAnchorLoss() + 0.5 * hier())
    tiny.fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.geometry == BALL
    np.testing.assert_allclose(loaded.embed(x), model.embed(x), rtol=1e-6)
    np.testing.assert_array_equal(latents(loaded), latents(model))
    assert loaded.loss.terms[1].proxies is loaded.get_layer("latent")
    tiny.fit(loaded, x, y)


def test_presets_keep_geometry_and_latent_proxies(tmp_path):
    embedder = image_embedder(latent=khp.layers.LatentHierarchy(9, BALL))
    embedder.save_to_preset(tmp_path / "preset")
    load = khp.models.ImageEmbedder.from_preset
    values = keras.ops.convert_to_numpy(embedder.latent.proxies)
    for options in ({}, {"num_classes": 7}, {"num_classes": None}):
        loaded = load(tmp_path / "preset", **options)
        assert loaded.geometry == BALL
        again = keras.ops.convert_to_numpy(loaded.latent.proxies)
        np.testing.assert_array_equal(again, values)
        np.testing.assert_allclose(
            loaded.embed(tiny.IMAGES), embedder.embed(tiny.IMAGES), atol=1e-6
        )
    fresh = load(tmp_path / "preset", latent=khp.layers.LatentHierarchy(5, BALL))
    assert fresh.latent.proxies.shape == (5, 8)
    assert load(tmp_path / "preset", latent=None).latent is None


def test_a_preset_of_the_sphere_goes_on_in_the_ball(tmp_path):
    embedder = image_embedder(geometry=None)
    embedder.save_to_preset(tmp_path / "preset")
    loaded = khp.models.ImageEmbedder.from_preset(tmp_path / "preset", geometry=BALL)
    assert loaded.geometry == BALL and loaded.latent is None
    loaded = khp.models.ImageEmbedder.from_preset(
        tmp_path / "preset", geometry=BALL, latent="auto"
    )
    assert loaded.latent.num_proxies == 512


# Precision


def test_points_stay_in_the_ball_in_mixed_bfloat16():
    x = 100 * np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = ball_model(PoincareBall(1.0, None), PoincareBall(1.0, None))
    keras.config.set_dtype_policy("float32")
    full = ball_model(PoincareBall(1.0, None), PoincareBall(1.0, None))
    full.set_weights(half.get_weights())
    for inputs in (x, 1e-3 * x):
        points = half.embed(inputs)
        assert points.dtype == "float32"
        assert np.linalg.norm(points, axis=1).max() < 1
    # The dense layer rounds its output to 8 bits; distances of what leaves it are
    # those of float32.
    dense = keras.Model(half.input, half.get_layer("dense").output)
    rounded = keras.ops.convert_to_numpy(
        keras.ops.cast(dense(1e-3 * x), "float32")
    ).astype("float32")
    ball = PoincareBall(1.0, None)
    expected = ball.pairwise_distance(ball.project(rounded))
    found = ball.pairwise_distance(half.embed(1e-3 * x))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found),
        keras.ops.convert_to_numpy(expected),
        atol=2e-3,
    )


def test_training_in_mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = compiled(khp.losses.HierProxyLoss() + 0.5 * hier())
    history = tiny.fit(model, epochs=2)
    assert np.isfinite(history["loss"]).all()
    assert np.linalg.norm(model.embed(tiny.INPUTS), axis=1).max() < 1


# Training


@pytest.mark.nightly(on="jax")  # several times faster there than on PyTorch
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_thousand_steps_at_a_large_rate_give_no_nan(optimizer):
    model = ball_model(PoincareBall(), PoincareBall())
    kind = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[optimizer]
    loss = khp.losses.SupConLoss(0.2, PoincareBall()) + hier(max_triplets=20)
    model.compile(kind(10.0 if optimizer == "sgd" else 1.0), loss=loss)
    x, y = np.tile(tiny.INPUTS, (50, 1)), np.tile(tiny.LABELS, 50)
    history = tiny.fit(model, x, y, batch_size=12, epochs=10)
    assert len(history["loss"]) == 10 and np.isfinite(history["loss"]).all()
    points = model.embed(x)
    assert np.isfinite(points).all()
    assert np.linalg.norm(points, axis=1).max() < 1 / 0.1**0.5
    assert np.isfinite(latents(model)).all()


def test_validation_and_prediction_do_not_change_what_training_draws():
    def train(look):
        keras.utils.set_random_seed(0)
        model = compiled(khp.losses.ProxyAnchorLoss() + hier())
        for epoch in range(2):
            if look:
                model.evaluate(tiny.INPUTS, tiny.LABELS, verbose=0)
                model.predict(tiny.INPUTS, verbose=0)
                model.embed(tiny.INPUTS)
            data = (tiny.INPUTS, tiny.LABELS) if look else None
            tiny.fit(model, initial_epoch=epoch, epochs=epoch + 1, validation_data=data)
        state = model.get_layer("latent").seed_generator.state
        return latents(model), keras.ops.convert_to_numpy(state)

    expected, found = train(look=False), train(look=True)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


def test_every_training_step_draws_anew():
    model = compiled(khp.losses.ProxyAnchorLoss() + hier(), optimizer="sgd")
    generator = model.get_layer("latent").seed_generator
    before = keras.ops.convert_to_numpy(generator.state).copy()
    tiny.fit(model)  # three steps
    after = keras.ops.convert_to_numpy(generator.state)
    np.testing.assert_array_equal(after.astype(int) - before.astype(int), [0, 3])
