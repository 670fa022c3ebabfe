"""keras-hub where it is missing, or does not fit the Keras that is installed."""

import importlib

import pytest

from keras_hierproxy.models import hub

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    "error, message",
    [
        (ModuleNotFoundError("No keras_hub", name="keras_hub"), "is not installed"),
        (ModuleNotFoundError("No tokenizers", name="tokenizers"), "No tokenizers"),
        (AttributeError("no attribute 'tree'"), "cannot be imported with keras 3"),
    ],
)
def test_the_error_says_what_to_install(monkeypatch, error, message):
    def fail(name):
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(ImportError, match=message) as caught:
        hub.keras_hub("The backbone 'ViTBackbone'")
    assert "pip install 'keras-hierproxy[hub]'" in str(caught.value)
    assert caught.value.__cause__ is error
