"""Options that commands share."""

import difflib
import math
import re
from typing import Annotated

import typer

# Larger images than any network takes: a slip of the keyboard.
LARGEST_SIDE = 8192
LARGEST_EMBEDDING = 65536
BACKENDS = ("tensorflow", "jax", "torch")
LARGEST_RATE = 1000
# NumPy's seeds end there.
LARGEST_SEED = 2**32 - 1


def names(text: str):
    """The parser of names with commas between them."""
    return [name.strip() for name in text.split(",")]


def positive_integers(text: str):
    """The parser of numbers with commas between them."""
    try:
        return [whole(1)(part.strip()) for part in text.split(",")]
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{text!r} is not a list of numbers from 1 on, such as 8,50."
        ) from None


def whole(least, most=10**9):
    """The parser of a whole number between two bounds, which are allowed."""

    def parse(value: str):
        # `int` would take `1_0`, and the digits of all alphabets.
        number = int(value) if re.fullmatch("[+-]?[0-9]{1,99}", str(value)) else None
        if number is None or number < least:
            raise _not(value, f"a whole number of at least {least}")
        if number > most:
            raise _not(value, f"a whole number of at most {most}")
        return number

    return parse


def rate(value: str):
    """The parser of a learning rate; 0 keeps still what it is of."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    # 1e400 is infinite.
    if not 0 <= number <= LARGEST_RATE:
        raise _not(value, f"a finite number from 0 to {LARGEST_RATE}, such as 1e-3")
    return number


def share(value: str):
    """The parser of a share, between 0 and 1."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < 1:
        raise _not(value, "a share between 0 and 1, such as 0.95")
    return number


def choice(*values):
    """The parser of one of a few names."""

    def parse(value: str):
        if value in values:
            return value
        nearest = difflib.get_close_matches(value.lower().replace("_", "-"), values, 1)
        hint = f" Did you mean {nearest[0]}?" if nearest else ""
        listed = ", ".join(map(repr, values))
        raise typer.BadParameter(f"{value!r} is not one of {listed}.{hint}")

    return parse


def _not(value, wanted):
    return typer.BadParameter(f"{value!r} is not {wanted}.")


splits = choice("test", "validation", "train", "all")


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
    object | None,
    option(
        "`tensorflow`, `jax` or `torch`; by default what `KERAS_BACKEND` or Keras's "
        "configuration says.",
        parser=choice(*BACKENDS),
        metavar="NAME",
    ),
]


def data_options(context):
    """What was given besides the data set's name, for its settings."""
    names = ("root", "train_groups", "test_groups", "test_split", "skip_bad")
    params = context.params
    return {n: params[n] for n in names if n in params and is_given(context, n)}


def is_given(context, name):
    return context.get_parameter_source(name).name != "DEFAULT"
