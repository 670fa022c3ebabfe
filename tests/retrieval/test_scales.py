"""Embeddings are directions, whatever their length and precision."""

import keras
import numpy as np
import pytest

from keras_hierproxy.geometry import Sphere
from keras_hierproxy.retrieval import evaluate, knn

pytestmark = pytest.mark.host

LABELS = np.arange(120) // 4
METRICS = ("recall", "map", "nmi")


@pytest.fixture
def points():
    """Noisy classes, and a row of zeros."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 8))[LABELS] + rng.normal(size=(120, 8))
    points[7] = 0
    return points


@pytest.mark.parametrize("scale", [1e-308, 1e-200, 1e-46, 1e-39, 1e39, 1e200, 1e306])
def test_float64_of_any_scale(points, scale):
    expected = evaluate(points, LABELS, metrics=METRICS)
    assert evaluate(points * scale, LABELS, metrics=METRICS) == expected
    halves = slice(None, 60), slice(60, None)
    ours = knn(points[halves[0]] * scale, points[halves[1]] / scale**0.5, k=5)
    theirs = knn(points[halves[0]], points[halves[1]], k=5)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-6)


def test_each_row_of_its_own_scale(points):
    scales = 10.0 ** np.random.default_rng(1).uniform(-300, 300, size=(120, 1))
    expected = evaluate(points, LABELS, metrics=METRICS)
    assert evaluate(points * scales, LABELS, metrics=METRICS) == expected


@pytest.mark.parametrize(
    "dtype, scale",
    [
        ("float64", 1e-320), ("float64", 5e-324),
        ("float32", 1e-38), ("float32", 1e-44), ("float32", 1e37),
        ("float16", 1e-7), ("float16", 1e4), ("longdouble", 1e-300), ("int64", 1e15),
    ],
)  # fmt: skip
def test_what_is_left_of_a_number_counts(points, dtype, scale):
    """Rounded as it is, a point has the direction that its digits say."""
    rounded = (points * scale).astype(dtype)
    largest = np.maximum(np.abs(points * scale).max(axis=1, keepdims=True), 5e-324)
    expected = evaluate(rounded.astype("float64") / largest, LABELS, metrics=METRICS)
    assert evaluate(rounded, LABELS, metrics=METRICS) == expected


def test_search_vectors_are_of_norm_1_or_0(points):
    for scale in (1e-320, 1e-200, 1.0, 1e300):
        vectors, _ = Sphere().search_vectors(points * scale, points[:0])
        assert vectors.dtype == "float32"
        norms = np.linalg.norm(vectors, axis=1)
        np.testing.assert_allclose(np.delete(norms, 7), 1, atol=1e-6)
        assert norms[7] == 0


def test_tensors_of_the_backend(points):
    tensor = keras.ops.convert_to_tensor(points, "bfloat16")
    rounded = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
    assert evaluate(tensor, LABELS) == evaluate(rounded, LABELS)
