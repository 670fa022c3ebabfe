"""`hierproxy search`."""

import json
import pathlib
from typing import Annotated

from rich import box
from rich.markup import escape
from rich.table import Table

from hierproxy.application import Command, app, console, say
from hierproxy.galleries import GalleryPlace, Json, ModelOfMilvus, Photos, opened, start
from hierproxy.options import BackendOption, option, whole
from hierproxy.tables import print_whole


@app.command(cls=Command)
def search(
    gallery: GalleryPlace,
    photos: Photos,
    k: Annotated[
        int,
        option(
            "How many items of each photo.",
            "--k",
            "-k",
            panel="Output",
            metavar="N",
            parser=whole(1, 1000),
        ),
    ] = 5,
    as_json: Json = False,
    html: Annotated[
        pathlib.Path | None,
        option(
            "Also write a page with the pictures, one file that needs nothing else.",
            panel="Output",
            metavar="FILE",
        ),
    ] = None,
    root: Annotated[
        pathlib.Path | None,
        option(
            "The folder whose pictures may stand in the page; by default that of the "
            "images which the gallery was made of.",
            panel="Output",
            metavar="FOLDER",
        ),
    ] = None,
    model: ModelOfMilvus = None,
    backend: BackendOption = None,
):
    """Finds the items of a gallery that are most similar to photos.

    Similarities are cosines, or, where the model embeds into the Poincare ball,
    negative distances.

    Examples:

        hierproxy search gallery/ photo.jpg
        hierproxy search gallery/ new_photos/ -k 10 --html found.html
        hierproxy search gallery/ "new/*.jpg" --json
    """
    runs, photos = start(gallery, backend, photos)
    with console.status("Searching ..."):
        paths = runs.find_photos(photos)
        there = opened(runs, gallery, model)
        hits = there.search(paths, k=k)
    if html is not None:
        runs.write_hits(html, there, paths, hits, runs.shown_of(there, root))
    found = [
        {"photo": path, "hits": runs.plain_hits(hits[row])}
        for row, path in enumerate(paths)
    ]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for header in ("photo", "similarity", *there.level_names, "id", "image"):
        table.add_column(header, overflow="fold")
    no_label = [""] * len(there.level_names)
    for query in found:
        photo = pathlib.PurePath(query["photo"]).name
        for hit in query["hits"]:
            label = [name or "" for name in hit["label"]] or no_label
            image = pathlib.PurePath(hit["path"]).name
            cells = photo, f"{hit['similarity']:.3f}", *label, str(hit["id"]), image
            table.add_row(*map(escape, cells))
            photo = ""
        table.add_section()
    print_whole(table)
    if html is not None:
        say(html)
