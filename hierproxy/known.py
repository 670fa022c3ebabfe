"""What options name, known before Keras is there.

To import the package would import Keras, before the backend is chosen and seconds
before anything can be refused; so its names are read off the sources, losses by the
rule of `keras_hierproxy/losses/registry.py`.
"""

import ast
import importlib.util
import pathlib
import re

_PACKAGE = pathlib.Path(importlib.util.find_spec("keras_hierproxy").origin).parent


def _losses():
    for line in _parse("losses/__init__.py"):
        if isinstance(line, ast.ImportFrom):
            exported = [alias.name for alias in line.names]
            for node in _parse("/".join(line.module.split(".")[1:]) + ".py"):
                if isinstance(node, ast.ClassDef) and node.name in exported:
                    code = ast.unparse(node)
                    name = re.search(r"\bname='(\w+)_loss'", code)
                    if name and "made_of_losses = True" not in code:
                        yield name[1].replace("_", "-")


def _keys(path, table):
    """The keys of a dict that stands in a module under a name."""
    for line in _parse(path):
        if isinstance(line, ast.Assign) and line.targets[0].id == table:
            return tuple(ast.literal_eval(key) for key in line.value.keys)


def _parse(path):
    return ast.parse((_PACKAGE / path).read_text(encoding="utf-8")).body


DATA_SETS = _keys("datasets/__init__.py", "_LOADERS")
METHODS = _keys("recipes/short_forms.py", "METHODS")
LOSSES = (*METHODS, *sorted(set(_losses()) - set(METHODS)))
