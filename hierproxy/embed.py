"""`hierproxy embed`."""

import pathlib
import time
from typing import Annotated

import typer

from hierproxy.application import Command, app, console, say
from hierproxy.options import (
    BackendOption,
    Root,
    SkipBad,
    TestGroups,
    TestSplit,
    TrainGroups,
    choice,
    data_options,
    option,
    splits,
    whole,
)
from hierproxy.start import import_runs

BatchSize = Annotated[
    int, option("Images that are embedded at a time.", metavar="N", parser=whole(1))
]


@app.command(cls=Command)
def embed(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="A folder of images, with a folder a class or without classes; a "
            "`.csv` file or a name as in `train --data`."
        ),
    ],
    model: Annotated[
        pathlib.Path,
        typer.Argument(
            help="Folder of a run, a `.keras` file, a preset's folder or the name of a "
            "shipped preset."
        ),
    ],
    output: Annotated[
        pathlib.Path,
        option("The folder to write to.", "--output", "-o", metavar="FOLDER"),
    ],
    root: Root = None,
    train_groups: TrainGroups = None,
    test_groups: TestGroups = None,
    test_split: TestSplit = None,
    split: Annotated[
        object | None,
        option(
            "`test`, `validation` or `train`, or `all` of a folder or a CSV file. By "
            "default `all` of a folder, and of a CSV file without a column `split`; "
            "else `test`.",
            panel="Data",
            parser=splits,
            metavar="NAME",
        ),
    ] = None,
    skip_bad: SkipBad = False,
    dtype: Annotated[
        object,
        option(
            "`float32`, or `float16`: half the size, and coordinates rounded to 11 "
            "bits.",
            parser=choice("float32", "float16"),
            metavar="NAME",
        ),
    ] = "float32",
    batch_size: BatchSize = 128,
    backend: BackendOption = None,
):
    """Embeds images by a trained model into a folder of plain files: a gallery.

    `embeddings.npy` holds the embeddings, `items.csv` path and labels of each,
    `embeddings.json` what they are, and the folder that the paths start from;
    `embedder.keras` the model, unless it is a shipped preset. Read them with
    `khp.embeddings.load`, NumPy, pandas; search them with `hierproxy search`. Images
    are read while the model works, and memory does not grow with their number. After
    **Ctrl-C**, a crash or a full disk the same command goes on where it stopped, to
    the same result. Into a gallery that is finished it adds what is new.

    Examples:

        hierproxy embed photos/ runs/photos-hpl-0 -o gallery
        hierproxy embed glyphs runs/glyphs-hpl-0 --split test -o glyphs-test
    """
    runs = import_runs(backend)
    changes = data_options(context)
    with console.status("Reading ..."):
        if runs.is_gallery(output):
            job = runs.prepare_adding(output, [data], changes, split, batch_size, model)
        else:
            job = runs.prepare_embedding(
                data, model, output, changes, split, dtype, batch_size
            )
    run_job(runs, job, output)


def run_job(runs, job, folder):
    """Embeds what is left, tells of it, and ends the process where it was stopped."""
    if job is None:
        console.print("Nothing is new: all of these images are there already.")
        return
    total, before = len(job.data.images), job.writer.position
    if known := getattr(job.writer, "num_known", 0):
        console.print(f"Images that are there already: {known:,}.")
    if before:
        console.print(f"Going on after {before:,} of {total:,} images.")
    start = time.monotonic()
    with runs.image_bar(console, total, before) as bar:
        finished = job.run(bar.advance)
    if not finished:
        console.print(
            f"Stopped after {job.writer.position:,} of {total:,} images. The same "
            "command goes on from there."
        )
        raise typer.Exit(130)
    seconds = time.monotonic() - start
    rate = (total - before) / seconds
    console.print(
        f"{job.writer.num_rows:,} embeddings in {seconds:,.0f} s, {rate:,.0f} images a "
        "second. They are in"
    )
    say(folder)
    if job.writer.skipped:
        console.print(
            f"Images left out, named in embeddings.json: {len(job.writer.skipped):,}"
        )
