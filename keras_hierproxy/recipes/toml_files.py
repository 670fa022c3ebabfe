"""The files of recipes."""

import pathlib
import tomllib

from keras_hierproxy import json_files, shipped
from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.recipes import older, paths
from keras_hierproxy.recipes.checking import change, from_dict

_MOST_BYTES = 2**20


def folder():
    """Where the recipes are that this package ships."""
    return shipped.folder() / "recipes"


def names():
    """The names of the shipped recipes, sorted.

    Example:

    >>> "hier_resnet50_cub" in khp.recipes.names()
    True
    """
    return sorted(path.stem for path in folder().glob("*.toml"))


def find(name):
    """The file of a recipe.

    Args:
        name: that of a shipped recipe, or the path of a TOML file, of a run's folder
            or of its `run.json`.

    Raises:
        FileNotFoundError: there is none.

    Example:

    >>> khp.recipes.find("hier_resnet50_cub").name
    'hier_resnet50_cub.toml'
    """
    name = str(name)
    if name in names():
        return folder() / f"{name}.toml"
    path = pathlib.Path(name)
    if (path / "run.json").is_file():
        return path / "run.json"
    if path.suffix in (".toml", ".json") and path.is_file():
        return path
    hint = did_you_mean(path.stem, names(), most=3, show=str)
    raise FileNotFoundError(
        f"There is no recipe {name}, neither among the shipped ones nor as a .toml "
        f"file nor as the folder of a run.{hint} `hierproxy zoo list --recipes` lists "
        "the shipped ones."
    )


def load(path, overrides=()):
    """Reads a recipe and checks all of it.

    Args:
        path: of a TOML file, or the name of a shipped recipe; or a run's folder, for
            the recipe that it was trained by.
        overrides: strings such as `"loss.margin=0.2"`, the values as in TOML; an empty
            value leaves the setting out. What they change is listed in `ours`.

    Returns:
        `Recipe`.

    Raises:
        FileNotFoundError: there is no such recipe.
        ValueError: it is no TOML, has fields that no recipe has, lacks some, or has
            values of a wrong type or that do not go together. A line for each, with
            the file and the field.

    Example:

    >>> recipe = khp.recipes.load("hierproxy_cnn_glyphs", ["training.epochs=3"])
    >>> recipe.training.epochs
    3
    """
    path = find(path)
    if path.suffix == ".json":
        recipe = older.of_run(json_files.read(path), path)
        return change(recipe, overrides, path)
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path} has more than {_MOST_BYTES:,} bytes: no recipe does.")
    try:
        # Some editors begin a file with a mark of its encoding.
        tree = tomllib.loads(content.decode("utf-8-sig"))
    except ValueError as error:  # also of numbers of thousands of digits
        raise ValueError(f"{path} is no TOML file: {error}.") from None
    except RecursionError:
        raise ValueError(f"{path} is no recipe: it is nested too deeply.") from None
    tree = paths.changed(tree, overrides)
    if "name" in tree:
        raise ValueError(f"{path}: name: is that of the file. Leave it out.")
    return from_dict({"name": path.stem, **tree}, path)
