"""What the package says, in the words of the command line.

Its errors and warnings speak of the arguments of functions. Here they speak of the
option of that name; of a run by a recipe, of the setting. A sentence that advises what
cannot be said here is left out, unless it is the first, or says what was received: then
only its form is changed. So in the package such advice stands in a sentence of its own.
"""

import re
import typing

# The arguments that messages name without backticks; a test finds those that are
# missing here. Others before a `=`, as in a folder `lr=0.1`, are the user's.
_ARGUMENTS = frozenset(
    "backbone base batch_size centers_per_class color_mode correction "
    "drop_remainder embedding_dim engine filters fmr format frozen geometry "
    "image_shape image_size images_per_class index k latent level level_sizes "
    "level_weights loss memory_limit metrics min_images mode num_classes num_leaves "
    "num_sampled pooling precision preprocessor proxies regularizer root rule "
    "sampler shuffle skip_bad split super_classes test test_split uri validation "
    "weights_dtype".split()
)
# Options that go beside a recipe.
_BESIDE_RECIPE = ("root", "skip_bad", "seed", "epochs", "output", "backend")
_NAME = r"[a-z][a-z0-9_]*"
_VALUE = r"""'[^']*'|"[^"]*"|\[[^\]]*\]|\([^)]*\)|[+-]?\w+(?:[.:]\w+)*|"""
_MENTION = re.compile(
    # Not in a path, nor in what is quoted.
    rf"(?<![\w/\\.'\"`-])(?:`(?P<ticked>{_NAME})(?:=(?P<in_ticks>[^`]*))?`"
    rf"|(?P<name>{_NAME})=(?P<value>{_VALUE})(?!=)"
    rf"|(?P<bare>[a-z]+(?:_[a-z0-9]+)+)(?![\w/'\"(]|\.\w))"
)
# Code, but what is typed into a shell.
_CODE = re.compile(
    r"`(?!hierproxy |pip |--)[^`]*[(=][^`]*`|\b(?:khp|keras_hub|keras)\.[a-z]"
)
# Options that take more than one value.
_LISTS = ("level_sizes", "k", "metrics", "train_groups", "test_groups")
# What names settings of a recipe already.
_LISTED = ("Did you mean", "There is:")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?]) +(?=[A-Z`])")


def spoken(text, options, settings=None):
    """A message in the words of a command.

    Args:
        text: str, as the package says it.
        options: dict from arguments to the command's options, such as
            `{"batch_size": "--batch-size"}`.
        settings: of a run by a recipe, a dict from arguments to the paths of its
            settings, such as `{"batch_size": "data.batch_size"}`.

    Returns:
        str.
    """
    if settings is not None:
        options = {name: options[name] for name in _BESIDE_RECIPE if name in options}

    def said(mention):
        name, value = _named(mention), mention["in_ticks"] or mention["value"]
        if value == "None":
            return mention[0]
        if name in options:
            parts = _typed(value)
            if name not in _LISTS and len(set(parts)) == 1:
                parts = parts[:1]  # the side of a square
            if name in _LISTS or len(parts) < 2:
                return " ".join(filter(None, (options[name], ",".join(parts))))
        if name in (settings or {}):
            return f"--set {settings[name]}={value}" if value else settings[name]
        return mention[0]

    kept = []
    for sentence in _BETWEEN_SENTENCES.split(text):
        if sentence.startswith(_LISTED):
            kept.append(sentence)
            continue
        sentence = _MENTION.sub(said, sentence)
        if _is_python(sentence):
            if kept and not sentence.startswith("Received"):
                continue
            sentence = _MENTION.sub(_without_form, sentence)
        kept.append(sentence)
    return " ".join(kept)


def options_of(command):
    """The options of a command by the names of their arguments."""
    return {
        each.name: each.opts[0]
        for each in command.params
        if each.opts and each.opts[0].startswith("--")
    }


def settings_of(schema, path=""):
    """The paths of a recipe's settings by their names, where one name is one setting.

    Args:
        schema: `khp.recipes.Recipe`, or the class of a table in it.
        path: str, of that table.
    """
    found = {}
    for name, field in schema.model_fields.items():
        here = f"{path}.{name}" if path else name
        tables = [each for each in _classes(field.annotation)]
        inner = [settings_of(each, here) for each in tables] or [{name: here}]
        for settings in inner:
            for each, place in settings.items():
                found[each] = None if each in found else place
    return {name: place for name, place in found.items() if place is not None}


def _classes(annotation):
    """The tables that an annotation names."""
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return [annotation]
    return [each for part in typing.get_args(annotation) for each in _classes(part)]


def _typed(value):
    """The parts of a value as they are typed; of a flag there is nothing to type."""
    if value in (None, "True", "False"):
        return []
    parts = value.strip("[]()").split(",")
    return [part.strip(" '\"") for part in parts if part]


def _is_python(sentence):
    return _CODE.search(sentence) or any(map(_is_argument, _MENTION.finditer(sentence)))


def _without_form(mention):
    if not _is_argument(mention):
        return mention[0]
    value = mention["in_ticks"] or mention["value"]
    return " ".join(filter(None, (_named(mention).replace("_", " "), value)))


def _is_argument(mention):
    return mention["ticked"] is not None or _named(mention) in _ARGUMENTS


def _named(mention):
    return mention["ticked"] or mention["name"] or mention["bare"]
