"""Folders of galleries from strangers."""

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

import keras_hierproxy as khp
from tests.hostile.cases import refused, right
from tests.hostile.mutations import mutate, settle
from tests.hostile.test_embeddings import header, linked

pytestmark = pytest.mark.host
NUM_MUTATIONS = int(os.environ.get("MUTATIONS", 100))
POINTS = np.repeat(np.eye(3, dtype="float32"), 2, axis=0)
POINTS[1::2] += 0.1
LABELS = [(name, "ab" if name in "ab" else "c") for name in "aabbcc"]
IDS = [3, 4, 5, 7, 8, 9]
LARGEST = 2**63 - 1


@functools.cache
def whole():
    """With all that a gallery's folder may hold, but a model."""
    folder = pathlib.Path(tempfile.mkdtemp(), "whole")
    gallery = khp.Gallery(dimension=3)
    gallery.add(points=POINTS, labels=LABELS, ids=IDS)
    gallery.save(folder)
    gallery.calibrate(points=np.tile(POINTS, (20, 1)), labels=LABELS * 20)
    gallery.add(points=POINTS[:1], labels=["a"])
    gallery.remove([10])
    return folder


def copied(folder):
    return pathlib.Path(shutil.copytree(whole(), folder / "gallery"))


def used(folder):
    """All that a gallery is asked for; what it answers of the six items."""
    gallery = khp.Gallery.load(folder)
    gallery.search(images=POINTS) if gallery.embedder else None
    found = gallery.search(points=POINTS, k=1)
    answers = gallery.identify(points=POINTS)
    added = gallery.add(points=POINTS[:1], labels=[LABELS[0]])
    gallery.remove(added)
    return found.ids.ravel().tolist(), [answer.label for answer in answers]


def is_whole(value):
    found, answers = value
    return found == IDS and answers == list("aabbcc")


def with_description(change):
    """A folder whose `embeddings.json` was changed: by entries, or by a function."""

    def action(folder):
        path = copied(folder) / "embeddings.json"
        tree = json.loads(path.read_text())
        change(tree) if callable(change) else tree.update(change)
        path.write_text(json.dumps(tree))
        return used(path.parent)

    return action


def with_threshold(**values):
    def change(tree):
        tree["thresholds"][0].update(values)

    return with_description(change)


def with_file(name, content, describe=True):
    """A folder one of whose files is another, its size told as it is."""

    def action(folder):
        folder = copied(folder)
        path = folder / name
        content(path) if callable(content) else path.write_bytes(content)
        described = folder / "embeddings.json"
        tree = json.loads(described.read_text())
        if describe:
            tree["files"][name] = path.stat().st_size
        described.write_text(json.dumps(tree))
        return used(folder)

    return action


def array(values):
    return lambda path: np.save(path, np.array(values))


def points(change):
    """Other points in the place of those that are there."""

    def write(path):
        stored = np.load(path)
        change(stored)
        np.save(path, stored)

    return write


def not_a_number(stored):
    stored[2, 1] = np.nan


def infinite(stored):
    stored[0] = np.inf


def outside(stored):
    stored[1] = 9


class Explodes:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def embedder(content=b"", describe=True, **entry):
    """A folder that claims to have a model."""

    def action(folder):
        folder = copied(folder)
        described = folder / "embeddings.json"
        tree = json.loads(described.read_text())
        tree["embedder"] = {"weights_sha256": "0" * 64} | entry
        path = folder / "embedder.keras"
        if callable(content):
            content(path)
        elif content is not None:
            path.write_bytes(content)
        if describe:
            tree["files"][path.name] = path.stat().st_size
        described.write_text(json.dumps(tree))
        try:
            return used(folder)
        finally:
            assert not os.path.exists("exploded")

    return action


def beside(path):
    """A link to a model elsewhere."""
    there = path.parents[1] / "mine.keras"
    there.write_bytes(b"x")
    path.symlink_to(there)


def twice(tree):
    tree["thresholds"] *= 2


def unsorted(tree):
    tree["thresholds"][0].update(scores=[1.0, 0.5], confidences=[0.5, 1.0])


def on_ball(tree):
    tree["geometry"] = {
        "name": "keras_hierproxy>PoincareBall",
        "config": {"curvature": 1.0, "clip_radius": 1.0},
    }


def without(name):
    return with_description(lambda tree: tree["files"].pop(name))


def not_nested(path):
    text = path.read_text()
    path.write_text(text.replace("1,b,0,ab", "1,b,1,c", 1))


def coarse_unknown(path):
    text = path.read_text()
    path.write_text(text.replace("1,b,0,ab", "1,b,,", 1))


JSON = "embeddings.json"
CASES = [
    right("as it was written", with_description({}), is_whole),
    right("more than is read", with_description({"more": [1]}), is_whole),
    # The manifest
    refused("generation -1", with_description({"generation": -1}), f"{JSON}.*generat"),
    refused("generation 9", with_description({"generation": 9}), "-9.npy is missing"),
    refused("generation ..", with_description({"generation": "../1"}), "generation"),
    refused("next_id -1", with_description({"next_id": -1}), f"{JSON}.*next_id"),
    refused(
        "next_id 2**70", with_description({"next_id": 2**70}), f"{JSON}.*too large"
    ),
    refused("no more ids", with_description({"next_id": LARGEST}), "ids.*2\\^63"),
    refused("the last id", with_file("ids.npy", array([LARGEST] + [*range(6)])), "ids"),
    refused("model []", with_description({"model": []}), f"{JSON}.*model"),
    refused(
        "weights 3",
        with_description({"model": {"weights_sha256": 3}}),
        "weights_sha256",
    ),
    refused("no levels", with_description({"levels": []}), JSON),
    refused("rows", with_description({"rows": 10**12}), "embeddings.npy"),
    refused("another dimension", with_description({"dimension": 4}), "embeddings.npy"),
    refused("NUL as a file", with_description({"files": {"\0": 1}}), JSON),
    refused("no points", without("embeddings.npy"), f"{JSON}.*embeddings.npy"),
    # Thresholds
    refused("thresholds 3", with_description({"thresholds": 3}), f"{JSON}.*thresholds"),
    refused("more of them than levels", with_description(twice), "thresholds.*levels"),
    refused("score x", with_threshold(score="x"), "thresholds.0.score"),
    refused("score 1e999", with_threshold(score=10**999), "thresholds.0.score|JSON"),
    refused("confidence 2", with_threshold(confidences=[2.0]), "thresholds.0"),
    refused("no confidences", with_threshold(confidences=[]), "thresholds.0.*as many"),
    refused("unsorted scores", with_description(unsorted), "thresholds.0.*ascend"),
    refused("code", with_threshold(score={"class_name": "Lambda"}), "thresholds.0"),
    refused("answered -1", with_threshold(answered=-1), "thresholds.0.answered"),
    # Labels
    refused("not nested", with_file("items.csv", not_nested), "items.csv.*nested"),
    refused("coarse -1", with_file("items.csv", coarse_unknown), "items.csv.*finer"),
    # Ids, and what was removed
    refused("an id twice", with_file("ids.npy", array([1] * 7)), "ids.npy.*twice"),
    refused("an id below 0", with_file("ids.npy", array([*range(-1, 6)])), "ids.npy"),
    refused("ids of floats", with_file("ids.npy", array(np.ones(7))), "ids.npy holds"),
    refused("too few ids", with_file("ids.npy", array([1, 2])), "ids.npy holds"),
    refused("pickled ids", with_file("ids.npy", pickle.dumps(Explodes())), "no array"),
    refused(
        "ids as objects",
        with_file("ids.npy", lambda path: np.save(path, np.array([{}] * 7, object))),
        "ids.npy holds",
    ),
    refused(
        "4 EB of ids",
        with_file(
            "ids.npy",
            header(f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({2**59},)}}"),
        ),
        "ids.npy",
    ),
    refused("ids elsewhere", with_file("ids.npy", linked), "ids.npy is a link"),
    refused("row 99 removed", with_file("removed.npy", array([99])), "removed.npy"),
    refused("row -1 removed", with_file("removed.npy", array([-1])), "removed.npy"),
    refused("half a row", with_file("removed.npy", b"\x93NUMPY"), "removed.npy"),
    refused("a pickle", with_file("removed.npy", pickle.dumps([1])), "no array"),
    # Points
    refused(
        "NaN", with_file("embeddings.npy", points(not_a_number)), "the points of .*NaN"
    ),
    refused("infinity", with_file("embeddings.npy", points(infinite)), "points of"),
    refused("outside the ball", with_description(on_ball), "ball of radius"),
    # Its model
    refused("a preset nobody ships", embedder(None, False, preset="x"), "not ship"),
    refused("a path", embedder(None, False, preset="../../x"), f"{JSON}.*preset"),
    refused("an address", embedder(None, False, preset="hf://a/b"), "preset"),
    refused("no file of it", embedder(None, False), f"{JSON}.*embedder.keras"),
    refused("a file not told of", embedder(b"x", False), f"{JSON}.*embedder.keras"),
    refused("a link", embedder(beside), "embedder.keras is a link"),
    refused("a link not told of", embedder(beside, False), "embedder.keras"),
    refused("no archive", embedder(b"x"), "embedder.keras"),
    refused("a pickled model", embedder(pickle.dumps(Explodes())), "embedder.keras"),
    refused("no sum", embedder(b"x", weights_sha256="x"), f"{JSON}.*weights_sha256"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_galleries(case, judge):
    judge("galleries", case)


@pytest.mark.parametrize("seed", range(NUM_MUTATIONS))
def test_mutated_galleries(seed, judge, tmp_path):
    folder = copied(tmp_path)
    name = mutate(folder / "embeddings.json", seed)
    message = f"{re.escape(str(folder))}|calibrate|gallery"
    settle(judge, "galleries", name, lambda: used(folder), message, _is_right)


def _is_right(value):
    # What classes are called, and from when on one is told, may be what was mutated.
    return value[0] == IDS
