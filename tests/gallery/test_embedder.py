"""The embedder of a gallery: it travels along, and its points are told from others."""

import json

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests.photos import write_photos
from tests.tiny import embedding_model

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3)).astype("uint8")
LABELS = list("aabbcc")
SPHERE = khp.geometry.Sphere()


def image_embedder(seed=0, geometry=None):
    keras.utils.set_random_seed(seed)
    return khp.models.ImageEmbedder(
        # With few filters, and these untrained, all of an image may be cut to zero.
        khp.models.conv4((16, 16, 3), filters=32),
        num_classes=3,
        embedding_dim=4,
        geometry=geometry,
    )


@pytest.mark.parametrize(
    "geometry", [khp.geometry.Sphere(), khp.geometry.PoincareBall()], ids=str
)
def test_it_travels_along(geometry, tmp_path):
    embedder = image_embedder(geometry=geometry)
    gallery = khp.Gallery.build(embedder, images=IMAGES, labels=LABELS)
    assert gallery.geometry == geometry and gallery.dimension == 4
    gallery.save(tmp_path)
    again = khp.Gallery.load(tmp_path)
    hits, expected = (each.search(IMAGES, k=2) for each in (again, gallery))
    # Untrained, two images may be closer to each other than float32 tells.
    assert hits.ids.tolist() == expected.ids.tolist()
    assert hits.labels.tolist() == expected.labels.tolist()
    np.testing.assert_allclose(hits.similarities[:, 0], geometry == SPHERE, atol=1e-5)
    np.testing.assert_allclose(
        again.search(IMAGES).similarities,
        gallery.search(IMAGES).similarities,
        atol=1e-5,
    )
    again.add(IMAGES[:1], labels=["d"])
    assert len(khp.Gallery.load(tmp_path)) == 7


def test_another_folder_has_a_copy(tmp_path):
    khp.Gallery.build(image_embedder(), images=IMAGES, labels=LABELS).save(
        tmp_path / "a"
    )
    khp.Gallery.load(tmp_path / "a").save(tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "b").iterdir())
    assert names == ["embedder.keras", "embeddings.json", "embeddings.npy", "items.csv"]
    found = khp.Gallery.load(tmp_path / "b").search(IMAGES[:2], k=1).ids
    assert found.ravel().tolist() == [0, 1]


def test_a_shipped_preset_is_kept_by_its_name(tmp_path):
    images = np.zeros((2, 32, 32, 1), "uint8")
    name = "hierproxy_cnn_glyphs"
    khp.Gallery.build(name, images=images, labels=["a", "b"]).save(tmp_path)
    stored = json.loads((tmp_path / "embeddings.json").read_text())
    assert stored["embedder"]["preset"] == name
    assert not list(tmp_path.glob("*.keras"))
    assert len(khp.Gallery.load(tmp_path).search(images, k=2)) == 2


def test_any_model_and_any_input(tmp_path):
    inputs = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    gallery = khp.Gallery.build(embedding_model(), images=inputs, labels=list("abcde"))
    gallery.save(tmp_path)
    found = khp.Gallery.load(tmp_path).search(inputs, k=1).labels
    assert found.ravel().tolist() == list("abcde")


def test_photos_in_folders(tmp_path):
    write_photos(tmp_path / "photos", ["fruit/a", "fruit/b", "drinks/c"], 2)
    gallery = khp.Gallery.build(image_embedder(), tmp_path / "photos")
    assert len(gallery) == 6
    photo = tmp_path / "photos/fruit/b/1.png"
    for query in (str(photo), photo, [photo]):
        hits = gallery.search(query, k=1)
        assert hits.labels[0, 0] == ("fruit/b", "fruit")
        assert hits.paths[0, 0] == str(photo)
    hits = gallery.search(tmp_path / "photos/fruit/a", k=1)
    assert hits.labels[:, 0].tolist() == [("fruit/a", "fruit")] * 2
    ids = gallery.add([photo], labels=["fruit/b"])
    assert gallery.search(photo, k=2).ids.tolist()[0][1] == ids[0]
    with pytest.raises(FileNotFoundError, match="no image, and no folder, at"):
        gallery.search(tmp_path / "none.png")
    # Folders of classes bring their labels.
    write_photos(tmp_path / "more", ["fruit/d", "fruit/b"], 25)
    gallery.add(tmp_path / "more")
    assert len(gallery) == 57 and gallery.level_names == ("class", "level1")
    gallery.calibrate(tmp_path / "more")
    assert gallery.thresholds[0].queries == 50
    (answer,) = gallery.identify(tmp_path / "more/fruit/d/3.png")
    assert ("fruit/d", "fruit") in answer.hits.labels.tolist()


def test_in_milvus(tmp_path):
    pytest.importorskip("milvus_lite")
    uri = tmp_path / "a.db"
    embedder = image_embedder()
    gallery = khp.Gallery.build(
        embedder, images=IMAGES, labels=LABELS, engine="milvus", uri=uri
    )
    assert gallery.search(IMAGES, k=1).ids.ravel().tolist() == list(range(6))
    with pytest.raises(ValueError, match="are of another model than the gallery"):
        khp.Gallery(image_embedder(1), engine="milvus", uri=uri)
    again = khp.Gallery(engine="milvus", uri=uri)
    with pytest.raises(ValueError, match="pass the model of its points"):
        again.search(IMAGES)
    assert len(again.search(points=embedder.embed(IMAGES))) == 6
    again = khp.Gallery(embedder, engine="milvus", uri=uri)
    again.add(IMAGES[:1], labels=["d"])
    again.save(tmp_path / "b")
    again = khp.Gallery.load(tmp_path / "b")
    # Embedded alone, an image may differ in its last bits.
    assert sorted(again.search(IMAGES, k=2).ids[0].tolist()) == [0, 6]


def test_a_shipped_preset_in_milvus(tmp_path):
    pytest.importorskip("milvus_lite")
    uri = tmp_path / "a.db"
    images = np.zeros((1, 32, 32, 1), "uint8")
    khp.Gallery.build(
        "hierproxy_cnn_glyphs", images=images, labels=["a"], engine="milvus", uri=uri
    )
    assert khp.Gallery(engine="milvus", uri=uri).search(
        images, k=1
    ).labels.tolist() == [["a"]]


def test_points_of_another_model_are_refused(tmp_path):
    khp.Gallery.build(image_embedder(1), images=IMAGES).save(tmp_path)
    others = khp.embeddings.load(tmp_path)
    gallery = khp.Gallery.build(image_embedder(), images=IMAGES, labels=LABELS)
    for method in (gallery.add, gallery.search):
        with pytest.raises(ValueError, match="are of another model than the gallery"):
            method(points=others)
    own = khp.Gallery(image_embedder(1))
    own.add(points=others)
    assert own.search(points=others, k=1).ids.ravel().tolist() == list(range(6))
    ball = khp.Gallery(geometry=khp.geometry.PoincareBall(), dimension=4)
    with pytest.raises(ValueError, match="must be of the gallery's geometry"):
        ball.add(points=others)


def test_a_model_that_was_trained_meanwhile_is_refused(tmp_path):
    embedder = image_embedder()
    gallery = khp.Gallery.build(embedder, images=IMAGES, labels=LABELS)
    embedder.proxies.proxies.assign(embedder.proxies.proxies + 1.0)
    gallery.add(IMAGES[:1], labels=["a"])
    head = embedder.get_layer("head")
    head.kernel.assign(head.kernel + 1.0)
    for change in (
        lambda: gallery.add(IMAGES[:1], labels=["a"]),
        lambda: gallery.save(tmp_path),
    ):
        with pytest.raises(ValueError, match="has other weights than when"):
            change()


def test_another_model_in_the_folder_is_refused(tmp_path):
    khp.Gallery.build(image_embedder(), images=IMAGES, labels=LABELS).save(tmp_path)
    image_embedder(1).save(tmp_path / "embedder.keras")
    with pytest.raises(ValueError, match="is another than the one whose points"):
        khp.Gallery.load(tmp_path).search(IMAGES)


def test_arguments_that_are_not_the_embedders_are_refused():
    with pytest.raises(ValueError, match="`dimension` must be the embedder's, 4"):
        khp.Gallery(image_embedder(), dimension=5)
    with pytest.raises(ValueError, match="`geometry` must be the embedder's"):
        khp.Gallery(image_embedder(), geometry=khp.geometry.PoincareBall())
    with pytest.raises(ValueError, match="Pass either `data`"):
        khp.Gallery.build(image_embedder())
