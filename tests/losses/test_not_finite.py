"""What is not finite is seen: NaN stays NaN. What is not there is 0."""

import dataclasses

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests.gradients import differentiated
from tests.losses.cases import ALL, SMALL, as_float32

BALL = khp.geometry.PoincareBall()
LABELS = SMALL.labels.astype("int32")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A loss on its own layer, with embeddings that it takes."""

    name: str
    build: object
    on_ball: bool = False

    def __str__(self):
        return self.name

    def embeddings(self):
        raw = as_float32(SMALL.embeddings)
        if not self.on_ball:
            return raw
        return keras.ops.convert_to_numpy(BALL.project(raw))


def hier():
    layer = khp.layers.LatentHierarchy(16, geometry=BALL)
    layer.build(SMALL.embeddings.shape)
    return khp.losses.HIERLoss(num_neighbors=6, proxies=layer)


SUBJECTS = [
    *(Subject(str(case), case.build) for case in ALL),
    Subject(
        "SupConLoss on the ball", lambda: khp.losses.SupConLoss(geometry=BALL), True
    ),
    Subject("HIERLoss", hier, True),
    Subject("a sum", lambda: 0.5 * khp.losses.TripletLoss() + hier(), True),
]
OVER_PROXIES = [
    subject
    for subject in SUBJECTS
    if subject.name == "HIERLoss" or getattr(subject.build(), "proxies", None)
]


def proxies_of(loss):
    layer = getattr(loss, "proxies", None)
    return [] if layer is None else layer.proxy_variables()


def measuring(loss, labels=LABELS):
    """A function of embeddings: the loss' value, and its gradients by what it reads."""
    measure = differentiated(lambda x: loss(labels, x), proxies_of(loss))

    def measure_one(embeddings):
        value, (by_embeddings,), by_proxies = measure([embeddings])
        return value, by_embeddings, by_proxies

    return measure_one


def test_every_loss_is_here():
    losses = {type(subject.build()).__name__ for subject in SUBJECTS}
    assert losses == {
        name
        for name in dir(khp.losses)
        if name.endswith("Loss")
        and name not in ("EmbeddingLoss", "BoundLoss", "ProxyLoss")  # bases
    }


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_an_embedding_that_is_not_finite_gives_nan(subject):
    measure = measuring(subject.build())
    assert np.isfinite(measure(subject.embeddings())[0])
    for value in (np.nan, np.inf, -np.inf):
        embeddings = subject.embeddings()
        embeddings[3] = value
        loss, by_embeddings, _ = measure(embeddings)
        assert np.isnan(loss), value
        assert np.isnan(by_embeddings).any(), value
        embeddings = subject.embeddings()
        embeddings[3, 1] = value
        assert np.isnan(measure(embeddings)[0]), value


@pytest.mark.skipif(
    keras.config.backend() == "jax", reason="the compiled step below does the same"
)
@pytest.mark.parametrize("subject", OVER_PROXIES, ids=str)
def test_proxies_that_are_not_finite_give_nan(subject):
    loss = subject.build()
    assert_nan_by_proxies(loss, lambda x: float(loss(LABELS, x)), subject.embeddings())


def assert_nan_by_proxies(loss, measure, embeddings):
    """Of a measure that reads proxies, when any of them are not finite."""
    assert np.isfinite(measure(embeddings))
    for variable in proxies_of(loss):
        before = keras.ops.convert_to_numpy(variable).copy()
        for place in (np.s_[:], np.s_[1], np.s_[1, 0]):
            for value in (np.nan, np.inf, -np.inf):
                entries = before.copy()
                entries[place] = value
                variable.assign(entries)
                assert np.isnan(measure(embeddings)), (place, value)
                variable.assign(before)


def compiled(loss):
    """A loss as `fit` runs it: a compiled function of its proxies and embeddings."""
    variables = proxies_of(loss)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        # Keras has no code converted either.
        traced = tf.function(lambda x: loss(LABELS, x), autograph=False)
        return lambda x: float(traced(tf.convert_to_tensor(x)))

    import jax

    @jax.jit
    def traced(values, x):
        with keras.StatelessScope(zip(variables, values, strict=True)):
            return loss(LABELS, x)

    return lambda x: float(traced([v.value for v in variables], x))


@pytest.mark.skipif(
    keras.config.backend() == "torch", reason="Keras compiles nothing there"
)
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_what_is_not_finite_is_seen_in_a_compiled_step(subject):
    loss = subject.build()
    step = compiled(loss)
    assert_nan_by_proxies(loss, step, subject.embeddings())
    for place in (np.s_[3], np.s_[3, 1]):
        for value in (np.nan, np.inf, -np.inf):
            embeddings = subject.embeddings()
            embeddings[place] = value
            assert np.isnan(step(embeddings)), (place, value)


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_a_batch_of_none_is_0_with_a_gradient_of_0(subject):
    measure = measuring(subject.build(), LABELS[:0])
    value, by_embeddings, by_proxies = measure(subject.embeddings()[:0])
    assert value == 0
    assert by_embeddings.shape == (0, SMALL.embeddings.shape[1])
    for gradient in by_proxies:
        assert (gradient == 0).all()


def test_a_batch_of_none_in_a_graph_that_does_not_know_its_size():
    if keras.config.backend() != "tensorflow":
        pytest.skip("sizes are known elsewhere")
    import tensorflow as tf

    for subject in SUBJECTS:
        loss = subject.build()
        traced = tf.function(
            loss,
            input_signature=[
                tf.TensorSpec([None], "int32"),
                tf.TensorSpec([None, SMALL.embeddings.shape[1]], "float32"),
            ],
            autograph=False,
        )
        assert traced(LABELS[:0], subject.embeddings()[:0]) == 0
        full = traced(LABELS, subject.embeddings())
        assert np.isfinite(full) and full > 0


@pytest.mark.parametrize("x", [np.nan, np.inf])
def test_distances_of_what_is_not_finite_are_nan(x):
    points = keras.ops.convert_to_numpy(BALL.project(as_float32(SMALL.embeddings)))
    points[2] = x
    distances = keras.ops.convert_to_numpy(BALL.pairwise_distance(points))
    beside = np.delete(np.arange(len(points)), 2)
    assert np.isnan(distances[2, beside]).all()
    assert np.isfinite(distances[np.ix_(beside, beside)]).all()
    raw = as_float32(SMALL.embeddings)
    raw[2] = x
    projected = keras.ops.convert_to_numpy(BALL.project(raw))
    assert np.isnan(projected[2]).any() and np.isfinite(projected[beside]).all()


def test_regularizers_of_nan_are_nan():
    for per_proxy in (False, True):
        regularizer = khp.regularizers.SoftOrthogonality(0.1, per_proxy)
        for shape in ((3, 8), (8, 3)):
            proxies = np.random.default_rng(0).normal(size=shape).astype("float32")
            proxies[1] = np.nan
            assert np.isnan(float(regularizer(keras.ops.convert_to_tensor(proxies))))
