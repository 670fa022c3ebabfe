"""Saved in mid-training on this backend, loaded on the two others."""

import keras
import numpy as np
import pytest

from tests.integration import runs
from tests.integration.fresh import finish, start
from tests.integration.reload import NAMES, describe

pytestmark = pytest.mark.nightly

OTHERS = [
    backend
    for backend in ("tensorflow", "jax", "torch")
    if backend != keras.config.backend()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What this backend saved and found, and what the others found."""
    folder = tmp_path_factory.mktemp("saved")
    x, y = runs.vectors()
    images = runs.images()
    labels = images.labels[:, 0]
    np.savez(
        folder / "data.npz",
        **{"vectors x": x, "vectors y": y},
        **{"images x": images.images, "images y": labels},
    )
    keras.utils.set_random_seed(0)
    vectors = runs.compiled(runs.embedding_model())
    runs.fit_vectors(vectors, 3)
    vectors.save(folder / "vectors.keras")
    embedder = runs.compiled(runs.image_embedder())
    runs.fit_images(embedder, 3)
    embedder.save(folder / "images.keras")
    embedder.save_to_preset(folder / "preset")

    processes = [start("reload", folder, backend=other) for other in OTHERS]
    found = {
        **{f"vectors {k}": v for k, v in describe(vectors, x, y).items()},
        **{
            f"images {k}": v
            for k, v in describe(embedder, images.images, labels).items()
        },
    }
    np.savez(folder / f"{keras.config.backend()}.npz", **found)
    for process in processes:
        finish(process)
    return folder


@pytest.fixture(params=OTHERS)
def both(request, folder):
    """What this backend has, and what another found."""
    names = (keras.config.backend(), request.param)
    return [dict(np.load(folder / f"{name}.npz")) for name in names]


@pytest.mark.parametrize("name", NAMES)
def test_same_embeddings_and_hierarchy(both, name):
    here, there = both
    kind = "images" if name == "preset" else name
    for what in ("embeddings", "taxonomy"):
        np.testing.assert_allclose(
            there[f"{name} {what}"], here[f"{kind} {what}"], atol=1e-5
        )


@pytest.mark.parametrize("name", ["vectors", "images"])
def test_same_optimizer_state(both, name):
    here, there = both
    keys = [key for key in here if key.startswith(f"{name} optimizer")]
    assert len(keys) > 10
    for key in keys:
        np.testing.assert_array_equal(there[key], here[key], err_msg=key)
    # Of the whole and of its parts: 3 epochs of 7 batches, or of 3.
    counts = [here[key] for key in keys if here[key].dtype.kind == "i"]
    assert counts and set(map(int, counts)) == {21 if name == "vectors" else 9}


@pytest.mark.parametrize("name", ["vectors", "images"])
def test_same_loss_and_same_way_on(both, name):
    here, there = both
    np.testing.assert_allclose(there[f"{name} loss"], here[f"{name} loss"], rtol=1e-4)
    np.testing.assert_allclose(
        there[f"{name} history"], here[f"{name} history"], rtol=1e-3
    )
