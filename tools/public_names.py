"""The public names of the package, by room.

What the reference documents, and what the tests ask to be documented: a name that is
exported stands in both.
"""

import inspect

import keras_hierproxy as khp


def rooms():
    """The public modules, a dict from their name under `khp`."""
    members = {name: getattr(khp, name) for name in khp.__all__}
    return {name: room for name, room in members.items() if inspect.ismodule(room)}


def of_room(room):
    """Classes and functions that a module exports, a dict from their name there.

    Those of its `__all__`; without one, those that are defined in it or below it.
    """
    names = getattr(room, "__all__", None)
    if names is None:
        within = room.__name__, f"{room.__name__}."
        names = [
            name
            for name, value in vars(room).items()
            if not name.startswith("_")
            and callable(value)
            and f"{getattr(value, '__module__', '')}.".startswith(within[1])
        ]
    found = {name: getattr(room, name) for name in sorted(names, key=str.lower)}
    return {name: value for name, value in found.items() if callable(value)}


def everything():
    """A dict from `"room.name"`, and `"name"` of what `khp` itself exports."""
    named = {
        f"{room}.{name}": value
        for room, module in rooms().items()
        for name, value in of_room(module).items()
    }
    return named | {name: value for name, value in of_room(khp).items()}
