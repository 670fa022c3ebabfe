"""What strangers send to the service: refused with a 4xx, and it answers the next."""

import base64
import functools
import io
import json
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import keras_hierproxy as khp
from hierproxy.serve.app import create_app
from keras_hierproxy import models
from tests.hostile.cases import refused, right
from tests.hostile.test_images import HUGE, bomb

pytestmark = pytest.mark.host

SIDE, MOST = 8, 200_000
TOKEN = {"Authorization": "Bearer secret"}


def picture(kind="png", **options):
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), "red").save(file, kind, **options)
    return file.getvalue()


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", picture())
    return file.getvalue()


@functools.cache
def client():
    inputs = keras.Input((SIDE, SIDE, 3))
    network = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))
    gallery = khp.Gallery(models.ImageEmbedder(network, embedding_dim=4))
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), "uint8")
    gallery.add(images, labels=[("a", "x"), ("b", "x"), ("c", "y")])
    app = create_app(gallery, "secret", page=False, batch_size=4, max_bytes=MOST)
    return TestClient(app, raise_server_exceptions=False)


def told(response):
    """What a good request gets; raises what a bad one is told."""
    again = client().post("/search", files=[("images", ("a.png", picture()))])
    assert again.status_code == 200, "it does not answer the next"
    assert len(client().app.state.gallery) == 3, "it changed the gallery"
    if response.status_code < 400:
        return response.status_code
    assert response.status_code < 500, response.text
    raise ValueError(f"{response.status_code} {response.json()['detail']}")


def sent(content, name="a.png", path="/search", headers=None, **data):
    files = [("images", (name, content))]
    return lambda: told(
        client().post(path, files=files, data=data, headers=headers or {})
    )


def said(content, path="/search", kind="application/json", headers=None):
    headers = {"Content-Type": kind, **(headers or {})}
    body = content if isinstance(content, bytes) else json.dumps(content)
    return lambda: told(client().post(path, content=body, headers=headers))


def asked(method, path, headers=None):
    return lambda: told(client().request(method, path, headers=headers or {}))


def chunked(size):
    """A body that does not say how long it is."""

    def chunks():
        for _ in range(size // 10_000):
            yield bytes(10_000)

    headers = {"Content-Type": "application/json"}
    return lambda: told(client().post("/search", content=chunks(), headers=headers))


GOOD = base64.b64encode(picture()).decode()
UNREADABLE = "422 image 1 is not a readable image"
CASES = [
    right("PNG", sent(picture()), 200),
    right("JPEG that is called PNG", sent(picture("jpeg")), 200),
    right("a path for a name", sent(picture(), "../../etc/passwd.png"), 200),
    right("base64", said({"images": [GOOD]}), 200),
    right("a data URI", said({"images": [f"data:image/png;base64,{GOOD}"]}), 200),
    refused("cut short", sent(picture()[:45]), UNREADABLE),
    refused("JPEG cut short", sent(picture("jpeg")[:300], "a.jpg"), UNREADABLE),
    refused("empty", sent(b""), UNREADABLE),
    refused("a bomb", sent(bomb(HUGE, HUGE)), f"{UNREADABLE}.*pixels"),
    refused("a larger bomb", sent(bomb(2**16, 2**16)), UNREADABLE),
    refused("SVG", sent(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), UNREADABLE),
    refused("PostScript", sent(b"%!PS-Adobe-3.0 EPSF-3.0\n"), UNREADABLE),
    refused("PDF", sent(b"%PDF-1.4\n", "a.pdf"), UNREADABLE),
    refused("a zip file", sent(zipped(), "a.zip"), UNREADABLE),
    refused("HTML", sent(b"<script>alert(1)</script>"), UNREADABLE),
    refused("zeros", sent(bytes(1000)), UNREADABLE),
    refused("a file that is too large", sent(bytes(MOST)), "413 .*200,000 bytes"),
    refused("a body without an end", chunked(2 * MOST), "413 .*200,000 bytes"),
    refused("no file", said(b"", kind="multipart/form-data"), "400"),
    refused(
        "a form that is cut short",
        said(b"--x\r\nContent-Di", kind="multipart/form-data; boundary=x"),
        "4..",
    ),
    refused("too many files", said({"images": [GOOD] * 17}), "422 images.*at most 16"),
    refused("no images", said({"images": []}), "422 images.*at least 1"),
    refused("text for images", sent(picture(), images="x"), "422 "),
    refused("no base64", said({"images": ["!!!"]}), "422 image 1 is not base64"),
    refused("letters of elsewhere", said({"images": ["é"]}), "422 image 1 is not base"),
    refused("base64 of nothing", said({"images": [""]}), UNREADABLE),
    refused("JSON cut short", said(b'{"images": ['), "422 body: Invalid JSON"),
    refused("JSON of bytes", said(b"\xff\xfe\x00"), "422 body: Invalid JSON"),
    refused("JSON without end", said(b"[" * 100_000), "422 body: Invalid JSON"),
    refused("JSON of a list", said([GOOD]), "422 body: "),
    refused("JSON of numbers", said({"images": [1]}), "422 images.0: "),
    refused("JSON of a path", said({"images": ["/etc/passwd"]}), "422 image 1 is not"),
    refused("JSON of a link", said({"images": ["http://x/a.png"]}), "422 image 1 is n"),
    refused("another field", said({"images": [GOOD], "path": "x"}), "422 path: Extra"),
    refused("another kind", said(b"x", kind="text/plain"), "415 Send JSON"),
    refused("no kind", said(b"x", kind=""), "415 Send JSON"),
    refused("k of 0", sent(picture(), path="/search?k=0"), "422 .*greater_than_equal"),
    refused("k of 101", sent(picture(), path="/search?k=101"), "422 .*less_than_equal"),
    refused("k of text", sent(picture(), path="/search?k=x"), "422 .*int_parsing"),
    refused(
        "not calibrated", sent(picture(), path="/identify"), "409 .*not calibrated"
    ),
    refused("another method", asked("PUT", "/items/1"), "405"),
    refused("no such page", asked("GET", "/nowhere"), "404"),
    refused("out of the folder", asked("GET", "/items/..%2f..%2fetc%2fpasswd"), "4.."),
    refused("a picture of nobody", asked("GET", "/items/99/picture"), "404 .*ids .99."),
    refused("a picture that is no file", asked("GET", "/items/0/picture"), "404 There"),
    refused("an id below 0", asked("GET", "/items/-1"), "422 .*greater_than_equal"),
    refused("an id beyond 64 bits", asked("GET", f"/items/{2**63}"), "422 .*less_than"),
    refused("items from -1 on", asked("GET", "/items?offset=-1"), "422 .*offset"),
    refused("all items", asked("GET", "/items?limit=1001"), "422 .*limit"),
    refused("to add, no token", sent(picture(), path="/items"), "401 The token"),
    *(
        refused(
            f"to add, {given!r}",
            sent(picture(), path="/items", headers={"Authorization": given}),
            "401 The token",
        )
        for given in ("Bearer", "Bearer ", "Bearer secre", "Bearer x", "Basic secret")
    ),
    refused("to remove, no token", asked("DELETE", "/items/1"), "401 The token"),
    refused("to remove nobody", asked("DELETE", "/items/9", TOKEN), "404 .*ids .9."),
    refused(
        "labels that are no JSON",
        sent(picture(), path="/items", headers=TOKEN, labels="[["),
        "422 labels must be JSON",
    ),
    refused(
        "labels of numbers",
        sent(picture(), path="/items", headers=TOKEN, labels="[[1, 2]]"),
        "422 labels",
    ),
    refused(
        "two labels of one",
        sent(picture(), path="/items", headers=TOKEN, labels='[["a", "x"], "b"]'),
        "422 labels must have one entry for each item",
    ),
    refused(
        "a label of three levels",
        sent(picture(), path="/items", headers=TOKEN, labels='[["a", "b", "c"]]'),
        "422 labels must be tuples of 2 names",
    ),
    refused(
        "a bad image to add",
        sent(b"x", path="/items", headers=TOKEN, labels='[["a", "x"]]'),
        UNREADABLE,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_uploads(case, judge):
    judge("uploads", case)


def test_where_nobody_may_write():
    gallery = client().app.state.gallery
    reader = TestClient(create_app(gallery, page=False, batch_size=1))
    for headers in ({}, TOKEN):
        response = reader.delete("/items/1", headers=headers)
        assert response.status_code == 403 and len(gallery) == 3
