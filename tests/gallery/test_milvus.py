"""The engine "milvus": it answers as the one in this process does."""

import json
import os
import signal
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings

import keras_hierproxy as khp
from tests.faults import killed_writers
from tests.gallery.test_gallery import (
    BAD,
    BAD_TO_ADD,
    BALL,
    DIMENSION,
    PLACES,
    SPHERE,
    STEPS,
    label,
    points,
    take_steps,
)

pytestmark = pytest.mark.host
pytest.importorskip("milvus_lite")
GEOMETRIES = pytest.mark.parametrize("geometry", [SPHERE, BALL], ids=["sphere", "ball"])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """One for all: each test has a collection of its own, or several."""
    return tmp_path_factory.mktemp("milvus") / "shelf.db"


@pytest.fixture
def uri(file, request):
    name = "".join(c if c.isalnum() else "_" for c in request.node.name)
    return f"{file}#{name}"


def in_milvus(uri, geometry=SPHERE, dimension=DIMENSION, **options):
    return khp.Gallery(
        geometry=geometry, dimension=dimension, engine="milvus", uri=uri, **options
    )


def gallery_of(uri, count=12, geometry=SPHERE):
    gallery = in_milvus(uri, geometry)
    labels = [label(i) for i in range(count)]
    gallery.add(points=points(count, geometry=geometry), labels=labels)
    return gallery


def reopened(uri):
    return khp.Gallery(engine="milvus", uri=uri)


def same(one, other):
    np.testing.assert_array_equal(one.ids, other.ids)
    # On the sphere, points were normalised once more.
    np.testing.assert_allclose(one.similarities, other.similarities, atol=2e-7)
    assert one.labels.tolist() == other.labels.tolist()
    assert one.paths.tolist() == other.paths.tolist()


NUMBERS = iter(range(10**6))


@GEOMETRIES
@settings(max_examples=10, deadline=None)
@given(steps=STEPS, seed=PLACES)
def test_in_any_order_it_equals_one_built_anew(geometry, steps, seed, file):
    uri = f"{file}#steps{next(NUMBERS)}"
    take_steps(
        in_milvus(uri, geometry), lambda gallery: reopened(uri), geometry, steps, seed
    )


@GEOMETRIES
def test_copied_there_and_back(geometry, uri, tmp_path):
    gallery = khp.Gallery(geometry=geometry, dimension=DIMENSION)
    labels = [label(i) for i in range(50)]
    gallery.add(points=points(50, geometry=geometry), labels=labels)
    gallery.calibrate(points=points(50, geometry=geometry), labels=labels)
    gallery.remove([3, 49])
    copy = gallery.copy_to(uri=uri)
    copy.save(tmp_path)
    queries = points(5, seed=1, geometry=geometry)
    expected = gallery.search(points=queries, k=9)
    for each in (
        copy,
        reopened(uri),
        copy.copy_to("faiss"),
        khp.Gallery.load(tmp_path),
    ):
        same(each.search(points=queries, k=9), expected)
        assert each.ids.tolist() == gallery.ids.tolist() and len(each) == 48
        assert each.thresholds == gallery.thresholds
        assert each.level_names == gallery.level_names
        answers = [answer.path for answer in each.identify(points=queries)]
        assert answers == [a.path for a in gallery.identify(points=queries)]
    for each in (copy.copy_to("faiss"), khp.Gallery.load(tmp_path), reopened(uri)):
        # Not 49, which was given before.
        assert each.add(points=queries[:1]).tolist() == [50]
    assert khp.embeddings.load(tmp_path).ids.tolist() == [*gallery.ids, 50]
    with pytest.raises(ValueError, match="holds 49 items already"):
        gallery.copy_to(uri=uri)


def test_the_ball_is_ranked_exactly(uri):
    """In a tight class, where inner products in float32 say little."""
    random = np.random.default_rng(0)
    near = np.array([0.9, 0.3, 0.1]) * 3.1
    tight = (near + 1e-4 * random.normal(size=(200, 3))).astype("float32")
    gallery, there = in_milvus(uri, BALL), khp.Gallery(geometry=BALL, dimension=3)
    for each in (gallery, there):
        each.add(points=tight)
    same(gallery.search(points=tight[:9], k=7), there.search(points=tight[:9], k=7))


def test_equal_items_come_by_their_ids(uri):
    gallery = in_milvus(uri)
    gallery.add(points=np.ones((90, 3)), ids=np.arange(90)[::-1])
    assert gallery.search(points=[[1, 1, 1]], k=4).ids.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("index", "geometry"),
    [("IVF_FLAT", SPHERE), ("IVF_FLAT", BALL), ("HNSW", SPHERE)],
)
def test_an_index_for_many_finds_most(geometry, index, uri):
    stored = np.random.default_rng(0).normal(size=(3000, 16)).astype("float32")
    stored = np.asarray(geometry.project(stored))
    exact = khp.Gallery(geometry=geometry, dimension=16)
    exact.add(points=stored)
    gallery = exact.copy_to(uri=uri, index=index)
    # Else Milvus Lite looks through all that it has not written out yet.
    gallery._items._client.flush(gallery._items.name)
    hits, expected = (
        each.search(points=stored[:50], k=10) for each in (gallery, exact)
    )
    found = [np.isin(*pair).mean() for pair in zip(hits.ids, expected.ids, strict=True)]
    assert np.mean(found) > 0.9
    with pytest.raises(ValueError, match=f"has the index '{index}'"):
        in_milvus(uri, geometry, 16, index="FLAT")


def test_an_index_that_misses_most_is_refused(uri):
    with pytest.raises(ValueError, match="finds a third of the nearest on"):
        in_milvus(uri, BALL, index="HNSW")
    assert len(in_milvus(uri, BALL, index="IVF_FLAT")) == 0


def test_labels_of_any_kind(uri):
    gallery = in_milvus(uri)
    gallery.add(points=points(2))
    names = ['"quoted" \\ \n', "Äpfel", "\udcff no text", "#", "x" * 9000]
    gallery.add(points=points(5, seed=1), labels=names)
    again = reopened(uri)
    hits = again.search(points=points(5, seed=1), k=1)
    assert hits.labels.ravel().tolist() == names and again.level_names == ("class",)
    assert again.search(points=points(1), k=1).labels[0, 0] is None
    again.add(points=points(1), labels=["Äpfel"])
    # Who opened it before sees what has come since.
    assert gallery.search(points=points(1), k=2).labels[0].tolist() == [None, "Äpfel"]
    with pytest.raises(ValueError, match="labels and paths of 65,535 bytes"):
        gallery.add(points=points(1), labels=["x" * 70_000])


def test_much_about_a_gallery(uri):
    """Thresholds of many queries take more than one text."""
    gallery = gallery_of(uri)
    scores = np.linspace(0, 1, 9000).tolist()
    counts = {"queries": 9, "answered": 9, "right": 9}
    level = {"score": 0.5, "bound": 0.9, "scores": scores, "confidences": scores}
    gallery._items.keep_thresholds([level | counts] * 2)
    assert reopened(uri).thresholds[1].scores == tuple(scores)


@pytest.mark.parametrize("case", BAD | BAD_TO_ADD)
def test_what_does_not_fit_is_not_added(case, file):
    uri = f"{file}#refused"
    gallery = in_milvus(uri)
    if not len(gallery):
        gallery_of(uri)
    arguments, message = (BAD | BAD_TO_ADD)[case]
    if case in BAD_TO_ADD:
        arguments = {"points": points(1), **arguments}
    with pytest.raises(ValueError, match=message):
        gallery.add(**arguments)
    assert gallery.ids.tolist() == list(range(12))


def test_wrong_use_is_told(uri, file, tmp_path, monkeypatch):
    gallery = gallery_of(uri)
    with pytest.raises(ValueError, match=r"no items of the ids \[77\] .*Nothing is"):
        gallery.remove([1, 77])
    assert len(gallery) == 12
    labels, paths = gallery._items.about(np.array([3, 1]))
    assert labels == [label(3), label(1)] and paths == ["", ""]
    with pytest.raises(ValueError, match="Milvus finds at most 16,384"):
        gallery.search(points=points(1), k=20_000)
    for wrong, message in (
        ({"uri": None}, "needs `uri`, the path of a file"),
        ({"uri": "shelf"}, r"must be the path of a file that ends with \.db"),
        ({"uri": f"{file}#a b"}, "names the collection, in letters"),
        ({"uri": uri, "index": "FAST"}, "`index` must be one of 'FLAT'"),
        ({"uri": uri, "dimension": 4}, "holds points of the dimension 3"),
        ({"uri": uri, "geometry": BALL}, "holds points of the geometry Sphere"),
        ({"uri": f"{file}#new"}, "needs an embedder, or else the `dimension`"),
    ):
        with pytest.raises(ValueError, match=message):
            khp.Gallery(engine="milvus", **wrong)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        khp.Gallery(dimension=2, engine="milvus", uri=tmp_path / "none" / "a.db")
    for wrong in ({"uri": "a.db"}, {"index": "FLAT"}):
        with pytest.raises(ValueError, match="are not for the engine 'faiss'"):
            khp.Gallery(dimension=2, **wrong)
    khp.gallery.milvus_items._pymilvus.cache_clear()
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-hierproxy\[milvus\]'"):
        khp.Gallery(dimension=2, engine="milvus", uri=uri)


def test_another_collection_is_left_alone(uri):
    import pymilvus

    place, name = uri.split("#")
    client = pymilvus.MilvusClient(place)
    client.create_collection(name, dimension=3)
    with pytest.raises(ValueError, match=f"#{name} is no gallery. Name another"):
        in_milvus(uri)
    assert client.has_collection(name)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"thresholds": 3}, "thresholds"),
        ({"geometry": {"name": "Dense", "config": {}}}, "Dense"),
        ({"next_id": -1}, "next_id"),
        ({"embedder": {"preset": "../x", "weights_sha256": "0" * 64}}, "preset"),
        ({"level_names": "ab"}, "level_names"),
    ],
    ids=str,
)
def test_damage_is_told(change, message, file):
    uri = f"{file}#damaged{next(NUMBERS)}"
    items = gallery_of(uri, 3)._items
    items._keep({**items.description, **change})
    with pytest.raises(ValueError, match=f"shelf.db#damaged.*{message}"):
        reopened(uri)


def test_threads_search_while_another_adds(uri):
    gallery = gallery_of(uri, 50)
    queries, wrong, done = points(2, seed=1), [], threading.Event()

    def search():
        while not done.is_set():
            hits = gallery.search(points=queries, k=3)
            if (hits.ids < 0).any() or any(each is None for each in hits.labels.flat):
                wrong.append(hits)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(10):
        gallery.add(points=points(3, seed=i), labels=["class 1"] * 3)
        gallery.remove([i])
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong and len(gallery) == 70


# Tells what is there, and then what is added.
WRITER = """
import os
import sys
import numpy as np
import keras_hierproxy as khp

def write(line):
    tell(os.getpid())
    gallery = khp.Gallery(dimension=3, engine="milvus", uri=sys.argv[1])
    labels = []
    if len(gallery):
        [labels] = gallery.search(points=[[1, 1, 1]], k=len(gallery)).labels.tolist()
    steps = [int(label.split()[1]) for label in labels]
    tell(steps)
    for step in range(max(steps, default=-1) + 1, 100000):
        gallery.add(points=np.full((10, 3), 1.0 + step), labels=[f"step {step}"] * 10)
        tell(step)
"""


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_sigkill(tmp_path):
    """Nothing that was reported is lost, and nothing that little is there in part."""
    reported = -1
    with killed_writers(WRITER, tmp_path / "killed.db") as writers:
        for more in (3, 6, 9, 0):
            writers.stdin.write("again\n")
            process = int(writers.stdout.readline())
            steps = json.loads(writers.stdout.readline())
            lines = [writers.stdout.readline() for _ in range(more)]
            os.kill(process, signal.SIGKILL)
            lines += iter(writers.stdout.readline, "killed\n")
            counts = {step: steps.count(step) for step in set(steps)}
            assert set(counts.values()) <= {10}
            assert max(counts, default=-1) >= reported
            assert sorted(counts) == list(range(len(counts)))
            reported = max([reported, *map(int, lines)])
    assert reported >= 17


def test_a_full_disk(tmp_path):
    resource = pytest.importorskip("resource", reason="limits the size of files")
    place = {"engine": "milvus", "uri": f"{tmp_path}/full.db"}
    gallery = khp.Gallery(dimension=64, **place)
    many = np.random.default_rng(0).normal(size=(3000, 64))
    gallery.add(points=many[:9], labels=["a"] * 9)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(OSError, match="full.db"):
            gallery.add(points=many, labels=["b"] * 3000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    gallery = khp.Gallery(**place)
    assert gallery.ids.tolist() == list(range(9))
    assert gallery.search(points=many[:9], k=1).ids.ravel().tolist() == list(range(9))
    ids = gallery.add(points=many[:3], labels=["b"] * 3)
    assert len(khp.Gallery(**place)) == 12 and ids.min() > 8
