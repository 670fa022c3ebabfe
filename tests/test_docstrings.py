"""Every public name is documented: its arguments, and an example that runs."""

import doctest
import importlib
import inspect
import pkgutil
import re

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests.example_files import little_glyphs, write_example_files
from tools import public_names

PUBLIC = public_names.everything()


def modules():
    """All modules of the package, by name."""
    found = pkgutil.walk_packages(khp.__path__, f"{khp.__name__}.")
    return [module.name for module in found]


def examples():
    """The docstrings with an example, a dict from where they stand."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = {}
    for name in modules():
        for test in finder.find(importlib.import_module(name), name):
            if test.examples:
                tests[test.name] = test
    return tests


EXAMPLES = examples()
SHOWN = tuple(f"{each.__module__}.{each.__name__}" for each in PUBLIC.values())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_example_files(tmp_path_factory.mktemp("examples"))


@pytest.fixture
def little_data(monkeypatch, files):
    """The files that examples read, and few glyphs for all of them."""
    monkeypatch.chdir(files)
    load = khp.datasets.load
    monkeypatch.setattr(
        khp.datasets,
        "load",
        lambda name, *args, **options: (
            little_glyphs(load) if name == "glyphs" else load(name, *args, **options)
        ),
    )


@pytest.mark.nightly
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name, little_data, capsys):
    """With `khp`, `keras` and `np` alone, as a reader pastes them.

    What is not public is read in its file, and may use the names there.
    """
    test = EXAMPLES[name]
    if ".export(" in test.docstring and keras.config.backend() == "jax":
        pytest.skip("Keras exports no ONNX from JAX")
    own = {} if name.startswith(SHOWN) else test.globs
    test.globs = own | {"khp": khp, "keras": keras, "np": np}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test)
    printed = capsys.readouterr().out
    assert runner.summarize(verbose=False).failed == 0, printed


@pytest.mark.host
@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_an_example(name):
    assert ">>> " in (inspect.getdoc(PUBLIC[name]) or "")


@pytest.mark.host
@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_describes_its_arguments(name):
    """Those of its signature, all of them, and no others.

    What functions return is described by its attributes: nobody calls its class.
    """
    parameters = inspect.signature(PUBLIC[name]).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = {p.name for p in parameters if p.kind not in kinds and p.name[0] != "_"}
    text = inspect.getdoc(PUBLIC[name]) or ""
    described = entries_of("Args", text) or entries_of("Attributes", text)
    assert not named - described, "not in Args"
    if len(named) == len(parameters) and "Args:" in text:
        assert not described - named, "in Args, and not in the signature"


def entries_of(title, docstring):
    """The names in a section; several may stand before one colon."""
    section = re.search(rf"^{title}:\n((?:    .*\n?|\n)+)", docstring, re.M)
    if section is None:
        return set()
    entries = re.findall(r"^    (\*{0,2}\w+(?:,\s+\w+)*):", section[1], re.M)
    return {name.strip(" *") for entry in entries for name in entry.split(",")}
