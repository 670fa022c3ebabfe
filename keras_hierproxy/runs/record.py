"""`run.json`: what a run was started with."""

import dataclasses
import pathlib

import pydantic

from keras_hierproxy import json_files, schemas
from keras_hierproxy.runs.embedder import LOSSES
from keras_hierproxy.runs.settings import Settings

_ADVICE = (
    "Copy it back from where you have it, or train into another folder (--output)."
)


class _Settings(schemas.Content):
    """Those of a run, with the types that they have there."""

    model_config = pydantic.ConfigDict(extra="forbid")


_SettingsJson = pydantic.create_model(
    "_SettingsJson",
    __base__=_Settings,
    **{
        field.name: (field.type, field.default)
        for field in dataclasses.fields(Settings)
    },
)


class _Record(schemas.Content):
    """What evaluating a run takes."""

    settings: _SettingsJson


class _WholeRecord(_Record):
    """What going on with it takes, too."""

    backend: str
    # Parts of the data, and how many images and classes each has.
    data: dict[str, dict[schemas.Text, schemas.Count]]
    test_before: dict[str, float | None]


def read_record(folder, to_resume=False):
    """What the `run.json` of a run holds, a dict, or None where there is none.

    Args:
        folder: path of a run.
        to_resume: bool, whether the run is to go on.

    Raises:
        ValueError: it is damaged, or its settings do not go together.
    """
    path = pathlib.Path(folder) / "run.json"
    if not path.exists():
        return None
    schema = _WholeRecord if to_resume else _Record
    record = json_files.read(path, schema, _ADVICE)
    try:
        settings = Settings(**record["settings"])
        settings.plan()
        if settings.recipe is None and settings.loss not in LOSSES:
            raise ValueError(
                f"settings.loss: must be one of {', '.join(LOSSES)}, received "
                f"{settings.loss!r}"
            )
    except ValueError as error:
        raise json_files.DamagedFile(path, str(error).rstrip("."), _ADVICE) from error
    return record
