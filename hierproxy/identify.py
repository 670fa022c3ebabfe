"""`hierproxy identify`."""

import json
import pathlib

from rich import box
from rich.markup import escape
from rich.table import Table

from hierproxy.application import Command, app, console
from hierproxy.galleries import GalleryPlace, Json, ModelOfMilvus, Photos, opened, start
from hierproxy.options import BackendOption
from hierproxy.tables import print_whole


@app.command(cls=Command)
def identify(
    gallery: GalleryPlace,
    photos: Photos,
    as_json: Json = False,
    model: ModelOfMilvus = None,
    backend: BackendOption = None,
):
    """Says what photos show, as finely as the gallery's promise holds.

    "Gala"; where that is not clear, "apple"; else "unknown". `hierproxy calibrate`
    makes the promise: how many of the answers are right. The last column is the share
    of such answers that were right there.

    Examples:

        hierproxy identify gallery/ photo.jpg
        hierproxy identify gallery/ new_photos/ --json
    """
    runs, photos = start(gallery, backend, photos)
    with console.status("Looking ..."):
        paths = runs.find_photos(photos)
        there = opened(runs, gallery, model)
        if not there.thresholds:
            raise ValueError(
                f"{gallery} is not calibrated: nothing says when to answer. Run "
                f"`hierproxy calibrate {gallery} IMAGES`, with photos of known "
                "classes, or `hierproxy search`."
            )
        answers = [
            {"photo": path, **runs.plain_answer(answer, there)}
            for path, answer in zip(paths, there.identify(paths), strict=True)
        ]
    if as_json:
        print(json.dumps(answers, indent=2))
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for header in ("photo", "answer", "level", "in", "confidence"):
        table.add_column(header, overflow="fold")
    for answer in answers:
        cells = (
            pathlib.PurePath(answer["photo"]).name,
            answer["label"] or "unknown",
            answer["level_name"] or "",
            ", ".join(answer["path"][1:]),
            f"{answer['confidence']:.2f}",
        )
        table.add_row(*map(escape, cells))
    print_whole(table)
