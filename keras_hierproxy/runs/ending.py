"""What a run writes when it is finished: metrics, queries, report and pictures."""

import keras

from keras_hierproxy import pictures
from keras_hierproxy.runs.history import columns
from keras_hierproxy.runs.place import name_of


def write_ending(run, evaluation, rows, selected):
    """Writes all but the model, `metrics.json` last: with it a run is whole.

    Args:
        run: `Run`.
        evaluation: `Evaluation` of the selected epoch on the test classes.
        rows: list of dicts, the lines of `history.csv`.
        selected: int, that epoch, the first is 1; 0 for the model before training.

    Returns:
        What `metrics.json` holds.
    """
    history = columns(rows)
    metrics = {
        "test": evaluation.results,
        "test_before": run.record.test_before,
        "selected_epoch": selected,
        "epochs": len(rows),
        "interrupted": run.interrupted,
    }
    if "val_recall@1" in history:
        metrics["val_recall@1"] = [run.before, *history["val_recall@1"]][selected]
        pictures.plot_recall(
            history,
            run.folder / "recall.png",
            run.data.validation.level_names,
            before=run.record.validation_before,
        )
    if run.recipe.reported is not None:
        metrics["reported"] = _beside(run.recipe.reported, evaluation.results)
    pictures.plot_neighbors(
        evaluation.shown,
        evaluation.points,
        run.folder / "neighbors.png",
        geometry=evaluation.geometry,
        scores=evaluation.scores,
    )
    return evaluation.write(run.folder, metrics, _facts(run, metrics))


def _facts(run, metrics):
    """What the report begins with, as pairs `(name, text)`."""
    recipe = run.recipe
    test = run.record.data["test"].items()
    sizes = ", ".join(f"{name}: {count:,}" for name, count in test)
    preset = recipe.model.backbone.preset
    start = f", from {name_of(preset)}" if preset else ""
    selected, epochs = metrics["selected_epoch"], metrics["epochs"]
    if recipe.training.selection == "last":
        epoch = f"{selected} of {epochs}, the last"
    elif selected:
        epoch = f"{selected} of {epochs}, the best on the validation classes"
    else:
        epoch = (
            f"none of {epochs} beat the model before training on the validation "
            "classes; its weights are kept"
        )
    return [
        ("run", run.folder.resolve().name),
        ("test data", f"{name_of(recipe.data.name)} ({sizes})"),
        ("trained with", f"{recipe.name}, seed {run.place.seed}{start}"),
        ("epoch", epoch),
        ("backend", keras.backend.backend()),
    ]


def _beside(reported, results):
    """What was reported and what was obtained, as shares."""
    names = [f"recall@{k}" for k in reported.k]
    return {
        "source": reported.source,
        "reported": {
            name: value / 100
            for name, value in zip(names, reported.recall, strict=True)
        },
        "obtained": {name: results.get(name) for name in names},
    }
