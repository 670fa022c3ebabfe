"""Fresh processes: what they hold is what a script of its own would hold."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def start(script, *arguments, backend=None, **variables):
    """Starts a script of this folder in a process of its own.

    Args:
        script: its name, such as `"train"`.
        *arguments: for its command line.
        backend: of Keras; by default that of this process.
        **variables: environment variables.

    Returns:
        A `subprocess.Popen`.
    """
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.integration.{script}", *map(str, arguments)],
        cwd=ROOT,
        env={
            **os.environ,
            "KERAS_BACKEND": backend or keras.config.backend(),
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, exit_code=0):
    """Waits for a process, and fails with what it printed if it ends otherwise."""
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == exit_code, printed
    return printed


def on_four_devices(script, folder):
    """Runs a script on four virtual CPU devices of JAX.

    Returns:
        What it wrote to `found.npz` in the folder, as a dict of arrays.
    """
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    finish(start(script, folder, XLA_FLAGS=flags))
    return dict(np.load(folder / "found.npz"))
