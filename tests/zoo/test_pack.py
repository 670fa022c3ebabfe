"""The tool that packs trained runs."""

import json
import re

import h5py
import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny
from tests.models.test_image_embedder import compiled, conv4_embedder
from tools import pack_preset

pytestmark = pytest.mark.host
FACTS = """
description = "Embeds noise."
method = "HPL"
architecture = "Conv-4, 2 channels"
data = "noise"
data_licence = "none needed"
licence = "Apache-2.0"
recipe = "hierproxy_cnn_glyphs"
limits = ["Noise alone."]

[[recall]]
test_set = "other noise"
arguments = "--data noise"
seeds = { 0 = 0.25, 1 = 0.75, 2 = 0.5 }

[[recall]]
test_set = "more noise"
arguments = "--data more"
value = 0.875
seeds = { 0 = 0.875 }

[images_per_second]
value = 1234
machine = "1 core"
"""


@pytest.fixture
def packing(tmp_path, monkeypatch):
    """A function of further options that packs a run into a zoo, whose path it
    returns; by default no other process checks what it embeds."""
    run, zoo = tmp_path / "run", tmp_path / "zoo"
    run.mkdir()
    embedder = compiled(conv4_embedder())
    tiny.fit(embedder, tiny.IMAGES, tiny.IMAGE_LABELS, batch_size=12)
    embedder.save(run / "model.keras")
    (run / "metrics.json").write_text(json.dumps({"test": {"recall@1": 0.61803}}))
    zoo.mkdir()
    older = {"presets": {"zebra": {"files": {}}}}
    (zoo / "registry.json").write_text(json.dumps(older))

    def pack(*options, facts=FACTS, backends=()):
        monkeypatch.setattr(pack_preset, "BACKENDS", backends)
        (tmp_path / "facts.toml").write_text(facts)
        paths = (run, "hierproxy_noise", tmp_path / "facts.toml", "--zoo", zoo)
        pack_preset.main([*map(str, paths), *options])
        return zoo

    return pack


def test_a_run_is_packed(packing, monkeypatch):
    zoo = packing(backends=[keras.config.backend()])
    monkeypatch.setattr(khp.shipped, "folder", lambda: zoo)
    known = khp.zoo.describe("hierproxy_noise")
    assert khp.zoo.list_presets() == ["hierproxy_noise", "zebra"]
    embedder = khp.models.ImageEmbedder.from_preset("hierproxy_noise")
    folder = zoo / "presets" / "hierproxy_noise"
    reference = np.load(folder / "reference.npz")
    assert reference["images"].shape == (8, 16, 16, 3)
    assert reference["images"].dtype == "uint8"
    points = embedder.embed(reference["images"])
    np.testing.assert_allclose(points, reference["embeddings"], atol=1e-6)
    with h5py.File(folder / "task.weights.h5") as file:
        assert "optimizer" not in file
    assert {file.name for file in folder.iterdir()} == set(known["files"])
    size = sum(f.stat().st_size for f in folder.iterdir() if f.suffix != ".md")
    assert known["size"] == size
    assert known["parameters"] == embedder.count_params()
    assert known["proxy_parameters"] == embedder.proxies.count_params() > 0
    assert known["image_shape"] == [16, 16, 3]
    expected = {"test_set": "other noise", "arguments": "--data noise"}
    expected |= {"value": 0.618, "mean": 0.5, "least": 0.25, "most": 0.75}
    assert known["recall@1"][0] == {**expected, "seeds": [0, 1, 2]}
    assert known["recall@1"][1]["value"] == 0.875
    assert list(known["checked"]) == [keras.config.backend()]

    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: keras-hub\nlicense: apache-2.0\n")
    assert khp.zoo.card("hierproxy_noise").startswith("# hierproxy_noise\n")
    for part in (
        "| other noise | 0.618 | 0.500 (0.250 to 0.750) | 0, 1, 2 |",
        "hierproxy train --recipe hierproxy_cnn_glyphs",
        "hierproxy evaluate hierproxy_noise --data more",
        "- Noise alone.",
        "1,234 images a second (1 core)",
    ):
        assert part in card


def test_the_same_run_packs_to_the_same_bytes(packing):
    zoo = packing()
    first = (zoo / "registry.json").read_bytes()
    with pytest.raises(SystemExit, match="Pass --replace"):
        packing()
    packing("--replace")
    assert (zoo / "registry.json").read_bytes() == first


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('method = "HPL"', "", r"missing \['method'\]"),
        ('method = "HPL"', 'methd = "HPL"', r"unknown \['methd'\]"),
        ('limits = ["Noise alone."]', "limits = []", r"missing \['limits'\]"),
        ('recipe = "hierproxy_cnn_glyphs"', "", "missing .*either recipe or source"),
        ('method = "HPL"', 'method = "HPL"\nsource = "a"', "either recipe or source"),
    ],
)
def test_facts_that_are_missing(packing, tmp_path, old, new, message):
    with pytest.raises(SystemExit, match=message):
        packing(facts=FACTS.replace(old, new))
    assert not (tmp_path / "zoo/presets").exists()


def test_nothing_is_packed_that_embeds_otherwise(packing, tmp_path, monkeypatch):
    wrong = pack_preset.CHECK.replace('reference["embeddings"]', "0.1")
    monkeypatch.setattr(pack_preset, "CHECK", wrong)
    with pytest.raises(SystemExit, match="nothing was packed"):
        packing(backends=[keras.config.backend()])
    assert not (tmp_path / "zoo/presets").exists()


def test_speed_is_measured_where_it_is_not_told(packing, monkeypatch):
    facts, _, _ = FACTS.partition("[images_per_second]")
    monkeypatch.setattr(pack_preset, "check_on_all_backends", lambda folder: {})
    zoo = packing(facts=facts)
    registry = json.loads((zoo / "registry.json").read_text())["presets"]
    rate = registry["hierproxy_noise"]["images_per_second"]
    assert rate["value"] > 0
    assert re.fullmatch(rf"\d+ cores, {keras.config.backend()}", rate["machine"])


def test_glyphs_where_they_fit():
    embedder = khp.models.ImageEmbedder(khp.models.conv4(filters=2), 3)
    images = pack_preset.reference_images(embedder)
    glyphs = khp.datasets.load("glyphs").test.images
    assert images.shape == (8, 32, 32, 1)
    assert all((glyphs == image).all((1, 2, 3)).any() for image in images)


def test_what_others_trained(packing, monkeypatch):
    facts = re.sub("seeds = .*", "value = 0.25", FACTS.replace("value = 0.875\n", ""))
    source = 'source = "Converted from theirs."\nnotes = "## Notes\\n\\nSome."'
    facts = facts.replace('recipe = "hierproxy_cnn_glyphs"', source)
    zoo = packing("--float16", facts=facts)
    registry = json.loads((zoo / "registry.json").read_text())["presets"]
    known = registry["hierproxy_noise"]
    assert known["source"] == "Converted from theirs." and "recipe" not in known
    expected = {"test_set": "other noise", "arguments": "--data noise", "value": 0.25}
    assert known["recall@1"][0] == expected
    folder = zoo / "presets" / "hierproxy_noise"
    with h5py.File(folder / "task.weights.h5") as file:
        dtypes = set()
        file.visititems(lambda _, each: dtypes.add(getattr(each, "dtype", None)))
    assert np.dtype("float16") in dtypes and np.dtype("float32") not in dtypes
    # Of the weights as they are stored.
    reference = np.load(folder / "reference.npz")
    points = khp.models.ImageEmbedder.from_preset(folder).embed(reference["images"])
    np.testing.assert_allclose(points, reference["embeddings"], atol=1e-6)
    card = (folder / "README.md").read_text()
    for part in ("by others.\nConverted from theirs.", "| other noise | 0.250 |\n"):
        assert part in card
    assert "\n## Notes\n\nSome.\n\n## Limits\n" in card
    assert "hierproxy train" not in card
