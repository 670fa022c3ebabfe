"""Docstrings as mkdocstrings reads them.

Keras writes `Example:` and leaves what follows at the margin, and several arguments
that are alike as `a, b: text`. The parser of Google's style wants the one indented and
the others apart. Used by mkdocs.yml alone.
"""

import inspect
import pydoc
import re

import griffe

HEADING = re.compile(r"^Examples?:\n\n(.*)\Z", re.M | re.S)
SEVERAL = re.compile(r"^    (\w+(?:, \w+)+):((?: .*|\n {8}.*)+)", re.M)
# Sections that may stand below an example.
NEXT = re.compile(r"^(?:Args|Returns|Raises|Attributes|References):\n", re.M)


def for_google(docstring):
    """The docstring with an entry for each argument, and its example as a section."""
    return HEADING.sub(_indented, SEVERAL.sub(_apart, docstring))


def _apart(match):
    return "\n".join(f"    {name}:{match[2]}" for name in match[1].split(", "))


def _indented(match):
    example, rest = match[1], ""
    if following := NEXT.search(example):
        example, rest = example[: following.start()], example[following.start() :]
    lines = [f"    {line}" if line else "" for line in example.splitlines()]
    return "Examples:\n" + "\n".join(lines) + f"\n\n{rest}"


class KerasExamples(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj, **kwargs):
        if obj.is_function:
            _as_it_runs(obj)
        if obj.docstring:
            obj.docstring.value = for_google(obj.docstring.value)


def _as_it_runs(function):
    """Of a function whose signature is made, as `load_cub`, what it has at last."""
    value = pydoc.locate(function.path)
    if not hasattr(value, "__signature__"):
        return
    function.docstring.value = inspect.getdoc(value)
    function.parameters = griffe.Parameters(
        *(
            griffe.Parameter(
                each.name,
                kind=griffe.ParameterKind(each.kind.description),
                default=None if each.default is each.empty else repr(each.default),
            )
            for each in inspect.signature(value).parameters.values()
        )
    )
