"""Which backend is recommended, where, and that the guide says the same."""

import importlib.util
import pathlib
import re

import keras
import pytest

from keras_hierproxy import recipes
from keras_hierproxy.runs import fastest_backend
from keras_hierproxy.runs.fastest_backend import TRAINING_SPEED, faster_backend

PHOTOS = recipes.from_options({"data": "photos/"})
LETTERS = recipes.from_options({})
GUIDE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "guides" / "photos.md"


@pytest.fixture
def on_cpu(monkeypatch):
    """A function of the names of the backends that are installed."""

    def on_cpu(*installed):
        monkeypatch.setattr(fastest_backend, "computes_on_cpu", lambda: True)
        monkeypatch.setattr(importlib.util, "find_spec", installed.count)

    return on_cpu


@pytest.mark.parametrize(
    ("recipe", "fastest"),
    [(PHOTOS, ["torch", "tensorflow"]), (LETTERS, ["tensorflow"])],
)
def test_the_fastest_of_the_installed(recipe, fastest, on_cpu):
    here = keras.backend.backend()
    on_cpu(*TRAINING_SPEED["conv4"])
    if here in fastest:
        assert faster_backend(recipe) is None
    else:
        name, times = faster_backend(recipe)
        assert name == fastest[0] and times > 1.5
    on_cpu(here)
    assert faster_backend(recipe) is None


def test_nothing_is_said_where_a_gpu_computes_or_nothing_was_measured(
    on_cpu, monkeypatch
):
    on_cpu("torch", "tensorflow", "jax")
    other = recipes.from_options({"data": "photos/", "preset": "so_deit_glyphs"})
    assert faster_backend(other) is None
    monkeypatch.setattr(fastest_backend, "computes_on_cpu", lambda: False)
    assert faster_backend(PHOTOS) is faster_backend(LETTERS) is None


def test_this_machine_is_seen_as_what_it_is():
    on_cpu = all("cpu" in str(v.value.device).lower() for v in [keras.Variable(1.0)])
    assert fastest_backend.computes_on_cpu() == on_cpu


@pytest.mark.host
def test_the_guide_says_the_same():
    rows = re.findall(r"^\| (\S+) \|(.*)\|$", GUIDE.read_text("utf-8"), re.MULTILINE)
    told = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}
    for backend, speed in TRAINING_SPEED["efficientnet_lite"].items():
        assert int(told[backend][0]) == speed
