"""A kill at a random moment of `hierproxy train` loses nothing; more by the script."""

import shutil
import sys

import pytest

from tests.integration import signals

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(sys.platform == "win32", reason="has no such signals"),
    pytest.mark.skipif(
        signals.find_command() is None, reason="the command is not installed"
    ),
]


def test_a_killed_training_ends_the_same(tmp_path):
    assert signals.run(tmp_path / "runs", ["train"], ["KILL"], count=1, seed=3) == 0
    shutil.rmtree(tmp_path / "runs")
