"""What a report tells of its run."""

import keras

from keras_hierproxy.runs.place import name_of


def facts(folder, record, metrics):
    """What the report begins with.

    Args:
        folder: `pathlib.Path` of the run.
        record: `Record`.
        metrics: dict, what `metrics.json` begins with.

    Returns:
        list of pairs `(name, text)`.
    """
    recipe = record.recipe
    test = record.data["test"].items()
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
        ("run", folder.resolve().name),
        ("test data", f"{name_of(recipe.data.name)} ({sizes})"),
        ("trained with", f"{recipe.name}, seed {record.place.seed}{start}"),
        ("epoch", epoch),
        ("backend", keras.backend.backend()),
    ]


def beside(reported, results):
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
