"""The reference of the documentation site: a page for each room, all it exports.

A hook of mkdocs: pages are made as the site is built, and stand nowhere as files.
"""

import inspect
import os
import pathlib
import sys

from mkdocs.structure.files import File

# mkdocs loads a hook by its path.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_hierproxy as khp  # noqa: E402
from keras_hierproxy.losses import registry  # noqa: E402
from tools import public_names  # noqa: E402

_MARK = "a table of the losses, from the registry: tools/docs_reference.py"


def on_config(config):
    """The pages' place in the navigation, at its end."""
    titles = {f"khp.{name}": f"reference/{name}.md" for name in public_names.rooms()}
    overview = [{"Overview": "reference/index.md"}]
    pages = [{title: titles[title]} for title in sorted(titles)]
    config.nav.append({"API reference": overview + pages})
    return config


def on_files(files, config):
    pages = {name: _page(name, room) for name, room in public_names.rooms().items()}
    for name, text in {**pages, "index": _overview()}.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown, page, **_):
    """A page's table of the losses, where it has a mark for it."""
    return markdown.replace(f"<!-- {_MARK} -->", _losses())


def _losses():
    """A row for each: its name, its proxies, and what its docstring begins with."""
    rows = ["| loss | a class's proxies | in short |", "|---|---|---|"]
    for each in registry.losses().values():
        centers = getattr(each, "centers_per_class", 0)
        proxies = "none: over pairs" if each.over_pairs else str(centers or "none")
        if centers > 1:
            proxies = f"several; {centers}"
        short = inspect.getdoc(each).split("\n\n")[0]
        rows.append(f"| `{each.__name__}` | {proxies} | {' '.join(short.split())} |")
    return "\n".join(rows)


def _overview():
    """A table of rooms and what they hold."""
    rows = ["| room | names |", "|---|---|"]
    for name, room in sorted(public_names.rooms().items()):
        links = " ".join(f"`{each}`" for each in public_names.of_room(room))
        rows.append(f"| [`khp.{name}`]({name}.md) | {links} |")
    top = [_entry(name, value, "khp") for name, value in _top().items()]
    head = "# API reference\n\n`import keras_hierproxy as khp`: all that is public.\n\n"
    return head + "\n".join(rows) + "\n\n" + "\n\n".join(top)


def _top():
    return public_names.of_room(khp)


def _page(name, room):
    about = inspect.getdoc(room).split("\n\n")[0]
    entries = [
        _entry(each, value, f"khp.{name}")
        for each, value in public_names.of_room(room).items()
    ]
    return f"# khp.{name}\n\n{about}\n\n" + "\n\n".join(entries)


def _entry(name, value, room):
    # Under the name that users write, of the object where it is defined.
    options = [f"heading: {room}.{name}", f"toc_label: {name}"]
    if room == "khp.models" and inspect.isclass(value):
        options.append("inherited_members: true")
    lines = "".join(f"      {option}\n" for option in options)
    path = f"{value.__module__}.{value.__qualname__}"
    return f"::: {path}\n    options:\n{lines}"
