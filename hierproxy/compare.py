"""`hierproxy compare`."""

import pathlib
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from hierproxy.application import Command, app, console
from hierproxy.start import import_runs
from hierproxy.tables import by_level, print_whole


@app.command(cls=Command)
def compare(
    first: Annotated[
        pathlib.Path,
        typer.Argument(help="Folder of a run, or one that `evaluate` wrote."),
    ],
    second: Annotated[
        pathlib.Path, typer.Argument(help="Another one, of the same queries.")
    ],
):
    """Tells whether two runs differ by more than chance, query by query.

    Both must have been evaluated on the same queries. For each metric: the two means,
    their difference with its 95% bootstrap interval, and p of a paired randomisation
    test. It compares these two models; other seeds of the same training may differ by
    more.

    Examples:

        hierproxy compare runs/glyphs-proxy-anchor-0 runs/glyphs-hpl-0
    """
    level_names, compared, only_one = import_runs(None).compare_runs(first, second)
    title = f"first: {escape(str(first))}\nsecond: {escape(str(second))}"
    table = Table(title=title, box=box.SIMPLE, pad_edge=False)
    for header in ("metric", "first", "second", "second - first (95%)", "p", "better"):
        table.add_column(header, no_wrap=True)
    for level, rows in by_level(level_names, compared).items():
        if not rows:
            continue
        table.add_row(f"[bold]{escape(level)}")
        for metric, name in rows.items():
            row = compared[name]
            low, high = row.interval
            table.add_row(
                metric,
                f"{row.first:.3f}",
                f"{row.second:.3f}",
                f"{row.difference:+.3f} ({low:+.3f}, {high:+.3f})",
                f"{row.p:.4f}",
                row.better,
            )
        table.add_section()
    print_whole(table)
    if not any(row.better for row in compared.values()):
        console.print("No difference is shown.")
    if only_one:
        console.print(f"Only one of the two has: {', '.join(only_one)}.")
    console.print(
        "p is of each metric by itself: where nothing differs, one metric in twenty "
        "has p < 0.05 all the same.",
        soft_wrap=True,
    )
