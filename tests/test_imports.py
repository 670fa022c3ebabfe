"""What a module may import: no backend, no room above its own, nothing early."""

import ast
import atexit
import gc
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hierproxy import start

pytestmark = pytest.mark.host(on="jax")

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "keras_hierproxy"
MODULES = sorted(PACKAGE.rglob("*.py"))
# Each imports only those before it.
ROOMS = (
    "checks",
    "keras_internals",
    "files",
    "progress",
    "labels",
    "json_files",
    "schemas",
    "shipped",
    "ops",
    "geometry",
    "trees",
    "retrieval",
    "datasets",
    "layers",
    "losses",
    "regularizers",
    "optimizers",
    "callbacks",
    "models",
    "embeddings",
    "gallery",
    "recipes",
    "zoo",
    "pictures",
    "report",
    "runs",
)
BACKENDS = {"tensorflow", "jax", "jaxlib", "torch"}
HEAVY = (
    *BACKENDS,
    "keras_hub",
    "faiss",
    "typer",
    "pydantic",
    "matplotlib",
    "PIL",
    "sklearn",
    "scipy",
    "networkx",
)


def imported_names(path):
    """Full names of all that a file imports, also inside functions."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the room"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def rooms_imported(path):
    parts = [name.split(".") for name in imported_names(path)]
    return {part[1] for part in parts if part[0] == "keras_hierproxy" and part[1:]}


def test_the_rooms_are_those_that_are_there():
    there = {room_of(path) for path in MODULES} - {"__init__"}
    assert there == set(ROOMS)


def test_the_architecture_page_has_the_rooms_in_their_order():
    page = (PROJECT / "docs/architecture.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| `")]
    rooms = [room for line in table for room in line.split("|")[1].split("`")[1::2]]
    assert tuple(rooms) == ROOMS


def test_the_architecture_page_names_files_that_are_there():
    page = (PROJECT / "docs/architecture.md").read_text()
    way = page.partition("## The way of the data")[2]
    named = re.findall(r"`([a-z_0-9]+(?:/[a-z_0-9]+)*(?:\.py|/))`", way)
    assert len(named) > 30
    rooms = (PACKAGE, PROJECT)  # the command line stands beside the package
    there = {name for name in named if any((room / name).exists() for room in rooms)}
    assert set(named) == there


@pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_run_downwards(path):
    room = room_of(path)
    if room == "__init__":
        return
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    assert not rooms_imported(path) & above


@pytest.mark.parametrize("room", ["retrieval", "datasets"])
def test_retrieval_and_datasets_know_nothing_of_training(room):
    known = set()
    for path in MODULES:
        if room_of(path) == room:
            known |= rooms_imported(path)
    low = (
        "checks",
        "keras_internals",
        "files",
        "progress",
        "labels",
        "json_files",
        "schemas",
        "ops",
        "geometry",
    )
    assert known <= {room, *low}


@pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_module_imports_a_backend(path):
    roots = {name.split(".")[0] for name in imported_names(path)}
    assert not roots & BACKENDS


def modules_after(*statements):
    """Names of the packages that a fresh process has loaded after each statement."""
    code = "import sys\n" + "".join(
        f"{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})\n"
        for statement in statements
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": ""},  # TensorFlow is there, too
        capture_output=True,
        text=True,
    )
    assert output.returncode == 0, output.stderr
    return [set(line.split()) for line in output.stdout.splitlines()]


def test_importing_the_package_adds_nothing_heavy_to_keras():
    before, after = modules_after("import keras", "import keras_hierproxy")
    assert not (after - before) & set(HEAVY)


def test_the_command_starts_without_keras():
    (loaded,) = modules_after("import hierproxy")
    assert "typer" in loaded
    assert not loaded & {"keras", "numpy", "keras_hierproxy", *BACKENDS}


@pytest.mark.parametrize("usual", [True, False])
def test_no_garbage_is_looked_for_while_keras_is_imported(usual, monkeypatch):
    ends = []
    monkeypatch.setattr(atexit, "register", ends.append)
    with start._no_garbage():
        assert gc.isenabled() and not ends  # as Keras is there already
    monkeypatch.delitem(sys.modules, "keras")
    (gc.enable if usual else gc.disable)()
    try:
        with pytest.raises(ImportError), start._no_garbage():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == usual
    finally:
        gc.enable()
    assert gc.get_freeze_count() and ends == [gc.freeze]


def test_what_is_heavy_is_installed():
    """Else the test above could not fail."""
    missing = [name for name in HEAVY if importlib.util.find_spec(name) is None]
    assert not missing
