"""Going on with a run."""

import dataclasses
import pathlib

import keras

from keras_hierproxy import recipes
from keras_hierproxy.recipes.paths import settings
from keras_hierproxy.runs.place import anywhere
from keras_hierproxy.runs.record import read_record
from keras_hierproxy.runs.run import Run

# What a run may be resumed with that it was not started with.
_MAY_DIFFER = ("training.epochs", "training.seeds", "ours")


def resume_run(folder, recipe=None, epochs=None, **place):
    """The `Run` in a folder, to go on with.

    Args:
        folder: path.
        recipe: `khp.recipes.Recipe`, if it was told again; it must be the run's.
        epochs: int, up to which epoch; by default that of the recipe.
        **place: `root`, `skip_bad` and `seed`, if they were told again.

    Raises:
        ValueError: there is no run, it was started with other settings or on
            another backend, or for more epochs than are asked for.
    """
    folder = pathlib.Path(folder)
    record = read_record(folder, to_resume=True)
    if record is None:
        raise ValueError(
            f"There is no run to resume in {folder}. Name its folder with --output."
        )
    changed = _place_changes(record.place, dataclasses.replace(record.place, **place))
    if recipe is not None:
        changed += _recipe_changes(record.recipe, anywhere(recipe))
    if changed:
        raise ValueError(
            f"The run in {folder} was started with {', '.join(changed)}. Resume it "
            "without these options, or start another run."
        )
    if record.backend != keras.backend.backend():
        raise ValueError(
            f"The run in {folder} was started on {record.backend}. Resume it with "
            f"--backend {record.backend}."
        )
    recipe = record.recipe
    if record.is_older and recipe.proxies.hierarchy is None:
        raise ValueError(
            f"The run in {folder} is of an earlier version, whose models had coarse "
            "proxies for every loss: it can be evaluated as it is, but not gone on "
            f"with. Begin it again: hierproxy train --recipe {folder} --seed "
            f"{record.place.seed} --output ANOTHER_FOLDER"
        )
    before = recipe.training.epochs
    if epochs is not None and epochs < before:
        raise ValueError(
            f"The run in {folder} was started for {before} epochs. Resume it with "
            f"--epochs {before} or more; Ctrl-C ends it before. Received: --epochs "
            f"{epochs}."
        )
    if epochs is not None and epochs > before:
        recipe = recipes.change(recipe, [f"training.epochs={epochs}"], folder)
    return Run(folder, recipe, record.place, record)


def _place_changes(before, now):
    pairs = dataclasses.asdict(before).items()
    return [f"{n}={value!r}" for n, value in pairs if value != getattr(now, n)]


def _recipe_changes(before, now):
    before, now = (
        {each[0]: value for each, value in settings(recipes.as_dict(recipe))}
        for recipe in (before, now)
    )
    return [
        f"{path}={before.get(path)!r}"
        for path in sorted(before | now)
        if path not in _MAY_DIFFER and before.get(path) != now.get(path)
    ]
