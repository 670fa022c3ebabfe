"""Valid files of JSON, changed at random: each must be refused, or work rightly."""

import copy
import json
import random
import re

from tests.hostile.cases import CLEAR, refused, right

_VALUES = (
    *(None, True, "", "x", "../x", "NaN", -1, 0, 0.5, 10**9, 10**30, 1e300, [], {}),
    *([[[1]]], ["x"], {"a": {"b": []}}, {"class_name": "function", "config": "print"}),
    {"class_name": "__lambda__", "config": {"value": "x"}},
    {"class_name": "__tensor__", "config": {"value": 8, "dtype": "float32"}},
    {"class_name": "system", "module": "os", "config": {}, "registered_name": None},
)
# Of the text itself, once the tree is written.
_TEXTS = (
    lambda text: text[: len(text) // 2],
    lambda text: text.replace(": ", ": NaN, ", 1),
    lambda text: re.sub(r"\d+", "1" + "0" * 5000, text, count=1),
    lambda text: "[" * 100_000 + text,
    lambda text: text.replace("{", '{"a": 1, "a": 2, ', 1),
    lambda text: "\x00" + text,
    lambda text: "",
)


def mutate(path, seed):
    """Changes one thing in a file of JSON; the same one for the same seed.

    Returns:
        str, what was changed.
    """
    draw = random.Random(seed)
    text = path.read_text()
    if draw.random() < 0.1:
        number = draw.randrange(len(_TEXTS))
        path.write_text(_TEXTS[number](text))
        return f"text {number}"
    tree = json.loads(text)
    *steps, last = place = draw.choice(list(_places(tree)))
    node = tree
    for step in steps:
        node = node[step]
    if draw.random() < 0.2:
        del node[last]
        change = "left out"
    else:
        node[last] = copy.deepcopy(draw.choice(_VALUES))
        change = repr(node[last])
    path.write_text(json.dumps(tree))
    return f"{'.'.join(map(str, place))} {change}"


def settle(judge, family, name, action, message, is_right):
    """Judges what may be refused, by an error with a message, or be right."""
    try:
        value = action()
    except CLEAR as error:
        caught = error
        judge(family, refused(name, lambda: _raise(caught), message))
    else:
        judge(family, right(name, lambda: value, is_right))


def _raise(error):
    raise error


def _places(tree, path=()):
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in items:
            yield (*path, key)
            yield from _places(value, (*path, key))
