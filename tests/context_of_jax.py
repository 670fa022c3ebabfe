"""One MLIR context for all programs that a process of tests compiles on JAX."""

import functools
import os


def share_context():
    """Makes one context for all; JAX makes one for each, in a fifth of the tests' time.

    It is none of its public names: without it, the tests only take longer.
    """
    if os.environ.get("KERAS_BACKEND") != "jax":
        return
    from jax._src.interpreters import mlir

    if hasattr(mlir, "make_ir_context"):
        mlir.make_ir_context = functools.cache(mlir.make_ir_context)
