"""`hierproxy remove`."""

from typing import Annotated

import typer

from hierproxy.application import Command, app, console, say
from hierproxy.options import GalleryFolder, whole
from hierproxy.start import import_runs


@app.command(cls=Command)
def remove(
    gallery: GalleryFolder,
    ids: Annotated[
        list[object],
        typer.Argument(
            help="Ids of items, as `hierproxy search` shows them.",
            parser=whole(0, 2**63 - 1),
            metavar="IDS...",
        ),
    ],
):
    """Removes items from a gallery: all of them, or none where an id is not there.

    Image files stay where they are.

    Examples:

        hierproxy remove gallery/ 17
        hierproxy remove gallery/ 17 18 40
    """
    opened = import_runs(None).Gallery.load(gallery)
    opened.remove(ids)
    console.print(f"{len(ids):,} removed, {len(opened):,} left in")
    say(gallery)
