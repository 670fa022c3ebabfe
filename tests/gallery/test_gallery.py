"""A gallery: whatever was added and removed, it answers as one built anew."""

import json
import threading

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import keras_hierproxy as khp
from keras_hierproxy.gallery import local_items

pytestmark = pytest.mark.host
SPHERE, BALL = khp.geometry.Sphere(), khp.geometry.PoincareBall()
DIMENSION = 3


def points(count, seed=0, geometry=SPHERE):
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    return np.asarray(geometry.project(drawn.astype("float32")))


def label(i):
    return (f"class {i % 5}", f"kind {i % 5 // 2}")


def gallery_of(count=12, geometry=SPHERE):
    gallery = khp.Gallery(geometry=geometry, dimension=DIMENSION)
    gallery.add(
        points=points(count, geometry=geometry), labels=[label(i) for i in range(count)]
    )
    return gallery


def same(one, other):
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.similarities, other.similarities)
    assert one.labels.tolist() == other.labels.tolist()
    assert one.paths.tolist() == other.paths.tolist()


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


# Few places, so that many points are equal; the smallest first.
PLACES = st.integers(0, 9)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(PLACES, max_size=6)),
        st.tuples(st.just("add with ids"), st.lists(PLACES, max_size=4)),
        st.tuples(st.just("remove"), st.integers(1, 8)),
        st.tuples(st.just("search"), st.integers(1, 12)),
        st.tuples(st.just("load"), st.just(0)),
    ),
    max_size=12,
)


@pytest.mark.parametrize("geometry", [SPHERE, BALL], ids=["sphere", "ball"])
@settings(max_examples=25, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 9))
def test_in_any_order_it_equals_one_built_anew(geometry, steps, seed, tmp_path_factory):
    folders = []

    def reopened(gallery):
        if not folders:
            folders.append(tmp_path_factory.mktemp("gallery"))
            gallery.save(folders[0])
        return khp.Gallery.load(folders[0])

    gallery = khp.Gallery(geometry=geometry, dimension=3)
    take_steps(gallery, reopened, geometry, steps, seed)


def take_steps(gallery, reopened, geometry, steps, seed):
    """Changes a gallery, and compares it with one of what should be there."""
    random = np.random.default_rng(seed)
    places, items = points(10, geometry=geometry), {}
    for step, what in steps:
        if step.startswith("add"):
            labels = [label(place) for place in what]
            ids = None
            if step == "add with ids":
                free = np.setdiff1d(np.arange(40), list(items))
                ids = random.permutation(free)[: len(what)]
            given_ids = (
                gallery.add(points=places[what], labels=labels, ids=ids) if what else []
            )
            for i, place in zip(given_ids, what, strict=True):
                assert int(i) not in items
                items[int(i)] = place
        elif step == "remove":
            gone = random.permutation(sorted(items))[:what]
            gallery.remove(gone)
            for i in gone:
                del items[int(i)]
        elif step == "load":
            gallery = reopened(gallery)
        else:
            check(gallery, items, places, geometry, k=what)
    check(gallery, items, places, geometry, k=4)


def check(gallery, items, places, geometry, k):
    assert len(gallery) == len(items)
    assert sorted(gallery.ids.tolist()) == sorted(items)
    anew = khp.Gallery(geometry=geometry, dimension=3)
    if items:
        ids = sorted(items)
        where = [items[i] for i in ids]
        anew.add(points=places[where], labels=[label(p) for p in where], ids=ids)
    queries = points(3, seed=1, geometry=geometry)
    hits, expected = (each.search(points=queries, k=k) for each in (gallery, anew))
    np.testing.assert_array_equal(hits.ids, expected.ids)
    # In Milvus, points on the sphere were normalised once more.
    exactly = gallery._items.engine == "faiss"
    np.testing.assert_allclose(
        hits.similarities, expected.similarities, rtol=0, atol=0 if exactly else 2e-7
    )
    assert hits.labels.tolist() == expected.labels.tolist()
    k = min(k, len(items))
    if k:
        nearest, similarities = khp.retrieval.knn(
            queries, places[where], k=k, geometry=geometry
        )
        np.testing.assert_array_equal(hits.ids[:, :k], np.array(ids)[nearest])
        np.testing.assert_allclose(hits.similarities[:, :k], similarities, atol=1e-6)
    assert (hits.ids[:, k:] == -1).all() and np.isneginf(hits.similarities[:, k:]).all()


@pytest.mark.parametrize("geometry", [SPHERE, BALL], ids=["sphere", "ball"])
def test_many_items_in_blocks(geometry, monkeypatch):
    """As `knn` finds them, while blocks come, grow together and lose items."""
    random = np.random.default_rng(0)
    gallery = khp.Gallery(geometry=geometry, dimension=DIMENSION)
    there = {}
    for step in range(30):
        new = points(random.integers(1, 40), seed=step, geometry=geometry)
        there |= dict(zip(gallery.add(points=new).tolist(), new, strict=True))
        gone = random.permutation(sorted(there))[: random.integers(0, 25)]
        gallery.remove(gone)
        there = {i: point for i, point in there.items() if i not in gone}
        queries = points(5, seed=100 + step, geometry=geometry)
        hits = gallery.search(points=queries, k=7)
        ids = np.array(sorted(there))
        nearest, _ = khp.retrieval.knn(
            queries, np.stack([there[i] for i in ids]), k=7, geometry=geometry
        )
        np.testing.assert_array_equal(hits.ids, ids[nearest])


def test_saved_and_loaded(tmp_path):
    for geometry in (SPHERE, BALL):
        gallery = gallery_of(geometry=geometry)
        folder = tmp_path / str(geometry)
        gallery.save(folder)
        again = khp.Gallery.load(folder)
        assert again.geometry == geometry and again.dimension == DIMENSION
        assert again.level_names == ("class", "level1") and again.embedder is None
        queries = points(4, seed=1, geometry=geometry)
        same(again.search(points=queries), gallery.search(points=queries))


def test_changes_are_in_the_folder_when_they_return(tmp_path):
    gallery = gallery_of()
    gallery.save(tmp_path)
    reader = khp.Gallery.load(tmp_path)
    gallery.add(points=points(3, seed=5), labels=["class 1", ("new", "kind 0"), None])
    gallery.remove([0, 13])
    queries = points(4, seed=1)
    same(
        khp.Gallery.load(tmp_path).search(points=queries, k=14),
        gallery.search(points=queries, k=14),
    )
    # Who loaded before has what was there.
    same(reader.search(points=queries), gallery_of().search(points=queries))
    # And takes in the rest before it changes something.
    reader.remove([1])
    assert sorted(reader.ids) == [*range(2, 13), 14]
    assert reader.search(points=points(3, seed=5)[2:], k=1).labels[0, 0] is None


def test_what_others_read(tmp_path):
    gallery = gallery_of()
    gallery.save(tmp_path)
    gallery.add(points=points(3, seed=5), labels=[("new", "kind 0"), None, "class 1"])
    gallery.remove([0, 4])
    stored = khp.embeddings.load(tmp_path)
    np.testing.assert_array_equal(stored.ids, gallery.ids)
    assert stored.class_names[0][-1] == "new" and len(stored) == 13
    assert stored.labels[10:12].tolist() == [[5, 0], [-1, -1]]
    results = khp.retrieval.evaluate(**stored.retrieval_arguments(), geometry=SPHERE)
    assert results["num_queries"] == 12
    # Without this package: all rows, and those that are left out.
    assert np.load(tmp_path / "embeddings.npy").shape == (15, DIMENSION)
    assert np.load(tmp_path / "removed.npy").tolist() == [0, 4]
    assert json.loads((tmp_path / "embeddings.json").read_text())["rows"] == 15


def test_ids_of_ones_own(tmp_path):
    gallery = gallery_of(2)
    gallery.save(tmp_path)
    assert gallery.add(points=points(2), ids=[9, 3]).tolist() == [9, 3]
    assert gallery.add(points=points(1)).tolist() == [10]
    gallery.remove([10])
    again = khp.Gallery.load(tmp_path)
    assert again.add(points=points(1)).tolist() == [11]
    assert again.add(points=points(1), ids=[10]).tolist() == [10]
    assert khp.Gallery.load(tmp_path).ids.tolist() == [0, 1, 9, 3, 11, 10]
    assert np.load(tmp_path / "ids.npy").tolist() == [0, 1, 9, 3, 10, 11, 10]


def test_labels_come_after_items_without(tmp_path):
    gallery = khp.Gallery(dimension=DIMENSION)
    gallery.add(points=points(2))
    gallery.save(tmp_path)
    gallery.add(points=points(1, seed=1), labels=["a"])
    for each in (gallery, khp.Gallery.load(tmp_path)):
        assert each.search(points=points(1, seed=1), k=3).labels[0].tolist()[0] == "a"
        assert each.search(points=points(1), k=1).labels[0, 0] is None
        assert each.ids.tolist() == [0, 1, 2]


def test_removed_items_give_back_their_place(tmp_path, monkeypatch):
    monkeypatch.setattr(local_items, "_MANY_REMOVED", 5)
    gallery = gallery_of(20)
    gallery.save(tmp_path)
    reader = khp.Gallery.load(tmp_path)
    gallery.remove(range(3, 19))
    assert np.load(tmp_path / "embeddings-1.npy").shape == (4, DIMENSION)
    assert not (tmp_path / "embeddings.npy").exists()
    queries = points(3, seed=1)
    for each in (gallery, khp.Gallery.load(tmp_path)):
        assert each.ids.tolist() == [0, 1, 2, 19]
        assert each.add(points=points(1)).tolist()[0] >= 20
    same(reader.search(points=queries), gallery_of(20).search(points=queries))


def test_classes_of_one_name_in_two_others():
    gallery = khp.Gallery(dimension=DIMENSION)
    gallery.add(points=points(2), labels=[("red", "apple"), ("red", "pepper")])
    found = gallery.search(points=points(2), k=1).labels.ravel().tolist()
    assert found == [("red", "apple"), ("red", "pepper")]
    with pytest.raises(ValueError, match="'red' lies in several: pass 2 names"):
        gallery.add(points=points(1), labels=["red"])
    with pytest.raises(ValueError, match="'green' is new: pass 2 names"):
        gallery.add(points=points(1), labels=["green"])
    gallery.add(points=points(1), labels=[(None, "apple")])
    assert len(gallery) == 3


def test_nothing_is_an_empty_answer():
    hits = khp.Gallery(dimension=DIMENSION).search(points=points(2), k=3)
    assert hits.ids.tolist() == [[-1] * 3] * 2 and np.isneginf(hits.similarities).all()
    assert hits.labels.tolist() == [[None] * 3] * 2 and len(hits) == 2


def test_saved_over_another(tmp_path):
    gallery_of(20).save(tmp_path)
    reader = khp.Gallery.load(tmp_path)
    gallery = gallery_of(4)
    gallery.save(tmp_path)
    gallery.save(tmp_path)
    assert len(khp.Gallery.load(tmp_path)) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "embeddings-1.npy",
        "embeddings.json",
        "items-1.csv",
    ]
    queries = points(3, seed=1)
    same(reader.search(points=queries), gallery_of(20).search(points=queries))


def test_threads_search_while_another_adds(tmp_path):
    gallery = gallery_of(50)
    gallery.save(tmp_path)
    queries = points(2, seed=1)
    known = set(range(50))
    wrong, done = [], threading.Event()

    def search():
        while not done.is_set():
            hits = gallery.search(points=queries, k=3)
            if not np.isfinite(hits.similarities).all() or (hits.ids < 0).any():
                wrong.append(hits)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(20):
        known |= set(gallery.add(points=points(3, seed=i), labels=["class 1"] * 3))
        gallery.remove([i])
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert set(gallery.ids) == known - set(range(20))


BAD = {
    "nothing": ({}, "either `images` or `points`"),
    "both": ({"points": [[1, 2, 3]], "images": [[1]]}, "either `images` or `points`"),
    "images without embedder": ({"images": np.zeros((1, 3))}, "has no embedder"),
    "one axis": ({"points": [1, 2, 3]}, "must be a non-empty array of shape"),
    "another dimension": ({"points": [[1, 2]]}, r"must have shape \(n, 3\)"),
    "NaN": ({"points": [[1, 2, np.nan]]}, "points must be finite"),
    "too large": ({"points": [[1, 2, 1e300]]}, "points must be finite"),
    "words": ({"points": [["a", "b", "c"]]}, "points must be real numbers"),
}
BAD_TO_ADD = {
    "one label": ({"labels": "a"}, "must be a list of names"),
    "ids as labels": ({"labels": [3]}, "Received: 3. Turn ids into names"),
    "too many labels": ({"labels": ["class 1"] * 2}, "one entry for each item"),
    "three levels": ({"labels": [("a", "b", "c")]}, "must be tuples of 2 names"),
    "coarsest is none": ({"labels": [("a", None)]}, "only where they are on all finer"),
    "an id twice": ({"ids": [3]}, r"must be new. Received: \[3\]"),
    "ids of words": ({"ids": ["a"]}, "ids must be integer"),
    "id below 0": ({"ids": [-1]}, "ids must be 0 or more"),
    "the last id": ({"ids": [2**63 - 1]}, "and below 2.63 - 1"),
    "too many ids": ({"ids": [20, 21]}, "one for each item, 1 of them"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_queries_are_refused(case):
    arguments, message = BAD[case]
    gallery = gallery_of()
    for method in (gallery.add, gallery.search):
        with pytest.raises(ValueError, match=message):
            method(**arguments)
    assert len(gallery) == 12


@pytest.mark.parametrize("case", BAD_TO_ADD)
def test_what_does_not_fit_is_not_added(case, tmp_path):
    arguments, message = BAD_TO_ADD[case]
    gallery = gallery_of()
    gallery.save(tmp_path)
    with pytest.raises(ValueError, match=message):
        gallery.add(points=points(1), **arguments)
    for each in (gallery, khp.Gallery.load(tmp_path)):
        same(each.search(points=points(3)), gallery_of().search(points=points(3)))


def test_other_wrong_arguments(tmp_path):
    gallery = gallery_of()
    for wrong in ({"k": 0}, {"k": 2.5}, {"k": None}):
        with pytest.raises(ValueError, match="`k` must be a positive int"):
            gallery.search(points=points(1), **wrong)
    with pytest.raises(ValueError, match=r"no items of the ids \[77\] .*Nothing is d"):
        gallery.remove([1, 77])
    with pytest.raises(ValueError, match="ids must differ. Received: 1 twice"):
        gallery.remove([1, 1])
    assert len(gallery) == 12
    with pytest.raises(ValueError, match="`engine` must be one of 'faiss'"):
        khp.Gallery(dimension=2, engine="fais")
    with pytest.raises(ValueError, match="needs an embedder, or else the `dimension`"):
        khp.Gallery()
    with pytest.raises(ValueError, match="`embedder` must be a"):
        khp.Gallery(3)
    with pytest.raises(ValueError, match="inside the ball"):
        khp.Gallery(geometry=BALL, dimension=2).add(points=[[9, 9]])
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty: it holds mine.txt"):
        gallery.save(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        khp.Gallery.load(tmp_path / "none")


def test_refresh_takes_in_what_others_changed(tmp_path):
    gallery = khp.Gallery(dimension=2)
    gallery.save(tmp_path / "shelf")
    other = khp.Gallery.load(tmp_path / "shelf")
    gallery.add(points=[[0, 1], [1, 0]], labels=["a", "b"])
    gallery.calibrate(points=[[0, 1]] * 50, labels=["a"] * 50)
    assert len(other) == 0 and not other.thresholds
    other.refresh()
    assert other.search(points=[[0, 1]], k=1).labels.tolist() == [["a"]]
    assert other.thresholds == gallery.thresholds
    khp.Gallery(dimension=3).save(tmp_path / "shelf")
    with pytest.raises(ValueError, match="another gallery than when it was opened"):
        other.refresh()
    assert len(other) == 2


def test_no_more_is_asked_for_than_there_may_be():
    """Not filled up with nothing, a thousand million times."""
    gallery = khp.Gallery(dimension=2)
    gallery.add(points=np.ones((3, 2)))
    assert gallery.search(points=[[1, 1]], k=1000).ids.shape == (1, 1000)
    with pytest.raises(ValueError, match="at most 1,000, or the number of items, 3"):
        gallery.search(points=[[1, 1]], k=10**9)


def test_labels_to_calibrate_with_may_be_any_iterable():
    gallery = khp.Gallery(dimension=2)
    gallery.add(points=[[0, 1], [1, 0]], labels=["a", "b"])
    queries = [[0, 1]] * 50
    (expected,) = gallery.calibrate(points=queries, labels=["a"] * 50)
    for labels in (iter(["a"] * 50), np.array(["a"] * 50)):
        assert gallery.calibrate(points=queries, labels=labels) == [expected]
    with pytest.raises(ValueError, match="must be a list of names"):
        gallery.calibrate(points=queries, labels="a" * 50)
    with pytest.raises(ValueError, match="one entry for each item. Received: 49"):
        gallery.calibrate(points=queries, labels=["a"] * 49)


@pytest.mark.parametrize("folder", [None, 3])
def test_what_is_no_path_is_not_loaded(folder):
    with pytest.raises(TypeError, match="expected str, bytes or os.PathLike object"):
        khp.Gallery.load(folder)


def test_a_name_that_could_not_be_read_back_is_not_written(tmp_path):
    """Nor spoils it what is there."""
    gallery = khp.Gallery(dimension=2)
    gallery.save(tmp_path / "shelf")
    longest = "=" + "x" * 131_070
    gallery.add(points=[[0, 1]], labels=[longest])
    with pytest.raises(ValueError, match="may have 131,071 characters. Received: 'x"):
        gallery.add(points=[[1, 0]], labels=["x" * 131_072])
    gallery.add(points=[[1, 1]], labels=["a\x00b\n"])
    again = khp.Gallery.load(tmp_path / "shelf")
    assert again.about(again.ids)[0] == gallery.about(gallery.ids)[0]
    assert again.about(again.ids)[0] == [longest, "a\x00b\n"]
