import os
import signal

import numpy as np
import pytest
from PIL import Image

import keras_hierproxy as khp

PRESET = "hierproxy_cnn_glyphs"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Files of test letters, and their pixels."""
    folder = tmp_path_factory.mktemp("letters")
    images = khp.datasets.load("glyphs").test.images[:23]
    paths = []
    for i, image in enumerate(images):
        paths.append(str(folder / f"{i:02}.png"))
        Image.fromarray(image[:, :, 0]).save(paths[-1])
    return paths, images


@pytest.fixture(scope="module")
def expected(photos):
    embedder = khp.models.ImageEmbedder.from_preset(PRESET, num_classes=None)
    return embedder.embed(photos[1])


@pytest.mark.parametrize("kind", ["arrays", "paths", "bytes", "objects"])
def test_points_of_images_in_any_form(kind, photos, expected):
    paths, images = photos
    column = {
        "arrays": images,
        "paths": np.array(paths),
        "bytes": np.array([open(path, "rb").read() for path in paths], object),
        "objects": np.array([*images, None], object)[:-1],
    }[kind]
    embed = khp.embeddings.BatchEmbedder(PRESET, batch_size=10)
    batch = embed({"image": column, "id": np.arange(23)})
    assert list(batch) == ["id", "points"] and batch["points"].dtype == "float32"
    np.testing.assert_allclose(batch["points"], expected, atol=1e-6)


def test_a_row_does_not_depend_on_its_batch(photos):
    embed = khp.embeddings.BatchEmbedder(PRESET, batch_size=8)
    whole = embed({"image": photos[1]})["points"]
    parts = [embed({"image": photos[1][i : i + 3]})["points"] for i in range(0, 23, 3)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    assert embed({"image": photos[1][:0]})["points"].shape == (0, 128)


def test_says_what_is_wrong(tmp_path, photos):
    embed = khp.embeddings.BatchEmbedder(PRESET)
    with pytest.raises(ValueError, match="no column 'image'.*Received columns: 'path'"):
        embed({"path": photos[0]})
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="broken.png is not a readable image"):
        embed({"image": np.array([str(tmp_path / "broken.png")])})
    with pytest.raises(ValueError, match="7 bytes, is not a readable image"):
        embed({"image": np.array([b"nothing"], object)})
    with pytest.raises(ValueError, match="takes images of shape"):
        embed({"image": photos[1][..., 0]})
    embed.embedder.head.kernel.assign(np.full(embed.embedder.head.kernel.shape, np.nan))
    with pytest.raises(ValueError, match="23 of 23 points are not finite"):
        embed({"image": photos[1]})
    with pytest.raises(ValueError, match="batch_size"):
        khp.embeddings.BatchEmbedder(PRESET, batch_size=0)


class DiesOnce(khp.embeddings.BatchEmbedder):
    """Kills its worker at the first batch that any of them sees."""

    def __init__(self, model, images, marker):
        super().__init__(model, images)
        self.marker = marker

    def __call__(self, batch):
        try:
            os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return super().__call__(batch)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.host
@pytest.mark.nightly
def test_ray_starts_a_killed_worker_again(tmp_path, photos, expected, monkeypatch):
    ray, pandas = pytest.importorskip("ray"), pytest.importorskip("pandas")
    # Else its workers give way to the tests that run beside, for minutes.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        items = [{"path": path, "name": path} for path in photos[0]]
        table = ray.data.from_items(items).map_batches(
            DiesOnce,
            fn_constructor_args=(PRESET, "path", str(tmp_path / "died")),
            concurrency=2,
            batch_size=5,
        )
        table.write_parquet(str(tmp_path / "points"))
        assert (tmp_path / "died").exists()
    finally:
        ray.shutdown()
    rows = pandas.read_parquet(tmp_path / "points")
    rows = rows.sort_values("name")
    assert list(rows["name"]) == photos[0]
    np.testing.assert_allclose(np.stack(rows["points"]), expected, atol=1e-6)
    gallery = khp.Gallery(PRESET)
    points = np.stack(rows["points"]).astype("float32")
    gallery.add(points=points, labels=list("abcdefghijklmnopqrstuvw"))
    assert gallery.search(photos[1][:3], k=1).labels[:, 0].tolist() == ["a", "b", "c"]
