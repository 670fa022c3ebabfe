"""Products on an accelerator, here computed on the CPU by each backend."""

import numpy as np
import pytest
from keras import ops

from keras_hierproxy.retrieval import knn, products, search


@pytest.fixture
def on_device(monkeypatch):
    """As if there were an accelerator, with little memory; counts its searches."""
    sizes = []

    class Counting(products.DeviceProducts):
        def best(self, queries, k):
            sizes.append(len(queries))
            return super().best(queries, k)

    monkeypatch.setattr(search, "inner_products", Counting)
    monkeypatch.setattr(products, "BLOCK_ON_DEVICE", 7 * 300)
    return sizes


def points(rows):
    return np.random.default_rng(rows).normal(size=(rows, 24)).astype("float32")


@pytest.mark.parametrize("k", [1, 5, 130])
@pytest.mark.parametrize("gallery", [None, points(300)])
def test_same_neighbours(on_device, k, gallery, request):
    queries = points(310)
    indices, similarities = knn(queries, gallery, k=k)
    assert on_device
    request.getfixturevalue("monkeypatch").undo()
    expected, expected_similarities = knn(queries, gallery, k=k)
    assert on_device == on_device[:1]
    np.testing.assert_allclose(similarities, expected_similarities, atol=1e-6)
    # Those that differ by less than that may change places.
    assert (indices == expected).mean() > 0.999


def test_ties_and_duplicates(on_device):
    queries = np.repeat(points(40), 5, axis=0)
    indices, _ = knn(queries, k=6)
    first = np.arange(200) // 5 * 5
    others = np.setdiff1d(np.arange(5), 0)
    np.testing.assert_array_equal(indices[0, :4], others)
    assert (np.sort(indices[:, :4], axis=1) >= first[:, None]).all()
    assert (np.sort(indices[:, :4], axis=1) < first[:, None] + 5).all()


def test_split_loses_nothing_and_fits_tf32():
    vectors = points(100) * 1e3
    kept, rest = products._split(vectors)
    np.testing.assert_array_equal(kept + rest, vectors)
    # 10 bits of the fraction are left, so that a power of two more makes it whole.
    _, exponent = np.frexp(kept)
    scaled = np.ldexp(kept.astype("float64"), 11 - exponent)
    np.testing.assert_array_equal(scaled, np.round(scaled))
    assert (np.abs(rest) <= np.abs(vectors) * 2.0**-10).all()


def test_products_rounded_to_tf32_stay_exact(monkeypatch):
    """As on an accelerator: factors are cut to TF32 before they are multiplied."""

    def cut(x):
        bits = ops.convert_to_numpy(x).view("uint32") & products.TF32_BITS
        return bits.view("float32")

    matmul = ops.matmul
    monkeypatch.setattr(products.ops, "matmul", lambda x, y: matmul(cut(x), cut(y)))
    queries, gallery = points(50), points(400)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery)]
    found, rows = products.DeviceProducts(unit[1]).best(unit[0], 10)
    exact = unit[0].astype("float64") @ unit[1].T.astype("float64")
    best = -np.sort(-exact, axis=1)[:, :10]
    np.testing.assert_allclose(found, best, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(exact, rows, 1), best, atol=1e-6)
    rounded = np.abs(cut(unit[0]) @ cut(unit[1]).T - exact).max()
    assert rounded > 1e-4  # what the split is for


def test_chosen_by_the_device():
    assert isinstance(products.inner_products(points(3)), products.FaissProducts)
