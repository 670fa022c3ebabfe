"""Paths of settings, such as `optimizer.learning_rate.head`.

In a list of tables, those of the loss or of augmentations, a step is the name of one;
left out, it is the first: `loss.margin` is `loss.proxy_anchor.margin` where that stands
first.
"""

import copy
import tomllib

from keras_hierproxy.recipes.table import unknown


def check(tree, path):
    """Raises a `ValueError` unless there is a setting at the path.

    Args:
        tree: a recipe as nested dicts and lists.
        path: str.
    """
    table, name = _find(tree, path.split("."))
    if table.get(name) is None:
        raise ValueError(unknown(name, table))


def _change(tree, assignment):
    """Changes a setting in place; what may stand there is for the schema to say.

    Args:
        tree: a recipe as nested dicts and lists.
        assignment: str, `path=value`, the value as in TOML; without one the setting
            becomes None, which is to be left out.

    Returns:
        The path.

    Raises:
        ValueError: no such path, or no TOML value.
    """
    path, equals, text = assignment.partition("=")
    path = path.strip()
    if not equals:
        raise ValueError(
            f"--set takes PATH=VALUE, such as loss.margin=0.2. Received: {assignment}"
        )
    try:
        table, name = _find(tree, path.split("."), create=True)
    except ValueError as error:
        raise ValueError(f"--set {path}: {error}") from None
    if isinstance(table.get(name), dict):
        raise ValueError(
            f"--set {path}: that is a table. Name a setting in it: "
            + ", ".join(f"{path}.{each}" for each in table[name])
        )
    table[name] = _value(path, text) if text.strip() else None
    return path


def changed(tree, overrides):
    """A recipe as nested dicts and lists, with some settings changed.

    Args:
        tree: dict.
        overrides: as of `load`.

    Returns:
        dict.

    Raises:
        ValueError: no such setting, or no TOML value.
    """
    before, tree = tree, copy.deepcopy(tree)
    paths_changed = [_change(tree, assignment) for assignment in overrides]
    ours = tree.get("ours", [])
    if paths_changed and isinstance(ours, list):
        # A path that was wrong before is told below.
        gone = [each for each in ours if _is_there(before, each)]
        gone = [each for each in gone if not _is_there(tree, each)]
        added = [each for each in paths_changed if _is_there(tree, each)]
        kept = [each for each in ours if each not in gone]
        tree["ours"] = [*kept, *(each for each in added if each not in kept)]
    return tree


def settings(table, *paths):
    """The settings of a recipe: `(paths, value)`, all paths that --set knows of it.

    In a list of tables, such as that of the losses, a step is the name of one; the
    first can do without.
    """
    for name, value in table.items():
        steps = [[*path, name] for path in paths or [()]]
        if isinstance(value, dict):
            yield from settings(value, *steps)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, each in enumerate(value):
                named = [[*step, each["name"]] for step in steps]
                yield from settings(each, *named, *([] if number else steps))
        else:
            yield [".".join(step) for step in steps], value


def as_text(tree, location):
    """The path of a place that is given as keys and indices.

    Args:
        tree: a recipe as nested dicts and lists.
        location: tuple, as pydantic says it: with the name of a table after its index.
    """
    steps = []
    for key in location:
        if isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            tree = tree[key]
            named = isinstance(tree, dict) and isinstance(tree.get("name"), str)
            steps.append(tree["name"] if named else str(key))
        elif not (isinstance(tree, dict) and steps and key == tree.get("name")):
            tree = tree.get(key) if isinstance(tree, dict) else None
            steps.append(str(key))
    return ".".join(steps)


def _find(node, steps, create=False, done=()):
    """The table that holds the last of the steps, and that step."""
    step, *rest = steps
    if isinstance(node, list) and node and all(isinstance(each, dict) for each in node):
        named = {each.get("name"): each for each in node}
        if step in named:
            if not rest:
                return named, step
            return _find(named[step], rest, create, (*done, step))
        node = node[0]
    if not isinstance(node, dict):
        raise ValueError(f"{'.'.join(done)} is {node!r}, which has no {step}.")
    if not rest:
        return node, step
    if step not in node:
        if not create:
            raise ValueError(unknown(step, node))
        node[step] = {}
    return _find(node[step], rest, create, (*done, step))


def _value(path, text):
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        raise ValueError(
            f"--set {path}: {text.strip()} is no TOML value. Text needs quotes: "
            f"--set '{path}=\"{text.strip()}\"'"
        ) from None


def _is_there(tree, path):
    try:
        check(tree, path)
    except (ValueError, AttributeError):  # the path may be anything
        return False
    return True
