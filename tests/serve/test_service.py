"""What the service answers, to one client and to many at a time."""

import base64
import concurrent.futures
import io
import json
import signal
import socket
import threading
import time
import urllib.request

import keras
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import keras_hierproxy as khp
from hierproxy.serve import command
from hierproxy.serve.app import create_app
from hierproxy.serve.batching import Batcher
from keras_hierproxy import models
from tests.command_line import start
from tests.photos import write_photos

SIDE = 16
TOKEN = {"Authorization": "Bearer secret"}
once = pytest.mark.host


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a gallery, calibrated so that it answers what it knows."""
    folder = tmp_path_factory.mktemp("served")
    photos = write_photos(folder / "photos", ["bag/a", "bag/b", "hat/c"])
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(16, 5, strides=3)(x)
    embedder = models.ImageEmbedder(keras.Model(inputs, x), embedding_dim=8)
    gallery = khp.Gallery.build(embedder, photos)
    paths = sorted(photos.rglob("*.png"))
    labels = [(f"{p.parts[-3]}/{p.parts[-2]}", p.parts[-3]) for p in paths]
    gallery.calibrate(paths * 10, labels=labels * 10, precision=0.9)
    gallery.save(folder / "gallery")
    return folder


@pytest.fixture
def gallery(folder):
    return khp.Gallery.load(folder / "gallery")


@pytest.fixture
def client(gallery):
    with TestClient(create_app(gallery, page=False)) as client:
        yield client


@pytest.fixture
def writer(folder, tmp_path):
    """A client of a copy of the gallery that may be changed."""
    copy = khp.Gallery.load(folder / "gallery")
    copy.save(tmp_path / "copy")
    with TestClient(create_app(copy, "secret", page=False)) as client:
        yield client


def photos_of(folder):
    return sorted((folder / "photos").rglob("*.png"))


def form(*paths):
    return [("images", (path.name, path.read_bytes())) for path in paths]


def test_search_is_that_of_the_gallery(client, gallery, folder):
    """Also: in another batch, padded, on each backend; as a form and as JSON."""
    paths = photos_of(folder)[:3]
    hits = gallery.search(paths, k=4)
    response = client.post("/search?k=4", files=form(*paths))
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert [[hit["id"] for hit in each] for each in results] == hits.ids.tolist()
    similarities = [[hit["similarity"] for hit in each] for each in results]
    np.testing.assert_allclose(similarities, hits.similarities, atol=1e-5)
    first = results[0][0]
    assert first["label"] == ["bag/a", "bag"] and first["path"] == "bag/a/0.png"
    images = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    images[0] = f"data:image/png;base64,{images[0]}"
    again = client.post("/search?k=4", json={"images": images})
    assert again.json() == response.json()


@once
def test_identify_is_that_of_the_gallery(client, gallery, folder):
    paths = photos_of(folder)
    results = client.post("/identify", files=form(*paths)).json()["results"]
    for result, answer in zip(results, gallery.identify(paths), strict=True):
        assert result["label"] == answer.label and result["level"] == answer.level
        assert result["path"] == list(answer.path)
        assert result["confidence"] == pytest.approx(answer.confidence, abs=1e-3)
        assert [each["answered"] for each in result["levels"]] == [
            level == answer.level for level in range(2)
        ]
    assert any(result["level"] == 0 for result in results)


@once
def test_items(client, gallery, folder):
    listed = client.get("/items?offset=10&limit=5").json()
    assert listed["count"] == 12
    assert [item["id"] for item in listed["items"]] == [10, 11]
    item = client.get("/items/10").json()
    assert item == {"id": 10, "label": ["hat/c", "hat"], "path": "hat/c/2.png"}
    picture = client.get("/items/10/picture")
    assert Image.open(io.BytesIO(picture.content)).size == (112, 112)
    health = client.get("/health").json()
    assert health["status"] == "ok" and health["items"] == 12 and health["calibrated"]


@once
def test_what_lies_elsewhere_is_not_shown(gallery, folder, tmp_path):
    with TestClient(create_app(gallery, root=tmp_path, page=False)) as client:
        assert client.get("/items/0").json()["path"] is None
        assert client.get("/items/0/picture").status_code == 404


@once
def test_items_come_and_go(writer, gallery, folder):
    new = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), "red").save(new, "png")
    files = [("images", ("new.png", new.getvalue()))]
    labels = {"labels": json.dumps([["shoe/d", "shoe"]])}
    for headers, status in (({}, 401), ({"Authorization": "Bearer x"}, 401)):
        response = writer.post("/items", files=files, data=labels, headers=headers)
        assert response.status_code == status
        assert writer.delete("/items/1", headers=headers).status_code == status
    response = writer.post("/items", files=files, data=labels, headers=TOKEN)
    assert response.status_code == 201 and response.json() == {"ids": [12]}
    (hits,) = writer.post("/search?k=1", files=files).json()["results"]
    assert hits[0]["label"] == ["shoe/d", "shoe"] and hits[0]["id"] == 12
    assert writer.delete("/items/12", headers=TOKEN).status_code == 204
    assert writer.delete("/items/12", headers=TOKEN).status_code == 404
    wrong = {"images": [base64.b64encode(new.getvalue()).decode()], "labels": ["new"]}
    response = writer.post("/items", json=wrong, headers=TOKEN)
    assert response.status_code == 422 and "'new' is new" in response.json()["detail"]
    assert writer.get("/health").json()["items"] == 12


@once
def test_it_is_described(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/health",
        "/search",
        "/identify",
        "/items",
        "/items/{id}",
        "/items/{id}/picture",
    }
    content = described["paths"]["/search"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}


def test_many_at_a_time_get_their_own_answers(gallery):
    """Batches of whatever waits, of few sizes; none is mixed up or lost."""
    sizes = set()
    embed = gallery.embedder.embed_on_batch
    gallery.embedder.embed_on_batch = lambda batch: (
        sizes.add(len(batch)) or embed(batch)
    )
    batcher = Batcher(gallery, batch_size=8)
    images = np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE, 3), "uint8")
    points = embed(images)
    expected = gallery.search(points=points, k=3)
    answers = gallery.identify(points=points)

    def ask(i):
        count = 1 + i % 3
        chosen = (i + np.arange(count)) % 60
        what = ("hits", "answers", "points")[i % 3]
        return i, what, chosen, batcher.ask(images[chosen], what, 3).result(60)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        done = list(pool.map(ask, range(60)))
    batcher.close()
    assert len(done) == 60
    for _, what, chosen, found in done:
        assert len(found) == len(chosen)
        for row, each in zip(chosen, found, strict=True):
            if what == "hits":
                np.testing.assert_array_equal(each.ids, expected.ids[row])
            elif what == "answers":
                assert each.label == answers[row].label
            else:
                np.testing.assert_allclose(each, points[row], atol=1e-5)
    assert sizes == {1, 2, 4, 8}


@once
def test_one_mistake_is_not_that_of_others(gallery):
    identify = gallery.identify
    batcher = Batcher(gallery, batch_size=8)
    images = np.zeros((3, SIDE, SIDE, 3), "uint8")
    waiting = threading.Event()

    def fail(points):
        waiting.wait(10)
        if len(points) != 1:
            raise ValueError("too many")
        return identify(points=points)

    gallery.identify = fail
    first = batcher.ask(images[:1], "answers")
    time.sleep(0.1)
    good, bad = batcher.ask(images[:1], "answers"), batcher.ask(images, "answers")
    waiting.set()
    assert first.result(10) and good.result(10)
    with pytest.raises(ValueError, match="too many"):
        bad.result(10)
    batcher.close()


@once
def test_what_was_asked_is_answered_before_the_end(gallery):
    batcher = Batcher(gallery, batch_size=2)
    images = np.zeros((1, SIDE, SIDE, 3), "uint8")
    futures = [batcher.ask(images, "hits") for _ in range(50)]
    batcher.close()
    assert all(future.done() and len(future.result()) == 1 for future in futures)
    with pytest.raises(RuntimeError, match="stopping"):
        batcher.ask(images, "hits")


@once
def test_what_others_add_is_served(folder, tmp_path):
    """And where they leave a gallery of another model, the old one is."""
    place = tmp_path / "copy"
    khp.Gallery.load(folder / "gallery").save(place)
    app = create_app(khp.Gallery.load(place), page=False)
    with TestClient(app) as client:
        khp.Gallery.load(place).add(points=np.ones((1, 8)))
        end = time.monotonic() + 20
        while client.get("/health").json()["items"] == 12 and time.monotonic() < end:
            time.sleep(0.1)
        assert client.get("/health").json()["items"] == 13
        with pytest.warns(UserWarning, match="served as it was: .*another gallery"):
            khp.Gallery(dimension=8).save(place)
            time.sleep(2.5)
        files = form(photos_of(folder)[0])
        assert client.post("/search", files=files).status_code == 200


@once
def test_too_many_are_told_to_come_again(gallery, folder):
    app = create_app(gallery, page=False, max_requests=2)
    search, begun = gallery.search, threading.Event()

    def wait(**arguments):
        begun.wait(20)
        return search(**arguments)

    gallery.search = wait
    files = form(photos_of(folder)[0])
    with TestClient(app) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.post, "/search", files=files) for _ in range(8)]
        while sum(each.done() for each in asked) < 6:
            time.sleep(0.01)
        assert client.get("/health").status_code == 200
        begun.set()
        responses = [each.result() for each in asked]
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [200] * 2 + [429] * 6
    refused = next(each for each in responses if each.status_code == 429)
    assert refused.headers["Retry-After"] == "1"


@pytest.mark.host(on="jax")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_stops_cleanly(folder, number):
    options = ("--port", 0, "--no-page")
    process = start("serve", folder / "gallery", *options)
    line = process.stdout.readline()
    while line and "http://" not in line:
        line = process.stdout.readline()
    url = line.split()[-1]
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(f"{url}health", timeout=30) as response:
        assert json.load(response)["items"] == 12
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "All that was asked is answered." in stdout


@once
def test_a_port_that_is_taken(call, folder):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, stderr = call("serve", folder / "gallery", "--port", port)
    assert code == 2
    assert f"Nothing can listen at 127.0.0.1, port {port}: " in stderr


def test_answers_do_not_wait_for_receipts():
    """As they would, 40 ms each, where what is written waits for a full packet."""
    with command._bound("127.0.0.1", 0) as listening:
        with socket.create_connection(listening.getsockname()):
            connection, _ = listening.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
