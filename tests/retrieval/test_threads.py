"""faiss and the backend bring thread pools of their own into one process."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
if sys.argv[1] == "faiss first":
    import faiss
import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(1200, 1200)).astype("float32")

def step():
    return keras.ops.convert_to_numpy(keras.ops.matmul(x, x))

if sys.argv[1] == "backend first":
    step()
from keras_hierproxy.retrieval import knn

points = x[:, :256]

def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start

def search():
    return knn(points, k=5)

expected, _ = search()
step()
alone = min(seconds(search) for _ in range(9)), min(seconds(step) for _ in range(9))
beside = [(seconds(step), seconds(search)) for _ in range(9)]
assert (search()[0] == expected).all()
print(*alone, min(s for _, s in beside), min(s for s, _ in beside))
"""


@pytest.mark.nightly
@pytest.mark.parametrize("order", ["faiss first", "backend first"])
def test_search_beside_the_backend(order):
    """No crash, whichever is loaded first, and neither slows the other down."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, order],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    search_alone, step_alone, search, step = map(float, run.stdout.split())
    # Oversubscribed pools cost a factor of ten and more; a busy machine, less.
    assert search < 5 * search_alone + 0.05
    assert step < 5 * step_alone + 0.05
