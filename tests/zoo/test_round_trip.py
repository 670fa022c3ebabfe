"""A preset fine-tuned on new classes, saved, and loaded on another backend."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny
from tests.integration.fresh import finish, start

pytestmark = pytest.mark.nightly

OTHERS = [
    backend
    for backend in ("tensorflow", "jax", "torch")
    if backend != keras.config.backend()
]


@pytest.fixture(scope="module")
def tuned(saved, tmp_path_factory):
    """The folder of the tuned preset, its embeddings, and what others found."""
    folder = tmp_path_factory.mktemp("tuned")
    before = khp.models.ImageEmbedder.from_preset(saved).embed(tiny.IMAGES)
    embedder = khp.models.ImageEmbedder.from_preset(saved, num_classes=6)
    np.testing.assert_array_equal(embedder.embed(tiny.IMAGES), before)
    embedder.compile(
        khp.optimizers.grouped(embedder, backbone=1e-2, head=1e-2),
        loss=khp.losses.HierProxyLoss(),
        run_eagerly=tiny.EAGERLY,
    )
    labels = np.arange(12, dtype="int32") % 6
    update = khp.callbacks.HierarchyUpdate(warmup_epochs=0)
    tiny.fit(embedder, tiny.IMAGES, labels, epochs=2, callbacks=[update])
    after = embedder.embed(tiny.IMAGES)
    assert np.abs(after - before).max() > 0.01
    embedder.save_to_preset(folder / "preset")
    np.save(folder / "images.npy", tiny.IMAGES)
    processes = [
        start(
            "from_preset",
            folder / "preset",
            folder / "images.npy",
            folder / f"{backend}.npz",
            backend=backend,
        )
        for backend in OTHERS
    ]
    for process in processes:
        finish(process)
    return folder, after


@pytest.mark.parametrize("backend", OTHERS)
def test_on_another_backend(tuned, backend):
    folder, after = tuned
    found = np.load(folder / f"{backend}.npz")
    assert found["num_classes"] == 6
    np.testing.assert_allclose(found["embeddings"], after, atol=1e-5)
