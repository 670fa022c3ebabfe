"""`hierproxy add`."""

import pathlib
from typing import Annotated

import typer

from hierproxy.application import Command, app, console
from hierproxy.embed import BatchSize, run_job
from hierproxy.galleries import in_milvus, start
from hierproxy.options import (
    BackendOption,
    Root,
    SkipBad,
    data_options,
    option,
)


@app.command(cls=Command)
def add(
    context: typer.Context,
    gallery: Annotated[
        str,
        typer.Argument(
            help="Folder of a gallery, as `hierproxy embed` writes it.",
            metavar="GALLERY",
        ),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            help="A folder of images, with a folder a class, or a `.csv` file, as in "
            '`embed`; or photos, folders of them, or patterns such as `"new/*.jpg"`.',
            metavar="IMAGES",
        ),
    ],
    label: Annotated[
        list[str] | None,
        option(
            "The class of all these images; again for each coarser one, finest first. "
            "By default those of a folder with a folder for each class, or of a "
            "`.csv` file.",
            panel="Data",
            metavar="NAME",
        ),
    ] = None,
    root: Root = None,
    skip_bad: SkipBad = False,
    batch_size: BatchSize = 128,
    backend: BackendOption = None,
):
    """Adds images to a gallery, of known classes or of new ones, without training.

    Images that are in the gallery are not added again, so that the same command goes
    on where it was stopped, and takes in what is new in a folder.

    Examples:

        hierproxy add gallery/ photos/
        hierproxy add gallery/ new.jpg other.jpg --label "Cox Orange" --label apple
        hierproxy add gallery/ "new/*.jpg" --label Conference --label pear
    """
    if in_milvus(gallery):
        raise ValueError(
            "Into Milvus, items are added in Python, by `Gallery.add`; or add them to "
            f"a folder, and copy that there, by `Gallery.copy_to`. Received: {gallery}."
        )
    runs, images = start(gallery, backend, images)
    gallery = pathlib.Path(gallery)
    label = tuple(label) if label else None
    with console.status("Reading ..."):
        job = runs.prepare_adding(
            gallery, images, data_options(context), None, batch_size, label=label
        )
    run_job(runs, job, gallery)
    if job is not None and label is None and job.data.labels is None:
        console.print("They have no class: name one with --label.")
