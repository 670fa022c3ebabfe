"""What the command line makes of a gallery that has changed."""

import json
from pathlib import Path

import numpy as np
import pytest

import keras_hierproxy as khp

pytestmark = pytest.mark.host


def gallery_in(folder, noise):
    """Points around eight classes, of which items came and went."""
    random = np.random.default_rng(0)
    gallery = khp.Gallery(dimension=8)
    for step in range(3):
        classes = random.integers(0, 8, 40)
        points = np.eye(8)[classes] + noise * random.normal(size=(40, 8))
        labels = [(f"class {i}", f"kind {i % 3}") for i in classes]
        gallery.add(points=points, labels=labels)
        gallery.remove(random.permutation(gallery.ids)[: 5 * step])
    gallery.save(folder)
    gallery.add(points=np.eye(8)[:2], labels=["class 0", ("new", "kind 1")])
    return gallery


def test_evaluate_and_compare(call):
    gallery = gallery_in("one", 0.2)
    code, stdout, _ = call("evaluate", "one", "-o", "first")
    assert code == 0 and "107 queries" in stdout and len(gallery) == 107
    stored = khp.embeddings.load("one")
    assert sorted(stored.ids.tolist()) == sorted(gallery.ids.tolist())
    expected = khp.retrieval.evaluate(
        **stored.retrieval_arguments(), geometry=stored.geometry
    )
    record = json.loads(Path("first/metrics.json").read_text())["embeddings"]
    assert record["recall@1"] == pytest.approx(expected["recall@1"])
    assert record["level1_recall@1"] == pytest.approx(expected["level1_recall@1"])
    gallery_in("two", 0.6)
    assert call("evaluate", "two", "-o", "second")[0] == 0
    code, stdout, _ = call("compare", "first", "second")
    assert code == 0 and "No difference" not in stdout and "first" in stdout
