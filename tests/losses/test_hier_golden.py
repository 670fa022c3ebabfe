"""HIER against arrays of the authors' published implementation, in float64.

`tests/golden/hier_*.npz`; their distance has a 1e-5 in one denominator, hence 3e-4.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_hierproxy as khp
from tests.gradients import assert_gradients_close, value_and_gradients

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module", params=sorted(GOLDEN.glob("hier_*.npz")), ids=str)
def golden(request):
    arrays = dict(np.load(request.param))
    return {
        name: value.astype("float32") if value.dtype == "float64" else value
        for name, value in arrays.items()
    }


def ball(golden, **options):
    return khp.geometry.PoincareBall(
        float(golden["curvature"]), float(golden["clip_radius"]), **options
    )


def test_golden_files_are_there():
    assert len(list(GOLDEN.glob("hier_*.npz"))) == 3


@pytest.mark.parametrize("name", ["embeddings", "proxies"])
def test_points(golden, name):
    points = ops.convert_to_numpy(ball(golden).project(golden[name]))
    np.testing.assert_allclose(points, golden[f"ball_{name}"], atol=1e-6)


@pytest.mark.parametrize("kind", ["riemannian", "plain"])
def test_gradients_of_the_map(golden, kind):
    space = ball(golden, riemannian=kind == "riemannian")
    _, (gradient,), _ = value_and_gradients(
        lambda x: ops.sum(ops.multiply(golden["map_cotangent"], space.project(x))),
        [golden["embeddings"]],
    )
    assert_gradients_close(gradient, golden[f"map_grad_{kind}"], 1e-5)


@pytest.mark.parametrize("pair", ["ee", "ep", "pp"])
def test_distances(golden, pair):
    points = {"e": golden["ball_embeddings"], "p": golden["ball_proxies"]}
    within = pair[0] == pair[1]
    distances = ops.convert_to_numpy(
        ball(golden).pairwise_distance(
            points[pair[0]], None if within else points[pair[1]]
        )
    )
    expected = golden[f"dist_{pair}"].copy()
    if within:
        np.testing.assert_array_equal(np.diag(distances), 0)
        np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=3e-4)


def test_mutual_neighbors(golden):
    k = int(golden["topk"])
    labels = golden["labels"]
    similarity = np.exp(-golden["dist_ee"]) + (labels[:, None] == labels)
    mutual = ops.convert_to_numpy(khp.ops.mutual_neighbors(similarity, k))
    np.testing.assert_array_equal(mutual, golden["mutual_ee"])
    mutual = khp.ops.mutual_neighbors(np.exp(-golden["dist_pp"]), k)
    np.testing.assert_array_equal(ops.convert_to_numpy(mutual), golden["mutual_pp"])


# JAX compiles what it runs eagerly, too, op by op.
EAGER = pytest.param(
    False, marks=pytest.mark.nightly if keras.config.backend() == "jax" else ()
)


@pytest.mark.parametrize("jit", [EAGER, True], ids=["eager", "jit"])
@pytest.mark.parametrize("term", ["data", "proxy"])
def test_terms_and_gradients(golden, term, jit):
    space = ball(golden)

    def loss(embeddings, proxies):
        points = embeddings if term == "data" else proxies
        distances = space.pairwise_distance(points, proxies if term == "data" else None)
        return khp.ops.lca_triplet_loss(
            distances,
            golden[f"{term}_triplets"],
            golden[f"{term}_gumbel"],
            float(golden["margin"]),
            float(golden["tau"]),
        )

    arrays = [golden["ball_embeddings"], golden["ball_proxies"]]
    value, (by_embeddings, by_proxies), _ = value_and_gradients(loss, arrays, jit=jit)
    assert value == pytest.approx(golden[f"{term}_loss"], rel=1e-4)
    assert_gradients_close(by_proxies, golden[f"{term}_grad_ball_proxies"], 1e-4)
    expected = golden[f"{term}_grad_ball_embeddings"]
    if term == "data":
        assert_gradients_close(by_embeddings, expected, 1e-4)
    else:
        assert not expected.any() and not by_embeddings.any()
