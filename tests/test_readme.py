"""The code of the README and of the pages of docs/ runs, and their commands exist."""

import re
import shlex
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from markdown.extensions.toc import slugify
from typer.main import get_command

import hierproxy
import keras_hierproxy as khp
from keras_hierproxy.embeddings import EmbeddingWriter
from tests.example_files import little_glyphs
from tests.photos import write_photos

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# The blocks of hand-written loops build on each other and have a test of their own.
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
PAGES.remove(DOCS / "hand_written_loops.md")


def blocks(language):
    """All blocks of a language, a dict from where they stand to their text."""
    return {
        f"{page.relative_to(ROOT)}:{number}": block
        for page in PAGES
        for number, block in enumerate(
            re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.S)
        )
    }


def commands(program):
    """Command lines of a program, each once, without environments and comments."""
    lines = "".join(blocks("bash").values()).splitlines()
    lines = [re.sub("^([A-Z_]+=[^ ]* )+", "", line) for line in lines]
    found = {
        tuple(arguments)
        for name, *arguments in (shlex.split(line, comments=True) for line in lines)
        if name == program
    }
    return sorted(found)


@pytest.fixture
def little_data(monkeypatch, tmp_path):
    """Two images each of some of the glyphs; photos, a list and embeddings of them."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos", "abcdefghijkl", images_per_class=2)
    write_photos(tmp_path / "known_photos", "abcdefghijkl")
    items = [f"photos/{name}/{i}.png,{name}" for name in "abcdefghijkl" for i in (0, 1)]
    (tmp_path / "items.csv").write_text("\n".join(["path,product", *items, ""]))
    photos = khp.datasets.from_directory("photos", 8, split=None)
    identity = {"model": {}, "data": {"name": "photos"}}
    geometry = khp.geometry.Sphere()
    with EmbeddingWriter("gallery", photos, geometry, 24, identity=identity) as writer:
        writer.append(np.eye(24, dtype="float32"), range(24), {})
        writer.finish()
    splits = little_glyphs()
    monkeypatch.setattr(khp.datasets, "load", {"glyphs": splits}.__getitem__)


def python_blocks():
    """Where each stands first; those that export run on TensorFlow, each time."""
    places = {}
    for place, block in blocks("python").items():
        places.setdefault(block, place)
    return [
        pytest.param(place, marks=() if ".export(" in block else pytest.mark.nightly)
        for block, place in places.items()
    ]


@pytest.mark.parametrize("place", python_blocks())
def test_python_block(little_data, place):
    block = blocks("python")[place]
    if ".export(" in block and keras.config.backend() != "tensorflow":
        pytest.skip("the pages export from TensorFlow")
    exec(block, {})


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
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Those to the reference are made with it: `make docs` follows them."""
    links = re.findall(r"\]\(([^)#]+)(#[^)]*)?\)", page.read_text("utf-8"))
    missing = [
        link + section
        for link, section in links
        if not link.startswith("https://")
        and "reference/" not in link
        and not is_there(page.parent / link, section)
    ]
    assert not missing


def is_there(file, section):
    """Whether a file is there, and of a page its section."""
    if not file.exists() or file.suffix != ".md" or not section:
        return file.exists()
    titles = re.findall("^#+ (.*)$", file.read_text("utf-8"), re.M)
    return section[1:] in [slugify(title, "-") for title in titles]


@pytest.mark.host
def test_the_readme_leads_to_every_page():
    readme = (ROOT / "README.md").read_text("utf-8")
    pages = [str(page.relative_to(ROOT)) for page in DOCS.rglob("*.md")]
    assert [page for page in pages if f"({page})" not in readme] == ["docs/index.md"]


@pytest.mark.host
def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 250
