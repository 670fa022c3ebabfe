"""The presets that are shipped, each of them."""

import json
import pathlib

import h5py
import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy import shipped
from tools import readme_zoo

PRESETS = khp.zoo.list_presets()
once = pytest.mark.host
each = pytest.mark.parametrize("name", PRESETS)
TOGETHER = 60e6  # bytes


@once
def test_the_registry_is_in_step_with_the_folders():
    folders = [path.name for path in (shipped.folder() / "presets").glob("*/")]
    assert sorted(folders) == PRESETS
    for name in PRESETS:
        there = {path.name for path in (shipped.folder() / "presets" / name).iterdir()}
        assert there == set(khp.zoo.describe(name)["files"])
        shipped.preset_folder(name)


@once
def test_the_registry_is_as_it_is_written():
    text = (shipped.folder() / shipped.REGISTRY).read_text("utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


@once
def test_together_they_are_small():
    sizes = [khp.zoo.describe(name)["size"] for name in PRESETS]
    assert sum(sizes) < TOGETHER


@once
def test_the_readme_is_in_step():
    readme = readme_zoo.README.read_text("utf-8")
    assert readme == readme_zoo.with_table(readme), "run `make zoo-table`"
    assert all(f"| `{name}` |" in readme for name in PRESETS)


@once
def test_a_row_of_the_readme(little_zoo):
    readme = f"before\n{readme_zoo.BEGIN}\nold\n{readme_zoo.END}\nafter\n"
    written = readme_zoo.with_table(readme)
    assert "old" not in written and written.endswith(f"{readme_zoo.END}\nafter\n")
    assert (
        "| `hierproxy_tiny` | HPL, Conv-4 | noise | 1,234,567 | 2.3 MB | "
        "0.123 (0.120, 0.110 to 0.130) noise | 4,321 images/s (1 core) |\n"
    ) in written
    assert readme_zoo.with_table(written) == written
    with pytest.raises(ValueError, match="has no block"):
        readme_zoo.with_table("nothing")


@each
def test_reference_embeddings(name):
    reference = np.load(shipped.preset_folder(name) / "reference.npz")
    embedder = khp.models.ImageEmbedder.from_preset(name)
    points = embedder.embed(reference["images"])
    np.testing.assert_allclose(points, reference["embeddings"], atol=1e-4)
    # It could not fail where all images lie in one place.
    distances = embedder.geometry.pairwise_distance(keras.ops.convert_to_tensor(points))
    distances = keras.ops.convert_to_numpy(distances)
    assert (distances[~np.eye(len(points), dtype=bool)] > 1e-2).all()


@once
@each
def test_what_the_registry_says_of_the_model(name):
    known = khp.zoo.describe(name)
    embedder = khp.models.ImageEmbedder.from_preset(name)
    assert known["embedding_dim"] == embedder.output_shape[-1]
    assert tuple(known["image_shape"]) == embedder.input_shape[1:]
    assert known["geometry"] == str(embedder.geometry)
    assert known["num_classes"] == embedder.num_classes
    assert known["parameters"] == embedder.count_params()
    if "source" in known:
        assert "PyPI" in known["source"] and "recipe" not in known
    else:
        assert known["recipe"] in khp.zoo.list_recipes()
        for entry in known["recall@1"]:
            assert entry["least"] <= entry["mean"] <= entry["most"]
            assert len(entry["seeds"]) >= 3
    assert known["licence"] and known["data_licence"] and known["limits"]
    assert name in khp.zoo.card(name)


@once
@each
def test_weights_alone_are_shipped(name):
    folder = shipped.preset_folder(name)
    for path in folder.glob("*.h5"):
        with h5py.File(path) as file:
            assert "optimizer" not in file
    suffixes = {pathlib.Path(file).suffix for file in khp.zoo.describe(name)["files"]}
    assert suffixes == {".md", ".json", ".h5", ".npz"}


@pytest.mark.nightly
@each
def test_new_classes_keep_embeddings(name):
    reference = np.load(shipped.preset_folder(name) / "reference.npz")
    embedder = khp.models.ImageEmbedder.from_preset(name, num_classes=7)
    assert embedder.num_classes == 7
    points = embedder.embed(reference["images"])
    np.testing.assert_allclose(points, reference["embeddings"], atol=1e-4)
