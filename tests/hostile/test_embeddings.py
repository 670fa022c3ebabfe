"""Folders of embeddings from strangers."""

import functools
import json
import os
import pathlib
import pickle
import re
import shutil
import tempfile

import numpy as np
import pytest
from PIL import Image

import keras_hierproxy as khp
from keras_hierproxy import runs
from keras_hierproxy.embeddings import EmbeddingWriter
from tests.hostile.cases import refused, right
from tests.hostile.mutations import mutate, settle

pytestmark = pytest.mark.host
load = khp.embeddings.load
NUM_MUTATIONS = int(os.environ.get("MUTATIONS", 100))
POINTS = np.eye(6, 3, dtype="float32") + 0.1
NAMES = [f"{name}.png" for name in "abcdef"]
PATHS = [f"photos/{name}" for name in NAMES]


def begin(folder):
    data = khp.datasets.RetrievalDataset(
        np.zeros((6, 4, 4, 3), "uint8"),
        [[0, 0], [0, 0], [1, 0], [1, 0], [2, 1], [2, 1]],
        class_names=[["x", "y", "z"], ["v", "w"]],
        paths=NAMES,
    )
    identity = {"model": {}, "data": {"name": "letters", "path": "photos"}}
    return EmbeddingWriter(
        folder, data, khp.geometry.PoincareBall(), 3, identity=identity
    )


@functools.cache
def whole():
    folder = pathlib.Path(tempfile.mkdtemp(), "whole")
    with begin(folder) as writer:
        writer.append(0.1 * POINTS, range(6))
        writer.finish()
    return folder


def copied(folder):
    return pathlib.Path(shutil.copytree(whole(), folder / "stored"))


def is_whole(stored):
    np.testing.assert_equal(stored.points, 0.1 * POINTS)
    assert stored.labels.tolist()[2] == [1, 0] and stored.paths == tuple(PATHS)
    return stored.geometry == khp.geometry.PoincareBall()


def with_description(**values):
    def action(folder):
        path = copied(folder) / "embeddings.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | values))
        return load(path.parent)

    return action


def with_file(name, content):
    """Loads a folder one of whose files is another, its size told as it is."""

    def action(folder):
        path = copied(folder) / name
        content(path) if callable(content) else path.write_bytes(content)
        described = path.parent / "embeddings.json"
        if name != described.name:
            tree = json.loads(described.read_text())
            tree["files"][name] = path.stat().st_size
            described.write_text(json.dumps(tree))
        return load(path.parent)

    return action


def linked(path):
    """The file itself lies elsewhere."""
    path.rename(path.parents[1] / path.name)
    path.symlink_to(path.parents[1] / path.name)


def header(text):
    """The array behind another header of the same length."""

    def change(path):
        content = path.read_bytes()
        path.write_bytes(
            content[:10] + text.ljust(117).encode() + b"\n" + content[128:]
        )

    return change


def begun_with(name, content):
    """Goes on with embeddings whose progress.json is another."""

    def action(folder):
        with begin(folder / "begun") as writer:
            writer.append(0.1 * POINTS[:2], range(2))
        path = folder / "begun" / "progress.json"
        tree = json.loads(path.read_text())
        path.write_text(json.dumps({**tree, name: content}))
        with begin(folder / "begun") as writer:
            writer.append(0.1 * POINTS[writer.position :], range(writer.position, 6))
            writer.finish()
        return load(folder / "begun")

    return action


def shows(path, secret):
    """Whether a report shows a picture, which is red, at a path of items.csv."""

    def action(folder):
        (folder / "photos").mkdir()
        for name in PATHS:
            Image.new("RGB", (8, 8), "blue").save(folder / name)
        Image.new("RGB", (8, 8), "red").save(folder / "secret.png")
        secret(folder)
        stored = copied(folder)
        items = stored / "items.csv"
        items.write_bytes(items.read_bytes().replace(b"a.png", path.encode()))
        tree = json.loads((stored / "embeddings.json").read_text())
        tree["files"]["items.csv"] = items.stat().st_size
        (stored / "embeddings.json").write_text(json.dumps(tree))
        done = runs.evaluate_embeddings(stored)
        assert done.shown.images[1][0, 0].tolist() == [0, 0, 255]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *args, **options: None)
            return bool(done.shown.images[0][0, 0, 1] < 100)

    return action


def link(folder):
    (folder / "photos" / "a.png").unlink()
    (folder / "photos" / "a.png").symlink_to(folder / "secret.png")


def nothing(folder):
    pass


SPHERE = {"name": "keras_hierproxy>Sphere", "config": {}}
FILES = {"embeddings.npy": 200, "items.csv": 9}
CASES = [
    right("as it was written", with_description(), is_whole),
    right("more than is read", with_description(more=[1]), is_whole),
    refused(
        "another registered class",
        with_description(geometry={"name": "keras_hub>ViTBackbone", "config": {}}),
        "embeddings.json.*not known here",
    ),
    refused(
        "a layer", with_description(geometry={"name": "Dense", "config": {}}), "Dense"
    ),
    refused(
        "curvature 0",
        with_description(
            geometry={
                "name": "keras_hierproxy>PoincareBall",
                "config": {"curvature": 0.0, "clip_radius": 1.0},
            }
        ),
        "embeddings.json.*curvature",
    ),
    refused(
        "a sphere with arguments",
        with_description(geometry=SPHERE | {"config": {"x": 1}}),
        "embeddings.json.*x",
    ),
    refused("a file outside", with_description(files={"../x": 1}), "embeddings.json"),
    refused(
        "one file more", with_description(files=FILES | {"/x": 1}), "/x: is unknown"
    ),
    refused("rows -1", with_description(rows=-1), "rows"),
    refused("rows 2**60", with_description(rows=2**60), "embeddings.npy"),
    refused("objects", with_description(dtype="object"), "embeddings.json.*dtype"),
    refused("levels null", with_description(levels=None), "embeddings.json.*levels"),
    refused(
        "classes 3", with_description(levels=[{"name": "a", "classes": 3}]), "clas"
    ),
    refused("NaN", with_file("embeddings.json", b"[NaN]"), "embeddings.json.*NaN"),
    refused("deep", with_file("embeddings.json", b"[" * 10**5), "nested"),
    refused("a link outside", with_file("embeddings.npy", linked), "npy is a link"),
    refused("items outside", with_file("items.csv", linked), "items.csv is a link"),
    refused("a pickle", with_file("embeddings.npy", pickle.dumps([1])), "no array"),
    refused("an empty array", with_file("embeddings.npy", b""), "no array"),
    refused(
        "objects in the array",
        with_file("embeddings.npy", lambda p: np.save(p, np.array([{}], object))),
        "embeddings.npy",
    ),
    refused(
        "4 EB",
        with_file(
            "embeddings.npy",
            header(
                f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**60}, 3)}}"
            ),
        ),
        "embeddings.npy",
    ),
    refused(
        "a header of brackets",
        with_file("embeddings.npy", header("(" * 110)),
        "no array",
    ),
    refused("NUL in items", with_file("items.csv", b"row,path\0\n"), "items.csv"),
    refused(
        "a cell of 1 MB",
        with_file("items.csv", b'row,path,"' + b"x" * 2**20 + b'"\n'),
        "items.csv",
    ),
    right("progress", begun_with("more", 1), lambda s: len(s) == 6),
    refused("progress -1", begun_with("position", -1), "progress.json.*position"),
    refused("progress x", begun_with("rows", "x"), "progress.json.*rows"),
    refused("rows beyond", begun_with("rows", 5), "progress.json"),
    refused("position beyond", begun_with("position", 70), "progress.json"),
    refused("skipped 3", begun_with("skipped", 3), "progress.json.*skipped"),
    refused("identity", begun_with("identity", []), "progress.json.*identity"),
    right("a picture of the data", shows("a.png", nothing), True),
    right("a picture beside", shows("../secret.png", nothing), False),
    right("dots", shows("./../secret.png", nothing), False),
    right("a link", shows("a.png", link), False),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_embeddings(case, judge):
    judge("embeddings", case)


@pytest.mark.parametrize("seed", range(NUM_MUTATIONS))
def test_mutated_embeddings(seed, judge, tmp_path):
    folder = copied(tmp_path)
    name = mutate(folder / "embeddings.json", seed)
    message = re.escape(str(folder))
    settle(judge, "embeddings", name, lambda: load(folder), message, _is_read)


def _is_read(stored):
    np.testing.assert_equal(stored.points, 0.1 * POINTS)
    # The folder that they start from may be what was mutated.
    names = [os.path.basename(path) for path in stored.paths]
    return names == NAMES and bool(repr(stored))
