"""Full disks, kills, folders that are read-only or gone, a second writer."""

import contextlib
import errno
import functools
import os
import pathlib
import shutil
import tempfile

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy import files, pictures, report, runs
from keras_hierproxy.datasets import cache
from tests import tiny
from tests.faults import full_disk, moments
from tests.hostile.cases import refused, right
from tests.small_run import begin, make_data, new_run

EPOCHS = 2


@functools.cache
def data():
    return make_data()


def start(folder, epochs=EPOCHS):
    return begin(new_run(folder, epochs=epochs), data())


def resume(folder):
    return begin(runs.resume_run(folder), data())


def left(folder):
    """All numbers of a run that has been trained, and nothing else in its folder."""
    assert not [name for name in os.listdir(folder) if name.startswith(".")]
    embedder = _embedder()
    embedder.load_weights(folder / "best.weights.h5")
    best = embedder.get_weights()
    (backup,) = (folder / "backup").glob("*.weights.h5")
    embedder.load_weights(backup)
    return (folder / "history.csv").read_bytes(), best, embedder.get_weights()


@functools.cache
def _embedder():
    with tempfile.TemporaryDirectory() as folder:
        embedder = start(pathlib.Path(folder, "run")).embedder
    embedder.optimizer.build(embedder.trainable_variables)
    return embedder


def same(found, expected):
    np.testing.assert_equal(found, expected)
    return True


@functools.cache
def undisturbed():
    with tempfile.TemporaryDirectory() as folder:
        run = start(pathlib.Path(folder, "run"))
        run.fit()
        return left(run.folder)


def killed_at_every_write(folder):
    """The run resumed from what each write leaves on the disk."""
    with moments(folder / "run", folder) as copies:
        start(folder / "run").fit()
    resumed = {}
    for copy in copies:
        state = tuple(
            (path.name, path.read_bytes())
            for path in sorted(copy.rglob("[!.]*"))
            if path.is_file()
        )
        if state in resumed:
            continue
        # Before run.json there is no run yet: the folder is as good as empty.
        run = resume(copy) if (copy / "run.json").exists() else start(copy)
        run.fit()
        resumed[state] = left(copy)
    assert len(resumed) > 8
    return all(same(each, undisturbed()) for each in resumed.values())


def full_at(write):
    """A run whose disk is full from a write on, and which is then resumed."""

    def act(folder):
        run = start(folder / "run")
        with contextlib.suppress(OSError), full_disk(after=write):
            run.fit()
            raise AssertionError("it was not noticed")
        run = resume(folder / "run")
        run.fit()
        return same(left(folder / "run"), undisturbed())

    return act


def stopped(folder):
    """The folder of a run that was stopped after its first epoch."""
    run = begin(new_run(folder / "run", epochs=1), data())
    run.fit()
    return folder / "run"


def damaged(name, content=b"half"):
    def act(folder):
        path = stopped(folder) / name
        path = next(path.parent.glob(path.name))
        path.write_bytes(content)
        run = begin(runs.resume_run(folder / "run", epochs=2), data())
        run.fit()

    return act


def gone_midway(folder):
    class Remove(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                shutil.rmtree(folder / "run")

    start(folder / "run").fit(callbacks=[Remove()])


def second_run(action):
    def act(folder):
        path = stopped(folder)
        with files.locked(path, "training in"):
            action(path)

    return act


def two_new_runs(folder):
    """Both have found the folder empty, and one of them was faster."""
    second = new_run(folder / "run")
    start(folder / "run")
    begin(second, data())


@contextlib.contextmanager
def as_nobody():
    """Where tests run as root, whom no rights hold back."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def read_only(action):
    def act():
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            folder.chmod(0o555)
            try:
                with as_nobody():
                    action(folder)
            finally:
                folder.chmod(0o755)

    return act


def train_in(folder):
    start(folder / "run")


def embedder_of_images():
    return khp.models.ImageEmbedder(
        khp.models.conv4((16, 16, 1)), num_classes=3, embedding_dim=4
    )


def stored(folder):
    images = khp.datasets.RetrievalDataset(np.zeros((4, 8, 8, 1)), [0, 0, 1, 1])
    return khp.embeddings.EmbeddingWriter(
        folder / "out",
        images,
        khp.geometry.Sphere(),
        dimension=3,
        identity={"model": {}, "data": {"name": "squares"}},
    )


def embed_in(folder):
    with stored(folder) as writer:
        writer.append(np.eye(4, 3), range(4))
        writer.finish()


def write_page(folder):
    points = np.random.default_rng(0).normal(size=(18, 4))
    scores = khp.retrieval.score_queries(**data().test.retrieval_arguments(points), k=1)
    report.write_report(folder / "report.html", data().test, points, scores)


def draw(folder):
    pictures.plot_recall({"val_recall@1": [0.5, 0.6]}, folder / "recall.png")


def save_model(folder):
    tiny.compiled_model().save(folder / "model.keras")


def save_weights(folder):
    tiny.compiled_model().save_weights(folder / "model.weights.h5")


def save_preset(folder):
    embedder_of_images().save_to_preset(folder / "preset")


def into_a_file(action):
    def act(folder):
        (folder / "file").touch()
        action(folder / "file")

    return act


WRITERS = {
    "train": train_in,
    "embed": embed_in,
    "report": write_page,
    "picture": draw,
    "model": save_model,
    "weights": save_weights,
    "preset": save_preset,
}


def keeps_the_old(action):
    """What was written before is there after a disk was full at the first write."""

    def act(folder):
        action(folder)
        (before,) = snapshots(folder)
        for write in range(3):
            with contextlib.suppress(OSError), full_disk(after=write):
                action(folder)
            assert snapshots(folder) == [before]
        return True

    return act


def snapshots(folder):
    return [
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    ]


def cache_on_a_full_disk(folder):
    def build():
        return (np.arange(3),)

    with pytest.warns(UserWarning, match="built again next time"), full_disk(0):
        cache.cached_arrays(folder / "a.npz", ["a"], build)
    assert not list(folder.iterdir())
    cache.cached_arrays(folder / "a.npz", ["a"], build)
    return cache.cached_arrays(folder / "a.npz", ["a"], lambda: 1 / 0)[0].tolist()


BUSY = "Another process is training in .*run. Wait"
CASES = [
    right("train: killed at every write", killed_at_every_write, True),
    *(
        right(f"train: disk full at write {n}", full_at(n), True)
        for n in range(0, 30, 6)
    ),
    refused("train: output removed midway", gone_midway, "Cannot write .*history.csv"),
    refused("train: two resume", second_run(lambda path: resume(path).fit()), BUSY),
    refused("train: second begins", second_run(lambda path: resume(path)), BUSY),
    refused("train: two new runs", two_new_runs, "run is not empty"),
    refused("train: history cut", damaged("history.csv", b""), "history.csv .* 0 of 1"),
    refused("train: history spoilt", damaged("history.csv"), "history.csv is damaged"),
    refused(
        "train: history of epoch 5", damaged("history.csv", b"epoch\n5\n"), "0, 1, 2"
    ),
    refused(
        "train: history of words", damaged("history.csv", b"epoch,a\n0,b\n"), "csv"
    ),
    refused("train: backup spoilt", damaged("backup/*.h5"), "epoch1.weights.h5 is dam"),
    refused("train: backup unnamed", damaged("backup/*.json"), "metadata.json is dam"),
    *(
        refused(f"{name}: read-only folder", read_only(action), "Cannot write|denied")
        for name, action in WRITERS.items()
    ),
    *(
        refused(
            f"{name}: into a file",
            into_a_file(action),
            "Cannot write|not a folder|no folder|[Nn]ot a directory",
        )
        for name, action in WRITERS.items()
    ),
    *(
        right(f"{name}: full disk keeps the old", keeps_the_old(WRITERS[name]), True)
        for name in ("report", "picture", "model", "weights", "preset")
    ),
    right("cache: full disk", cache_on_a_full_disk, [0, 1, 2]),
]


# What writes weights, and what goes on with them; the rest is the same on each backend.
_OF_BACKENDS = ("train: killed", "train: disk full", "model:", "weights:")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=case.name,
            marks=pytest.mark.nightly
            if case.name.startswith(_OF_BACKENDS)
            else pytest.mark.host,
        )
        for case in CASES
    ],
)
def test_faults(case, judge):
    judge("faults", case)


@pytest.mark.nightly
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="mounts a disk")
@pytest.mark.parametrize("kilobytes", [8, 64, 160])
def test_a_disk_that_is_really_full(kilobytes, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size={kilobytes}k tmpfs {disk} 2> {os.devnull}"):
        pytest.skip("needs the right to mount")
    try:
        run = start(disk / "run") if kilobytes > 8 else None
        with pytest.raises(OSError, match="Make room") as caught:
            (run or start(disk / "run")).fit()
        assert caught.value.errno == errno.ENOSPC
        assert not [path for path in disk.rglob(".*.part-*")]
        os.system(f"mount -o remount,size=20m {disk}")
        resume(disk / "run").fit()
        assert same(left(disk / "run"), undisturbed())
    finally:
        os.system(f"umount {disk}")
