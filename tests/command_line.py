"""The command `hierproxy`, in this process or in one of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hierproxy

PROJECT = Path(__file__).resolve().parents[1]


def run_main(*argv):
    """Runs the command in this process; returns its exit code."""
    sys.argv = ["hierproxy", *map(str, argv)]
    with pytest.raises(SystemExit) as end:
        hierproxy.main()
    return end.value.code


def start(*arguments, before="", **environment):
    """Starts the command in a process of its own."""
    code = f"{before}\nimport hierproxy\nhierproxy.main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
