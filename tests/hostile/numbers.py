"""What no number may be, and cases of it."""

import inspect

import numpy as np

from tests.hostile.cases import refused

BAD = [np.nan, np.inf, -np.inf, "1", True, 1j, [1.0], np.array([1.0])]
NO_FLAGS = [0, 1, np.nan, "no", "", None, [], np.array([True])]


def numeric(function):
    """The arguments whose default is a number, and whether it is a whole one."""
    for parameter in inspect.signature(function).parameters.values():
        default = parameter.default
        if isinstance(default, int | float) and not isinstance(default, bool):
            yield parameter.name, isinstance(default, int)


def tried(title, function, name, whole, pass_zero, pass_negative):
    bad = [*BAD, *([1.5] if whole else []), *([] if pass_zero else [0])]
    for value in [*bad, *([] if pass_negative else [-1])]:
        yield refused(
            f"{title}({name}={value!r})",
            lambda value=value: function(**{name: value}),
            name,
        )


def flags(title, function, *names):
    """Cases of what is neither True nor False."""
    return [
        refused(
            f"{title}({name}={value!r})",
            lambda name=name, value=value: function(**{name: value}),
            f"`{name}` must be True or False",
        )
        for name in names
        for value in NO_FLAGS
    ]
