"""Kills and full disks: a gallery holds what it did before a change, or all of it."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import keras_hierproxy as khp
from tests.faults import full_disk, killed_writers, moments

pytestmark = pytest.mark.host(on="jax")
SPHERE = khp.geometry.Sphere()
QUERIES = np.eye(3)


def points(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3))


def gallery_in(folder, ids=None):
    gallery = khp.Gallery(geometry=SPHERE, dimension=3)
    gallery.add(points=points(6), labels=list("aabbcc"), ids=ids)
    gallery.save(folder)
    return gallery


def add(gallery):
    gallery.add(points=points(3, seed=1), labels=["a", "d", "d"])


def add_with_ids(gallery):
    gallery.add(points=points(2, seed=1), labels=["a", "d"], ids=[70, 60])


def remove(gallery):
    gallery.remove([1, 4])


def move(gallery):
    other = khp.Gallery(geometry=SPHERE, dimension=3)
    other.add(points=points(4, seed=3), labels=list("xyzx"), ids=[4, 3, 2, 8])
    other.save(gallery._items.folder)


def state(folder):
    """All that a gallery knows, and that others read."""
    gallery, stored = khp.Gallery.load(folder), khp.embeddings.load(folder)
    hits = gallery.search(points=QUERIES, k=12)
    # Others see an array, of before or after.
    np.load(next(Path(folder).glob("embeddings*.npy")))
    return (
        hits.ids.tolist(),
        hits.labels.tolist(),
        hits.similarities.tolist(),
        stored.points.tolist(),
        stored.labels.tolist(),
    )


@pytest.mark.parametrize("change", [add, add_with_ids, remove, move])
def test_killed_at_any_moment(change, tmp_path):
    """Then there is the old state or the new one, and the change can be made again."""
    folder = tmp_path / "gallery"
    gallery = gallery_in(folder)
    before = state(folder)
    with moments(folder, tmp_path / "moments") as found:
        change(gallery)
    after = state(folder)
    assert before != after and len(found) > 4
    states = [state(moment) for moment in found if any(moment.glob("*.json"))]
    assert states.index(after) > 0
    assert all(each == before for each in states[: states.index(after)])
    assert all(each == after for each in states[states.index(after) :])
    for moment in found:
        if state(moment) == before:
            change(khp.Gallery.load(moment))
            assert state(moment) == after


def test_the_first_save_is_killed(tmp_path):
    folder = tmp_path / "gallery"
    with moments(folder, tmp_path / "moments") as found:
        gallery_in(folder)
    whole = state(folder)
    for moment in found:
        if not (moment / "embeddings.json").exists():
            with pytest.raises(FileNotFoundError, match="There are no embeddings"):
                khp.Gallery.load(moment)
            gallery_in(moment)
        assert state(moment) == whole


@pytest.mark.parametrize("change", [add, add_with_ids, remove, move])
@pytest.mark.parametrize("write", range(6))
def test_a_full_disk_keeps_what_was_there(change, write, tmp_path):
    gallery = gallery_in(tmp_path)
    before, gone_on = state(tmp_path), []
    try:
        with full_disk(after=write):
            change(gallery)
    except OSError as error:
        assert error.errno == errno.ENOSPC and "Make room on the disk" in str(error)
        assert state(tmp_path) == before
        hits = gallery.search(points=QUERIES, k=12)
        assert hits.ids.tolist() == before[0]
        # With room it goes on, in the same process.
        change(gallery)
        gone_on.append(True)
    expected = tmp_path / "expected"
    change(gallery_in(expected))
    shutil.copytree(expected, tmp_path / "copy")
    assert state(tmp_path) == state(tmp_path / "copy")
    assert gone_on or write > 2


WRITER = """
import os
import sys
import numpy as np
import keras_hierproxy as khp

def write(line):
    gallery = khp.Gallery.load(sys.argv[1])
    tell(os.getpid())
    for step in range(int(line), int(line) + 100000):
        gallery.add(points=np.full((10, 3), 1.0 + step), labels=[f"step {step}"] * 10)
        if step % 3 == 2:
            gallery.remove(gallery.ids[:10])
        tell(step)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_sigkill_at_random_moments(tmp_path):
    """Nothing that was reported is lost, and nothing is there in part."""
    folder = tmp_path / "gallery"
    khp.Gallery(dimension=3).save(folder)
    waits, done, reported = random.Random(0), -1, []
    with killed_writers(WRITER, folder) as writers:
        for _ in range(25):
            writers.stdin.write(f"{done + 1}\n")
            process = int(writers.stdout.readline())
            time.sleep(waits.uniform(0, 0.15))
            os.kill(process, signal.SIGKILL)
            lines = iter(writers.stdout.readline, "killed\n")
            reported += [int(line) for line in lines]
            stored, steps = khp.embeddings.load(folder), []
            if len(stored.points):  # else no labels: killed before the first addition
                names = [stored.class_names[0][i] for i in stored.labels[:, 0]]
                steps = [int(name.split()[1]) for name in names]
            assert len(steps) % 10 == 0 and steps == sorted(steps)
            assert all(steps.count(step) == 10 for step in set(steps))
            assert np.allclose(stored.points[:, 0], np.array(steps) + 1.0)
            done = max([done, *steps])
            assert not reported or done >= reported[-1]
            gallery = khp.Gallery.load(folder)
            assert gallery.ids.tolist() == stored.ids.tolist()
    assert len(reported) > 9


# Imports once, and forks.
TWO_WRITERS = """
import os
import sys
import numpy as np
import keras_hierproxy as khp
name = "first" if os.fork() else "second"
gallery = khp.Gallery.load(sys.argv[1])
for i in range(15):
    gallery.add(points=np.eye(3), labels=[name] * 3)
    gallery.remove(gallery.ids[-3:-2])
if name == "first":
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_writers_take_turns(tmp_path):
    khp.Gallery(dimension=3).save(tmp_path / "gallery")
    command = [sys.executable, "-c", TWO_WRITERS, tmp_path / "gallery"]
    reader, sizes = khp.Gallery.load(tmp_path / "gallery"), [0]
    with subprocess.Popen(command) as both:
        while both.poll() is None:
            time.sleep(0.01)  # they begin late
            reader = khp.Gallery.load(tmp_path / "gallery")
            assert len(reader) >= sizes[-1] - 2
            sizes.append(len(reader))
    assert both.returncode == 0 and len(set(sizes)) > 2
    gallery = khp.Gallery.load(tmp_path / "gallery")
    assert len(gallery) == 60 and len(set(gallery.ids)) == 60
    labels = gallery.search(points=np.eye(3), k=60).labels
    assert sorted(labels[0].tolist()) == ["first"] * 30 + ["second"] * 30
