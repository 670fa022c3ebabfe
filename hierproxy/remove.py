"""`hierproxy remove`."""

from typing import Annotated

import typer

from hierproxy.application import Command, app, console, say
from hierproxy.galleries import GalleryPlace, opened, start
from hierproxy.options import whole


@app.command(cls=Command)
def remove(
    gallery: GalleryPlace,
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
    (runs,) = start(gallery, None)
    there = opened(runs, gallery, asked=False)
    there.remove(ids)
    console.print(f"{len(ids):,} removed, {len(there):,} left in")
    say(gallery)
