"""Read by every Python that the tests start, which it makes start and end sooner."""

import atexit
import gc
import os
import sys
from importlib.machinery import PathFinder

# What is imported is no garbage, yet it is looked through again and again, and at last.
gc.set_threshold(100_000, 50, 100)
atexit.register(gc.freeze)

absent = set()  # packages that are not found, as where they are not installed


class Finder(PathFinder):
    """Finds modules as Python does, but for those of absent packages.

    Keras imports TensorFlow wherever it is installed. Here it is not, as where a user
    asked for another backend alone.
    """

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        package = name.partition(".")[0]
        other = os.environ.get("KERAS_BACKEND") in ("torch", "jax")
        if package in absent or package == "tensorflow" and other:
            return None
        return super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
