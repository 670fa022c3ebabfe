"""keras-hub, imported where a test uses it.

With a Keras that it does not know yet, those tests alone are skipped.
"""

import pytest


def __getattr__(name):
    # pytest asks each module for names of its own, while it collects.
    if name not in ("layers", "models", "src"):
        raise AttributeError(name)
    return getattr(pytest.importorskip("keras_hub", exc_type=ImportError), name)
