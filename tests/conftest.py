import atexit
import contextlib
import functools
import gc
import os
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# One thread a process: the tests run in as many processes as there are cores, and their
# matrices are small. The compilers' effort pays only where what they make runs longer.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0"
    " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
# JAX takes what another process, or an earlier run, has compiled.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache/jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import sys
import warnings
from importlib.metadata import version

import pytest

from tests.command_line import run_main

# Here, for the process that prints: where others test, it reads no other conftest.
from tests.hostile.summary import (  # noqa: F401
    pytest_terminal_summary as pytest_terminal_summary,
)

# DESIGN: the data sets are shared between checkouts and never part of the project.
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Begun first, or one core would still be busy with them when the others are done.
# tests/run.py prints the longest at its end.
LONGEST = (
    "integration/test_resume.py",
    "test_cli.py",
    "test_readme.py",
    "gallery/test_faults.py",
    "recipes/test_run.py",
    "integration/test_signals.py",
    "models/test_hyperbolic.py",
    "integration/test_four_devices.py",
    "integration/test_across_backends.py",
    "integration/test_two_hosts.py",
    "losses/test_hier.py",
    "losses/test_edge_cases.py",
    "layers/test_sampled_proxies.py",
    "test_docstrings.py",
    "retrieval/test_threads.py",
    "zoo/test_pack.py",
    "hostile/test_environment.py",
    "serve/test_service.py",
    "datasets/test_glyphs.py",
    "datasets/test_fashion_products.py",
    "models/test_image_embedder.py",
    "recipes/test_short_forms.py",
    "integration/test_without_extras.py",
    "integration/test_data_parallel.py",
    "recipes/test_build.py",
    "models/test_export.py",
    "test_regularizers.py",
    "models/test_presets.py",
    "models/test_copying.py",
    "zoo/test_shipped.py",
    "test_runs.py",
    "models/test_efficientnet_lite.py",
    "models/test_quantize.py",
    "test_embed_command.py",
    "losses/test_registry.py",
    "losses/test_not_finite.py",
    "retrieval/test_memory.py",
    "test_gallery_commands.py",
    "test_frozen_runs.py",
    "datasets/test_keras_layers.py",
    "zoo/test_hubs.py",
    "models/test_backup.py",
    "hostile/test_faults.py",
)
# Ray and gRPC leave threads behind, which print when they like: after all others, whose
# commands must print nothing but what they say.
LAST = ("gallery/test_milvus.py", "test_batch_embedder.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    folder = Path(__file__).parent
    rank = {folder / file: number for number, file in enumerate(LONGEST)}
    rank |= {folder / file: len(LONGEST) + 1 for file in LAST}
    items.sort(key=lambda item: rank.get(item.path, len(LONGEST)))


def pytest_configure():
    """What is imported is no garbage, yet would be looked through again and again."""
    gc.set_threshold(100_000, 50, 100)
    atexit.register(gc.freeze)


def pytest_collection_finish():
    """Once all is imported, in the process that tests.

    By Python's own thresholds, looking for garbage takes a twentieth of the time.
    """
    start_others_sooner()
    share_context_of_jax()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def start_others_sooner():
    """What tests start finds this project from any folder, and our sitecustomize."""
    tests = Path(__file__).parent
    paths = (str(tests / "startup"), str(tests.parent), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def share_context_of_jax():
    """One MLIR context for all programs: JAX makes one for each.

    They take a fifth of the tests' time. It is none of its public names: without it,
    the tests only take longer.
    """
    import keras

    if keras.config.backend() != "jax":
        return
    from jax._src.interpreters import mlir

    if hasattr(mlir, "make_ir_context"):
        mlir.make_ir_context = functools.cache(mlir.make_ir_context)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Skips what needs keras-hub, with a nightly of Keras that it does not know yet."""
    try:
        return (yield)
    except (ImportError, AssertionError) as error:
        if "keras-hub, which cannot be imported with keras" not in str(error):
            raise
        pytest.skip(str(error))


def pytest_report_header():
    backend = os.environ.get("KERAS_BACKEND", "as keras.json says")
    return f"keras: {version('keras')}, backend {backend}"


def kernels_kept():
    """A context in which TensorFlow throws no kernels away.

    It would with each seed, and make them anew for a fifth of the time of tests that
    run eagerly. They hold the state of its own random numbers: Keras draws none.
    """
    import keras

    if keras.config.backend() != "tensorflow":
        return contextlib.nullcontext()
    from tensorflow.python import pywrap_tfe

    return mock.patch.object(pywrap_tfe, "TFE_ContextClearCaches", create=True)


# Keras is imported where it is needed: the process that prints, where others test, is
# none, and all wait for it.
@pytest.fixture(autouse=True)
def same_start():
    """Each test starts from the same seeds, in float32, whatever ran before it."""
    import keras

    # PyTorch notes the stack with each seed, and takes the time of a short test for it.
    with kernels_kept(), mock.patch("traceback.format_stack", list):
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
    import keras

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setenv("KERAS_BACKEND", keras.config.backend())

    def call(*argv):
        code = run_main(*argv)
        return (code, *capfd.readouterr())

    return call
