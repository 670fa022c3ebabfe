"""The page of the service as people use it, in a headless Chromium."""

import socket
import threading

import keras
import numpy as np
import pytest
import uvicorn
from PIL import Image

import keras_hierproxy as khp
from hierproxy.serve.app import create_app
from keras_hierproxy import models
from keras_hierproxy.pictures.names import shortened
from tests.browser import EXECUTABLE, Browser

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(
        EXECUTABLE is None, reason="needs chromium or google-chrome on the PATH"
    ),
]

SIDE = 16
DESKTOP, PHONE = {"width": 1280}, {"width": 390, "touch": True}
ARABIC = "تفاح"
# What a browser, or the templates of Gradio or Jinja, might take for more than a name.
NAMES = (
    "<script>window.evil=1</script>",
    '<img src="nowhere" onerror="window.evil=1">',
    "\"'><svg onload=window.evil=1> &lt;b&gt; `${window.evil=1}`",
    "{{ window.evil = 1 }} ${7*6} {% raw %}",
    ARABIC + " \u202e(reversed)",
    "long " + "x" * 3000,
)
SHOWN = "document.querySelector('#result .khp-hits')"
TEXT = "document.querySelector('#result').innerText"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a gallery of pictures of one grey, each of a name, and these."""
    folder = tmp_path_factory.mktemp("served")
    inputs = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Rescaling(1 / 255, offset=-0.5)(inputs)
    x = keras.layers.Conv2D(8, 5, strides=3)(x)
    embedder = models.ImageEmbedder(keras.Model(inputs, x), embedding_dim=8)
    random = np.random.default_rng(0)
    files, labels = [], []
    for i, name in enumerate(NAMES):
        files.append(folder / f"{i}.png")
        labels.append((name, f"of {name}"))
        noise = random.integers(0, 256, (SIDE, SIDE), "uint8")
        Image.fromarray(noise).save(files[-1])
    gallery = khp.Gallery.build(embedder, images=files, labels=labels)
    gallery._data["path"] = str(folder)
    gallery.calibrate(files * 20, labels=labels * 20, precision=0.9)
    app = create_app(gallery)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/", files
        server.should_exit = True
        thread.join()


def opened(browser, url, **screen):
    browser.open(url, **screen)
    browser.wait_for("document.querySelector('#pad canvas')")


def uploaded(browser, file, then=SHOWN):
    browser.run(
        "[...document.querySelectorAll('[role=tab]')]"
        ".find(tab => tab.innerText.trim() == 'Image').click()"
    )
    browser.wait_for("document.querySelector('#photo input[type=file]')")
    browser.choose_file("#photo input[type=file]", file)
    browser.wait_for(then)


@pytest.mark.parametrize("i", range(len(NAMES)))
def test_names_are_text(browser, served, i):
    """Whatever they are, they are read as they stand, and fit the screen."""
    url, files = served
    opened(browser, url, **PHONE)
    uploaded(browser, files[i])
    seen = browser.run("document.querySelector('#result h2').textContent")
    assert seen == shortened(NAMES[i], 60)
    hits = browser.run(
        "[...document.querySelectorAll('.khp-hits bdi')].map(e => e.textContent)"
    )
    assert hits[0] == seen and len(hits) == len(NAMES)
    assert not browser.run("window.evil")
    inside = "document.querySelectorAll('#result :is(script, svg, [onerror])').length"
    assert browser.run(inside) == 0
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")


def test_the_answer_and_its_pictures(browser, served):
    """Nothing is loaded from elsewhere, and no script fails."""
    url, files = served
    opened(browser, url)
    uploaded(browser, files[0])
    path = "[...document.querySelectorAll('.khp-path bdi')].map(e => e.textContent)"
    assert browser.run(path) == [f"of {NAMES[0]}", NAMES[0]]
    assert "answered" in browser.run(TEXT)
    pictures = "[...document.querySelectorAll('.khp-hits img')]"
    browser.wait_for(f"{pictures}.every(img => img.naturalWidth)")
    assert browser.run(f"{pictures}.length") == len(NAMES)
    for address in browser.requests:
        assert address.startswith((url, "data:", "blob:")), address
    failures = [each for each in browser.complaints if "exceptionId" in each]
    assert not failures


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_drawing_is_answered(browser, served, screen):
    url, _ = served
    opened(browser, url, **screen)
    browser.stroke("#pad canvas", [(0.3, 0.2), (0.5, 0.8), (0.7, 0.2)])
    browser.wait_for(SHOWN)
    browser.click("#pad button")
    browser.wait_for(f"!{SHOWN}")


def test_what_is_no_picture_is_told(browser, served, tmp_path):
    url, _ = served
    file = tmp_path / "no.png"
    file.write_bytes(b"no picture")
    opened(browser, url)
    uploaded(browser, file, "document.querySelector('.toast-body')")
    told = browser.run("document.querySelector('.toast-body').innerText")
    assert "not a readable image" in told
    assert not browser.run(f"!!{SHOWN}")
