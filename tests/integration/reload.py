"""Loads the models that `test_across_backends.py` saved, uses and trains them on.

    python -m tests.integration.reload FOLDER

Writes what it finds to FOLDER/<backend>.npz.
"""

import sys
from pathlib import Path

import keras
import numpy as np

import keras_hierproxy  # noqa: F401 (it registers what the files hold)
from tests.integration import runs

NAMES = ("vectors", "images", "preset")
BATCHES = {"batch_size": runs.BATCH_SIZE, "verbose": 0}


def load(folder, name):
    if name == "preset":
        return keras_hierproxy.models.ImageEmbedder.from_preset(folder / name)
    return keras.models.load_model(folder / f"{name}.keras")


def describe(model, x, y):
    """What must not depend on the backend: a dict of arrays."""
    found = {"embeddings": model.embed(x)}
    layer = model.layers[-1]
    found["taxonomy"] = keras.ops.convert_to_numpy(layer.taxonomy)
    if not model.compiled:
        return found
    assert all(getattr(term, "proxies", layer) is layer for term in model.loss.terms)
    moments = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]
    found |= {f"optimizer {i}": value for i, value in enumerate(moments)}
    found["loss"] = model.evaluate(x, y, **BATCHES)
    history = model.fit(x, y, initial_epoch=3, epochs=5, **BATCHES)
    found["history"] = history.history["loss"]
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    data = np.load(folder / "data.npz")
    found = {}
    for name in NAMES:
        kind = "vectors" if name == "vectors" else "images"
        x, y = data[f"{kind} x"], data[f"{kind} y"]
        model = load(folder, name)
        found |= {f"{name} {k}": v for k, v in describe(model, x, y).items()}
    np.savez(folder / f"{keras.config.backend()}.npz", **found)
