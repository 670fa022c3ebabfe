"""`run.json`: what a run was started with."""

import dataclasses
import pathlib
from typing import Literal

import keras

from keras_hierproxy import json_files, recipes, schemas
from keras_hierproxy.runs.place import Place
from keras_hierproxy.runs.scoring import write_record

VERSION = 2
ADVICE = "Copy it back from where you have it, or train into another folder (--output)."


@dataclasses.dataclass
class Record:
    """What `run.json` holds.

    Attributes:
        recipe: `khp.recipes.Recipe`, all that is trained.
        place: `Place`, where and by which seed.
        backend: str.
        data: dict, parts of the data and how many images and classes each has.
        test_before: dict, metrics before training.
        validation_before: dict, the same as an epoch logs it; None where the last epoch
            is kept, and in runs of earlier versions.
        is_older: bool, whether it tells of options: it was written before runs were
            recipes.
    """

    recipe: recipes.Recipe
    place: Place
    backend: str | None = None
    data: dict | None = None
    test_before: dict | None = None
    validation_before: dict | None = None
    is_older: bool = False

    def write(self, folder):
        """Writes `run.json`, as of the backend that runs here."""
        content = {
            "version": VERSION,
            "recipe": recipes.as_dict(self.recipe),
            "place": dataclasses.asdict(self.place),
            "backend": keras.backend.backend(),
            "data": self.data,
            "test_before": self.test_before,
            "validation_before": self.validation_before,
        }
        write_record(pathlib.Path(folder) / "run.json", content)


class _Place(schemas.Content):
    root: schemas.Text | None = None
    skip_bad: bool = False
    seed: schemas.Count = 0


class _Run(schemas.Content):
    """What evaluating a run takes."""

    version: Literal[VERSION]
    recipe: dict
    place: _Place


class _Rest(schemas.Content):
    """What going on with it takes, too."""

    backend: str
    data: dict[str, dict[schemas.Text, schemas.Count]]
    test_before: dict[str, float | None]
    validation_before: dict[str, float] | None = None


def read_record(folder, to_resume=False):
    """What the `run.json` of a run holds, or None where there is none.

    Args:
        folder: path of a run.
        to_resume: bool, whether the run is to go on.

    Returns:
        `Record`.

    Raises:
        ValueError: it is damaged, or its recipe is wrong.
    """
    path = pathlib.Path(folder) / "run.json"
    if not path.exists():
        return None
    content = json_files.read(path, dict, ADVICE)
    is_older = recipes.is_older(content)
    needed = [_Run] * (not is_older) + [_Rest] * to_resume
    for schema in needed:
        json_files.check(content, str(path), schema, ADVICE)
    try:
        recipe = recipes.of_run(content, "recipe")
    except ValueError as error:
        raise json_files.DamagedFile(path, str(error).rstrip("."), ADVICE) from error
    place = content["settings" if is_older else "place"]
    is_older = is_older and content["settings"].get("recipe") is None
    return Record(
        recipe,
        Place(**{n: place[n] for n in ("root", "skip_bad", "seed") if n in place}),
        **{name: content.get(name) for name in _Rest.model_fields},
        is_older=is_older,
    )
