"""A long search says at its beginning how long it will take; a short one nothing."""

import io

import numpy as np
import pytest
from rich.console import Console

from keras_hierproxy import progress
from keras_hierproxy.retrieval import evaluate, search

pytestmark = pytest.mark.host


@pytest.fixture
def slow_clock(monkeypatch):
    """A second for every look at it."""
    clock = iter(range(10**6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(search, "BLOCK_PRODUCTS", 60)


POINTS = np.random.default_rng(0).normal(size=(60, 4))
LABELS = np.arange(60) // 2


@pytest.mark.parametrize(
    ("metrics", "doing"), [(["recall"], "Searching"), (["map"], "Ranking")]
)
@pytest.mark.parametrize("gallery", [None, POINTS])
def test_long_search_tells(slow_clock, capsys, monkeypatch, metrics, doing, gallery):
    monkeypatch.setattr(search, "WITHIN_NEIGHBORS", 0)
    monkeypatch.setattr("keras_hierproxy.retrieval.ranking.BLOCK_RANKS", 60)
    labels = None if gallery is None else LABELS
    evaluate(POINTS, LABELS, gallery, labels, k=2, metrics=metrics, verbose=True)
    rows = 59 if gallery is None else 60
    told = capsys.readouterr().err
    assert told.startswith(f"{doing} 60 queries among {rows} rows: about 0:01:00")
    assert told.count("about") == 1
    evaluate(POINTS, LABELS, gallery, labels, k=2, metrics=metrics)
    assert capsys.readouterr().err == ""


def test_search_within_tells(slow_clock, capsys, monkeypatch):
    monkeypatch.setattr(search, "TILE", 6)
    evaluate(POINTS, LABELS, k=2, metrics=["recall"], verbose=True)
    # The first of ten columns holds a hundredth of all products.
    assert "about 0:01:40" in capsys.readouterr().err


def test_short_search_is_silent(capsys):
    evaluate(POINTS, LABELS, verbose=True)
    assert capsys.readouterr().err == ""


def test_the_first_step_of_a_warm_up_tells_nothing(slow_clock):
    out = io.StringIO()
    columns = progress.BarColumn(), progress.TextColumn("")
    console = Console(file=out)
    with progress.WorkBar(
        console, 110, "90 images", done=20, columns=columns, warm_up=True
    ) as bar:
        bar.advance(10)  # the model is compiled
        bar.advance(0)
        assert out.getvalue() == ""
        bar.advance(2)  # 80 were left, 2 took two looks at the clock
        bar.advance(2)
    assert out.getvalue() == "90 images: about 0:01:20 (h:mm:ss).\n"
