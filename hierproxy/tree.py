"""`hierproxy tree`."""

import pathlib
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hierproxy.application import Command, app, console, say
from hierproxy.options import BackendOption, option, splits
from hierproxy.start import import_runs


@app.command(cls=Command)
def tree(
    run: Annotated[pathlib.Path, typer.Argument(help="Folder of a run.")],
    split: Annotated[
        object | None,
        option(
            "Whose images stand under the latent proxies: `train` (the default), "
            "`validation` or `test`, or `all` of a folder. Under coarse proxies "
            "always stand the training classes.",
            panel="Data",
            parser=splits,
            metavar="NAME",
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        option(
            "The folder to write to; by default that of the run.",
            "--output",
            "-o",
            metavar="FOLDER",
        ),
    ] = None,
    backend: BackendOption = None,
):
    """Draws the hierarchy that a run has learned.

    Of a run with `--loss hpl`, its classes under the coarse proxies; with `hier`, the
    images in the Poincare disk and the classes, each the mean of its images, under the
    latent proxies; with `hpl-hier` both. The trees are also written as plain arrays,
    to `tree.json`.

    Examples:

        hierproxy tree runs/glyphs-hpl-0
        hierproxy tree runs/glyphs-hier-0 --split test --output pictures
    """
    runs = import_runs(backend)
    with console.status("Reading the run, embedding its images ..."):
        trees = runs.read_trees(run, split)
    for learned in trees.values():
        _print_tree(learned)
    with console.status("Drawing ..."):
        paths = runs.write_trees(trees, output or run)
    for path in paths:
        say(path)


def _print_tree(learned):
    """A row for each level, from the root down."""
    leaf = {"class": "classes", "image": "images"}[learned.kinds[0]]
    total = f"{learned.tree.num_leaves:,} {leaf}"
    table = Table("depth", "nodes", title=f"{escape(learned.title)}\n{total}")
    for header in ("number", f"{leaf} under each: fewest", "median", "most"):
        table.add_column(header, justify="right")
    for depth, (kind, *numbers) in enumerate(learned.levels()):
        table.add_row(str(depth), kind, *(f"{number:,}" for number in numbers))
    console.print(table)
    inner = learned.kinds[learned.tree.num_leaves :]
    if "latent" in inner:
        console.print(f"{inner.count('latent')} latent proxies have {leaf} under them.")
