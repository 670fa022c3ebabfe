"""What `--loss` names: methods, and the losses that the package exports.

To import the package would import Keras, before the backend is chosen; so its losses
are read off the sources, by the rule of `keras_hierproxy/losses/registry.py`.
"""

import ast
import importlib.util
import pathlib
import re

METHODS = ("hpl", "hpl-taxonomy", "hier", "hpl-hier", "hyp")


def _losses():
    package = pathlib.Path(importlib.util.find_spec("keras_hierproxy").origin).parent
    for line in _parse(package / "losses" / "__init__.py").body:
        if isinstance(line, ast.ImportFrom):
            exported = [alias.name for alias in line.names]
            path = package.parent.joinpath(*line.module.split(".")).with_suffix(".py")
            for node in _parse(path).body:
                if isinstance(node, ast.ClassDef) and node.name in exported:
                    code = ast.unparse(node)
                    name = re.search(r"\bname='(\w+)_loss'", code)
                    if name and "made_of_losses = True" not in code:
                        yield name[1].replace("_", "-")


def _parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


LOSSES = (*METHODS, *sorted(set(_losses()) - set(METHODS)))
