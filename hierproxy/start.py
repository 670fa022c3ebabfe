"""Importing Keras: late, quietly, and with the backend that was asked for."""

import atexit
import contextlib
import gc
import os
import sys

from hierproxy.application import console


def import_runs(backend):
    """Imports what needs Keras, which reads the backend at that moment."""
    if backend is not None:
        os.environ["KERAS_BACKEND"] = backend
    with _starting():
        from keras_hierproxy import runs
    if backend not in (None, runs.backend()):
        raise ValueError(
            f"--backend {backend} comes too late: in this process Keras already runs "
            f"on {runs.backend()}."
        )
    return runs


def import_zoo():
    with _starting():
        from keras_hierproxy import zoo
    return zoo


@contextlib.contextmanager
def _starting():
    with console.status("Starting Keras ..."), _quiet_stderr(), _no_garbage():
        yield


@contextlib.contextmanager
def _quiet_stderr():
    """Swallows what C++ libraries write, as TensorFlow does when it is imported."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@contextlib.contextmanager
def _no_garbage():
    """Python does not look for garbage among what is imported, nor at the end.

    There is none, and looking takes a quarter of the time of a short command. Where
    Keras has been imported there may be some, which would stay for ever.
    """
    if "keras" in sys.modules:
        yield
        return
    usual = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if usual:
            gc.enable()
        atexit.register(gc.freeze)
