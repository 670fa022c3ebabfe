"""pydantic's errors in plain words."""

import json

from keras_hierproxy.recipes import paths
from keras_hierproxy.recipes.table import nearest

_WORDS = {
    "missing": "is missing.",
    "union_tag_not_found": "has no name.",
    "string_type": "must be text in quotes.",
    "is_instance_of": "must be text in quotes.",
    "bool_type": "must be true or false.",
    "int_type": "must be a whole number.",
    "float_type": "must be a number.",
    "finite_number": "must be a finite number.",
    "list_type": "must be a list.",
    "dict_type": "must be a table.",
    "model_type": "must be a table.",
    "model_attributes_type": "must be a table.",
    "greater_than": "must be above {gt}.",
    "greater_than_equal": "must be at least {ge}.",
    "less_than": "must be below {lt}.",
    "less_than_equal": "must be at most {le}.",
    "too_short": "must have at least {min_length} entries.",
    "too_long": "must have at most {max_length} entries.",
}
# Errors of which what was received says nothing.
_OF_A_TABLE = ("missing", "union_tag_not_found")


def in_words(tree, error):
    """`(path, explanation)` of each thing that is wrong.

    Args:
        tree: what was read, nested dicts and lists.
        error: `pydantic.ValidationError`.
    """
    return [_line(tree, each) for each in error.errors(include_url=False)]


def _line(tree, error):
    kind, context, location = error["type"], error.get("ctx", {}), error["loc"]
    received = error["input"]
    if kind == "refusal":
        explanation = context["explanation"]
        location = (*location, context["field"]) if context["field"] else location
        received = context.get("received", _NOTHING)
    elif kind in ("literal_error", "union_tag_invalid"):
        if kind == "union_tag_invalid":
            location, received = (*location, "name"), context["tag"]
        choices = context.get("expected") or context["expected_tags"]
        explanation = _choice(choices.replace(" or ", ", ").split(", "), received)
    else:
        explanation = _WORDS[kind].format_map(context)
    path = paths.as_text(tree, location)
    if kind in _OF_A_TABLE or received is _NOTHING:
        return path, explanation
    return path, f"{explanation} Received: {_as_toml(received)}"


_NOTHING = object()


def _choice(choices, received):
    choices = [choice.strip("'") for choice in choices]
    return f"must be one of {', '.join(choices)}.{nearest(received, choices)}"


def _as_toml(value):
    return json.dumps(value, default=str, ensure_ascii=False)
