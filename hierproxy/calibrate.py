"""`hierproxy calibrate`."""

from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from hierproxy.application import Command, app, console
from hierproxy.galleries import GalleryPlace, ModelOfMilvus, opened, start
from hierproxy.options import (
    BackendOption,
    Root,
    SkipBad,
    data_options,
    option,
    share,
)
from hierproxy.tables import print_whole


@app.command(cls=Command)
def calibrate(
    context: typer.Context,
    gallery: GalleryPlace,
    images: Annotated[
        list[str],
        typer.Argument(
            help="A folder of images, with a folder a class, or a `.csv` file, as in "
            "`embed`.",
            metavar="IMAGES",
        ),
    ],
    unknown: Annotated[
        list[str] | None,
        option(
            "Photos, or a folder of them, of what is of no class here, not even a "
            "coarse one; may be repeated.",
            panel="Data",
            metavar="PHOTOS",
        ),
    ] = None,
    precision: Annotated[
        float,
        option(
            "How many of the answers must be right, with 90% confidence.",
            parser=share,
            metavar="SHARE",
        ),
    ] = 0.95,
    root: Root = None,
    skip_bad: SkipBad = False,
    model: ModelOfMilvus = None,
    backend: BackendOption = None,
):
    """Chooses when `hierproxy identify` answers, so that its answers are right.

    IMAGES are a folder with a folder for each class, or a `.csv` file, as in
    `hierproxy embed`: photos that are not in the gallery, of what will be asked, in
    the same mixture. Those of new classes in known coarser ones teach when to answer
    "apple", those of `--unknown` when to say "unknown". Several hundred are good.

    Examples:

        hierproxy calibrate gallery/ held_out/
        hierproxy calibrate gallery/ held_out/ --unknown other_things/ --precision 0.9
    """
    runs, images, unknown = start(gallery, backend, images, unknown)
    with console.status("Embedding ..."):
        there = opened(runs, gallery, model)
        given = data_options(context)
        labels, paths = runs.read_queries(there, images, unknown, given)
        thresholds = there.calibrate(paths, labels=labels, precision=precision)
    table = Table(title=f"{len(paths):,} photos", box=box.SIMPLE, pad_edge=False)
    for header in ("level", "answers from", "asked", "answered", "right", "at least"):
        table.add_column(header, justify="left" if header == "level" else "right")
    for name, threshold in zip(there.level_names, thresholds, strict=True):
        cells = ["never", f"{threshold.queries:,}", "0", "", ""]
        if threshold.score is not None:
            cells = [
                f"{threshold.score:.3f}",
                f"{threshold.queries:,}",
                f"{threshold.answered:,}",
                f"{threshold.right / threshold.answered:.3f}",
                f"{threshold.bound:.3f}",
            ]
        table.add_row(escape(name), *cells)
    print_whole(table)
