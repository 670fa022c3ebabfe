"""Options that commands share."""

import enum
from typing import Annotated

import typer


def _choice(name, *values):
    return enum.StrEnum(name, {value: value for value in values})


Backend = _choice("Backend", "tensorflow", "jax", "torch")
DType = _choice("DType", "float32", "float16")
Split = _choice("Split", "test", "validation", "train", "all")
Augment = _choice("Augment", "affine", "crop", "none")
Loss = _choice(
    "Loss",
    "hpl",
    "hpl-taxonomy",
    "proxy-anchor",
    "proxy-nca",
    "normalized-softmax",
    "soft-triple",
    "cosface",
    "arcface",
    "sub-center-arcface",
    "multi-similarity",
    "sup-con",
    "triplet",
    "hier",
    "hpl-hier",
    "hyp",
)


def names(text: str):
    return [name.strip() for name in text.split(",")]


def positive_integers(text: str):
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(numbers) < 1:
        raise typer.BadParameter(
            f"{text!r} is not a list of numbers from 1 on, such as 8,50."
        )
    return numbers


def option(help, *names, panel="Run", **options):
    return typer.Option(*names, help=help, rich_help_panel=panel, **options)


Root = Annotated[
    str | None,
    option(
        "The folder with the official files of the data set, unpacked; of a .csv file, "
        "the one that its paths start from.",
        panel="Data",
        metavar="FOLDER",
    ),
]
TrainGroups = Annotated[
    object | None,
    option(
        "Alphabets of `omniglot` and `letters` to train on, separated by commas, "
        "instead of the fixed split.",
        panel="Data",
        parser=names,
        metavar="NAMES",
    ),
]
TestGroups = Annotated[
    object | None,
    option(
        "Alphabets of `omniglot` and `letters` to test on.",
        panel="Data",
        parser=names,
        metavar="NAMES",
    ),
]
TestSplit = Annotated[
    str | None,
    option(
        "The official split of `grocery_store` to test on, `test` (the default) or "
        "`val`.",
        panel="Data",
        metavar="NAME",
    ),
]
SkipBad = Annotated[
    bool,
    option(
        "Leave out images that cannot be read, and count them.",
        "--skip-bad",
        panel="Data",
    ),
]
BackendOption = Annotated[
    Backend | None,
    option(
        "`tensorflow`, `jax` or `torch`; by default what `KERAS_BACKEND` or Keras's "
        "configuration says.",
        metavar="NAME",
    ),
]


def data_options(context):
    """What was given besides the data set's name, for its settings."""
    names = ("root", "train_groups", "test_groups", "test_split", "skip_bad")
    return {name: context.params[name] for name in names if is_given(context, name)}


def is_given(context, name):
    return context.get_parameter_source(name).name != "DEFAULT"
