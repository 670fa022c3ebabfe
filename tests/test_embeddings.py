"""Folders of embeddings: what is written is read, whatever interrupts it."""

import csv
import errno
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.embeddings import EmbeddingWriter, load, on_disk, writer

pytestmark = pytest.mark.host

NUM_IMAGES, DIMENSION, BATCH = 11, 3, 4
POINTS = np.random.default_rng(0).normal(size=(NUM_IMAGES, DIMENSION)).astype("float32")
IDENTITY = {"model": {"path": "a.keras", "sha256": "abc"}, "data": {"name": "things"}}
# What a path may hold; the last is no text on any disk.
PATHS = ['a,b/"1".jpg', "line\nbreak.jpg", "ä/2.jpg", os.fsdecode(b"\xff.jpg")]
PATHS += [f"c/{i}.jpg" for i in range(NUM_IMAGES - len(PATHS))]
# Two levels whose names want quotes; ids are not in order.
FINE = np.arange(NUM_IMAGES) * 7 % 4
LABELS = np.stack([FINE, FINE // 2], axis=1)
CLASS_NAMES = [["plain", "a, b", 'the "c"', ""], ["x", "y\r\n"]]
LEVEL_NAMES = ["product, colour", "kind"]


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def data_set(**changes):
    arguments = {
        "images": np.zeros((NUM_IMAGES, 2, 2, 1), "uint8"),
        "labels": LABELS,
        "class_names": CLASS_NAMES,
        "level_names": LEVEL_NAMES,
        "paths": PATHS,
        "is_query": np.arange(NUM_IMAGES) % 3 == 1,
    }
    return RetrievalDataset(**{**arguments, **changes})


def write(
    folder,
    points=POINTS,
    data=None,
    dtype="float32",
    identity=IDENTITY,
    bad=(),
    geometry=khp.geometry.Sphere(),  # noqa: B008 (immutable)
):
    """Goes on to the end with embeddings in a folder."""
    data = data or data_set()
    with EmbeddingWriter(
        folder, data, geometry, DIMENSION, dtype, identity
    ) as appending:
        for start in range(appending.position, NUM_IMAGES, BATCH):
            batch = range(start, min(start + BATCH, NUM_IMAGES))
            good = [i for i in batch if i not in bad]
            reasons = {i: ValueError(f"{i} is bad") for i in batch if i in bad}
            appending.append(points[good], good, reasons)
        appending.finish()


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.fixture
def whole(tmp_path):
    """The contents of a folder that was written without interruption."""
    write(tmp_path / "whole")
    return contents(tmp_path / "whole")


def test_what_is_written_is_read(tmp_path):
    ball = khp.geometry.PoincareBall(0.3)
    write(tmp_path / "out", geometry=ball)
    data, stored = data_set(), load(tmp_path / "out")
    assert isinstance(stored.points, np.memmap) and len(stored) == NUM_IMAGES
    np.testing.assert_array_equal(stored.points, POINTS)
    np.testing.assert_array_equal(stored.labels, data.labels)
    np.testing.assert_array_equal(stored.is_query, data.is_query)
    for name in ("paths", "class_names", "level_names"):
        assert getattr(stored, name) == getattr(data, name)
    assert stored.geometry == ball
    assert stored.model == IDENTITY["model"]
    expected = data.retrieval_arguments(POINTS)
    arguments = stored.retrieval_arguments()
    assert arguments.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(arguments[name], expected[name])


def test_the_files_are_plain(tmp_path):
    """Without this package: an array, a table with names, and JSON."""
    write(tmp_path / "out")
    np.testing.assert_array_equal(np.load(tmp_path / "out/embeddings.npy"), POINTS)
    with open(
        tmp_path / "out/items.csv", newline="", encoding="utf-8", errors="replace"
    ) as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == [str(i) for i in range(NUM_IMAGES)]
    assert rows[1]["path"] == PATHS[1] and rows[1]["role"] == "query"
    assert rows[1]["kind_id"] == "1" and rows[1]["kind"] == "y\r\n"
    description = json.loads((tmp_path / "out/embeddings.json").read_text())
    assert description["rows"] == NUM_IMAGES and description["data"] == IDENTITY["data"]
    assert len(contents(tmp_path / "out")) == 3


def test_distractors_and_groups(tmp_path):
    labels = LABELS.copy()
    labels[0], labels[3, 0] = -1, -1
    data = data_set(labels=labels, groups=np.arange(NUM_IMAGES) // 2 - 1)
    write(tmp_path / "out", data=data)
    stored = load(tmp_path / "out")
    np.testing.assert_array_equal(stored.labels, data.labels)
    np.testing.assert_array_equal(stored.groups, data.groups)
    again, expected = stored.retrieval_arguments(), data.retrieval_arguments(POINTS)
    assert set(again) == set(expected) and "gallery_groups" in expected
    for name in expected:
        np.testing.assert_array_equal(again[name], expected[name])


def test_without_paths_or_roles(tmp_path):
    data = data_set(paths=None, is_query=None)
    write(tmp_path / "out", data=data)
    stored = load(tmp_path / "out")
    assert stored.paths is None and stored.is_query is None
    assert stored.retrieval_arguments().keys() == {"queries", "query_labels"}


def test_half_the_size_in_float16(tmp_path):
    write(tmp_path / "out", dtype="float16")
    stored = load(tmp_path / "out")
    assert stored.points.dtype == np.float16
    np.testing.assert_array_equal(stored.points, POINTS.astype("float16"))
    size = (tmp_path / "out/embeddings.npy").stat().st_size
    assert size == 128 + 2 * NUM_IMAGES * DIMENSION


def test_images_that_are_left_out_leave_no_row(tmp_path):
    bad = (2, 4, 5, 6, 7, 10)  # a whole batch among them
    write(tmp_path / "out", bad=bad)
    stored = load(tmp_path / "out")
    good = [i for i in range(NUM_IMAGES) if i not in bad]
    np.testing.assert_array_equal(stored.points, POINTS[good])
    np.testing.assert_array_equal(stored.labels, data_set().labels[good])
    assert stored.paths == tuple(PATHS[i] for i in good)
    np.testing.assert_array_equal(stored.is_query, data_set().is_query[good])
    assert stored.description["skipped"] == [
        {"path": PATHS[i], "error": f"{i} is bad"} for i in bad
    ]


@pytest.fixture
def record_always(monkeypatch):
    monkeypatch.setattr(writer, "SECONDS_BETWEEN_RECORDS", -1)


@pytest.fixture
def moments(monkeypatch, tmp_path):
    """Copies of the folder `tmp_path / "out"` as each write to the disk leaves it."""
    copies = []

    def copy():
        if (tmp_path / "out").exists():
            copies.append(tmp_path / f"moment{len(copies)}")
            shutil.copytree(tmp_path / "out", copies[-1])

    def copying(function):
        def wrapped(*args, **kwargs):
            copy()
            result = function(*args, **kwargs)
            copy()
            return result

        return wrapped

    def write_slowly(file, content):
        half = len(content) // 2
        for part in (content[:half], content[half:]):
            file.write(part)
            copy()

    monkeypatch.setattr(writer, "_write", write_slowly)
    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, copying(getattr(os, name)))
    monkeypatch.setattr(Path, "unlink", copying(Path.unlink))
    return copies


@pytest.mark.parametrize("pause", [-1, 1000], ids=["recorded often", "recorded rarely"])
def test_killed_at_any_moment(whole, moments, monkeypatch, tmp_path, pause):
    monkeypatch.setattr(writer, "SECONDS_BETWEEN_RECORDS", pause)
    write(tmp_path / "out")
    folders = list(moments)
    monkeypatch.undo()
    assert len(folders) > 20
    kinds = set()
    for folder in folders:
        kinds.add(tuple(sorted(contents(folder))))
        if (folder / on_disk.DESCRIPTION).exists():
            with pytest.raises(ValueError, match="holds finished embeddings already"):
                write(folder)
            load(folder)
        else:
            with pytest.raises((ValueError, FileNotFoundError)):
                load(folder)
            write(folder)
            assert contents(folder) == whole
    assert len(kinds) > 5


def test_what_was_recorded_is_not_written_again(whole, record_always, tmp_path):
    def broken(points):
        points = points.copy()
        points[9] = np.nan
        return points

    with pytest.raises(ValueError, match=r"The embedding of c/5.jpg is not finite"):
        write(tmp_path / "out", points=broken(POINTS))
    with pytest.raises(ValueError, match="not finished. Run the same"):
        load(tmp_path / "out")
    # The first two batches are as they were.
    rest = POINTS.copy()
    rest[: 2 * BATCH] = 9
    write(tmp_path / "out", points=rest)
    assert contents(tmp_path / "out") == whole


def test_infinity_by_float16_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not finite.* or take float32"):
        write(tmp_path / "out", points=POINTS * 1e5, dtype="float16")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float16"}, "dtype was 'float32' and is 'float16'"),
        (
            {"identity": {**IDENTITY, "model": {"sha256": "def"}}},
            "model.sha256 was 'abc' and is 'def'",
        ),
        ({"data": data_set(paths=PATHS[::-1])}, "paths_and_labels_sha256 was"),
        ({"data": data_set(labels=FINE, class_names=None, level_names=None)}, "paths_"),
        ({"geometry": khp.geometry.PoincareBall()}, "geometry.name was"),
    ],
)
def test_other_embeddings_are_not_mixed_in(tmp_path, changes, message):
    leave_unfinished(tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "out", **changes)
    assert contents(tmp_path / "out") == before


def test_the_model_may_be_named_in_another_way(tmp_path, whole):
    leave_unfinished(tmp_path / "out")
    identity = {**IDENTITY, "model": {"path": "../a.keras", "sha256": "abc"}}
    write(tmp_path / "out", identity=identity)
    assert contents(tmp_path / "out") == whole


def leave_unfinished(folder):
    data = data_set()
    sphere = khp.geometry.Sphere()
    with EmbeddingWriter(folder, data, sphere, DIMENSION, identity=IDENTITY) as begun:
        begun.append(POINTS[:BATCH], range(BATCH))


def test_pixels_tell_images_without_paths_apart(tmp_path):
    data = data_set(paths=None)
    sphere = khp.geometry.Sphere()
    with EmbeddingWriter(tmp_path, data, sphere, DIMENSION) as begun:
        begun.append(POINTS[:BATCH], range(BATCH))
    data.images[3] = 1
    with pytest.raises(ValueError, match="paths_and_labels_sha256 was"):
        EmbeddingWriter(tmp_path, data, sphere, DIMENSION)


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty. Choose another folder"):
        write(tmp_path)
    with pytest.raises(ValueError, match="notes.txt is not a folder"):
        write(tmp_path / "notes.txt")
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_one_process_at_a_time(tmp_path, whole):
    data, sphere = data_set(), khp.geometry.Sphere()
    first = EmbeddingWriter(tmp_path / "out", data, sphere, DIMENSION)
    with first:
        first.append(POINTS[:BATCH], range(BATCH))
        second = EmbeddingWriter(tmp_path / "out", data, sphere, DIMENSION)
        with pytest.raises(ValueError, match="Another process is writing"), second:
            pass
        first.append(POINTS[BATCH:], range(BATCH, NUM_IMAGES))
        first.finish()
    assert contents(tmp_path / "out")["embeddings.npy"] == whole["embeddings.npy"]


def test_parts_that_lost_bytes_are_refused(tmp_path):
    for name in (on_disk.EMBEDDINGS, on_disk.ITEMS):
        leave_unfinished(tmp_path / name)
        part = tmp_path / name / (name + on_disk.PART)
        part.write_bytes(part.read_bytes()[:-1])
        with pytest.raises(ValueError, match="is shorter than its record says"):
            write(tmp_path / name)


def test_a_disk_that_is_too_small_is_refused(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 10**6, 10**6)
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"take 1\.0 MB more, .* has 1\.0 MB free\. Take"):
        write(tmp_path / "new/out")
    assert not contents(tmp_path)


@pytest.mark.parametrize("room", range(10, 790, 110))
def test_a_disk_that_fills_up(whole, record_always, tmp_path, monkeypatch, room):
    """A full disk takes a part of what is written, then nothing."""
    left = [room]

    class FullDisk:
        def __init__(self, file):
            self.file = file

        def write(self, content):
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = self.file.write(content[: left[0]])
            left[0] -= written
            return written

    plain = writer._write
    monkeypatch.setattr(
        writer, "_write", lambda file, content: plain(FullDisk(file), content)
    )
    with pytest.raises(OSError, match="is full after .* same command again"):
        write(tmp_path / "out")
    monkeypatch.setattr(writer, "_write", plain)
    write(tmp_path / "out")
    assert contents(tmp_path / "out") == whole


def test_no_record_after_a_failed_sync(whole, record_always, tmp_path, monkeypatch):
    """What a failed sync has dropped, a second one would report as safe."""
    plain, calls = os.fsync, []

    def fail_once(descriptor):
        calls.append(descriptor)
        if len(calls) == 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(OSError, match="is full after 8 of 11"):
        write(tmp_path / "out")
    assert len(calls) == 7
    assert json.loads((tmp_path / "out/progress.json").read_text())["position"] == 4
    write(tmp_path / "out")
    assert contents(tmp_path / "out") == whole


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def replace_in(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "embeddings.npy",
            truncate,
            "255 bytes, and embeddings.json says 260: it is cut",
        ),
        ("items.csv", truncate, "items.csv has .* it is cut short"),
        ("embeddings.json", truncate, "embeddings.json is damaged"),
        ("embeddings.npy", Path.unlink, "embeddings.npy is missing"),
        ("items.csv", Path.unlink, "items.csv is missing"),
        ("embeddings.json", Path.unlink, "There are no embeddings in"),
        (
            "embeddings.npy",
            lambda path: replace_in(path, b"NUMPY", b"numpy"),
            "no array",
        ),
        (
            "embeddings.npy",
            lambda path: replace_in(path, b"(11, 3)", b"(3, 11)"),
            r"holds float32 \(3, 11\), and embeddings.json says float32 \(11, 3\)",
        ),
        ("items.csv", lambda path: replace_in(path, b"row", b"raw"), "must begin with"),
        (
            "items.csv",
            lambda path: replace_in(path, b"\n5,", b"\n6,"),
            "row 5: expected row 5. Received: ..6",
        ),
        (
            "items.csv",
            lambda path: replace_in(path, b"4,c/0.jpg,", b"4,c/0.jpg "),
            "row 4: expected 7 columns",
        ),
        (
            "items.csv",
            lambda path: replace_in(path, b"0,plain", b"1,plain"),
            "row 0: no class 'plain' has this id",
        ),
        (
            "items.csv",
            lambda path: replace_in(path, b"query", b"quiry"),
            "role 'quiry'",
        ),
        (
            "items.csv",
            lambda path: replace_in(path, b"\r\n10,", b"\t\t10,"),
            "row 9: expected 7 columns",
        ),
        (
            "embeddings.json",
            lambda path: replace_in(path, b'_version": 1', b'_version": 2'),
            "is of format 2; this version reads 1",
        ),
        (
            "embeddings.json",
            lambda path: replace_in(path, b"Sphere", b"Sphaer"),
            "which is not known here",
        ),
    ],
)
def test_files_that_disagree_are_refused(tmp_path, name, damage, message):
    write(tmp_path / "out")
    damage(tmp_path / "out" / name)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load(tmp_path / "out")


def test_lines_that_are_missing_are_missed(tmp_path):
    write(tmp_path / "out")
    path = tmp_path / "out/items.csv"
    lines = path.read_bytes().split(b"\n10,")
    description = json.loads((tmp_path / "out/embeddings.json").read_text())
    description["files"]["items.csv"] = len(lines[0]) + 1
    (tmp_path / "out/embeddings.json").write_text(json.dumps(description))
    path.write_bytes(lines[0] + b"\n")
    with pytest.raises(ValueError, match="has 10 lines .* there are 11 embeddings"):
        load(tmp_path / "out")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="There are no embeddings in"):
        load(tmp_path)


@pytest.mark.parametrize("dimension", [0, -1, 2.0, True, "3", None])
def test_dimensions_that_are_none(dimension, tmp_path):
    with pytest.raises(ValueError, match="`dimension` must be a positive int"):
        EmbeddingWriter(tmp_path / "out", data_set(), khp.geometry.Sphere(), dimension)
    assert not (tmp_path / "out").exists()
