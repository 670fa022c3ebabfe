"""The README's code runs, and its commands exist."""

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.main import get_command

import hierproxy
import keras_hierproxy as khp
from keras_hierproxy.embeddings import EmbeddingWriter
from tests.photos import write_photos

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def commands(program):
    """Command lines of a program, without their comments."""
    lines = "".join(blocks("bash")).splitlines()
    return [
        arguments
        for name, *arguments in (shlex.split(line, comments=True) for line in lines)
        if name == program
    ]


@pytest.fixture
def little_data(monkeypatch, tmp_path):
    """Two images each of some of the glyphs; photos, a list and embeddings of them."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", "abcdefghijkl", images_per_class=2)
    items = [f"photos/{name}/{i}.png,{name}" for name in "abcdefghijkl" for i in (0, 1)]
    (tmp_path / "items.csv").write_text("\n".join(["path,product", *items, ""]))
    photos = khp.datasets.from_directory("photos", 8, split=None)
    identity = {"model": {}, "data": {"name": "photos"}}
    geometry = khp.geometry.Sphere()
    with EmbeddingWriter("gallery", photos, geometry, 24, identity=identity) as writer:
        writer.append(np.eye(24, dtype="float32"), range(24), {})
        writer.finish()
    splits = khp.datasets.load("glyphs")
    little = {}
    for name in ("train", "validation", "test"):
        data = getattr(splits, name).select_classes(range(110))
        _, first = np.unique(data.labels[:, 0], return_index=True)
        little[name] = data.subset(np.sort([*first, *(first + 1)]))
    splits = dataclasses.replace(splits, **little)
    monkeypatch.setattr(khp.datasets, "load", {"glyphs": splits}.__getitem__)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_block(little_data, number):
    exports = ".export(" in blocks("python")[number]
    if exports and keras.config.backend() != "tensorflow":
        pytest.skip("the README exports from TensorFlow")
    exec(blocks("python")[number], {})


@pytest.mark.host
@pytest.mark.parametrize("arguments", commands("hierproxy"), ids=" ".join)
def test_command_line(arguments):
    """Options are read as they stand; test_cli.py runs such commands to the end."""
    command, options = get_command(hierproxy.app), arguments
    while hasattr(command, "commands"):
        name, *options = options
        command = command.commands[name]
    if options == ["--help"]:
        return
    assert command.make_context(name, options).params


@pytest.mark.host
@pytest.mark.parametrize("target", [name for name, *_ in commands("make")])
def test_make_target(target):
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True)


@pytest.mark.host
def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [
        link
        for link in links
        if not link.startswith("https://") and not (ROOT / link).exists()
    ]
    assert len(links) > 5 and not missing
