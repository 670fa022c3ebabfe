import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sys
import warnings

import keras
import pytest

from tests.command_line import run_main

# DESIGN: the data sets are shared between checkouts and never part of the project.
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_report_header():
    return f"keras: {keras.__version__}, backend {keras.config.backend()}"


@pytest.fixture(autouse=True)
def same_start():
    """Each test starts from the same seeds, in float32, whatever ran before it."""
    keras.utils.set_random_seed(0)
    yield
    # Afterwards: the next module's fixtures are made before its first test's.
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def shared_data():
    """Folder of the data sets that are kept outside the project, or a skip."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the data sets in {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def call(monkeypatch, capfd, tmp_path):
    """A function of the arguments that returns `(exit code, stdout, stderr)`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setenv("KERAS_BACKEND", keras.config.backend())

    def call(*argv):
        code = run_main(*argv)
        return (code, *capfd.readouterr())

    return call
