"""The examples in docstrings run, and print what they say."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

import keras_hierproxy as khp

ROOMS = ["embeddings", "geometry", "layers", "losses", "ops", "regularizers", "trees"]
ROOMS += ["zoo"]


def modules():
    for room in ROOMS:
        package = getattr(khp, room)
        yield package.__name__
        for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
            yield f"{package.__name__}.{module.name}"


@pytest.mark.parametrize("name", modules())
def test_examples(name):
    module = importlib.import_module(name)
    names = {"keras": keras, "np": np, "khp": khp, **vars(khp.layers)}
    result = doctest.testmod(module, extraglobs={**names, **vars(khp.losses)})
    assert result.failed == 0


def test_every_public_class_has_an_example():
    public = [
        item
        for room in (khp.geometry, khp.layers, khp.losses, khp.regularizers)
        for item in vars(room).values()
        if isinstance(item, type) and item.__module__.startswith(room.__name__)
    ]
    losses = khp.losses
    bases = {losses.EmbeddingLoss, losses.BoundLoss, losses.ProxyLoss}
    without = [c.__name__ for c in public if ">>>" not in c.__doc__ and c not in bases]
    assert len(public) > 18 and not without
