"""Peak memory, measured from outside NumPy: in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.host(on="jax"),
    pytest.mark.skipif(
        not Path("/proc/self/status").exists(), reason="reads VmHWM from /proc"
    ),
]

# Sizes ascend, so that each run raises the process's high-water mark.
SCRIPT = """
import re
import numpy as np
from keras_hierproxy.retrieval import evaluate

def peak():
    status = open("/proc/self/status").read()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024

def run(n, giant=0):
    points = np.random.default_rng(0).standard_normal((n, 16), dtype="float32")
    labels = np.arange(n) // 5
    labels[:giant] = 0
    evaluate(points, labels)

run(500)
start = peak()
for n, giant in (4_000, 0), (20_000, 0), (12_000, 3_000):
    run(n, giant)
    print(peak() - start)
"""


def test_memory_is_linear_in_the_rows():
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    small, large, giant_class = map(float, output.split())
    # In MB. 20,000 x 20,000 similarities would be 1,600; even bools would be 400.
    assert large < 5 * small + 30
    assert large < 100
    # 12,000 queries, each with as many neighbours as the largest class: 430.
    assert giant_class < 200
