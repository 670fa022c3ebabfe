"""The files of recipes."""

import copy
import pathlib
import tomllib

import pydantic

from keras_hierproxy import shipped
from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.recipes import paths
from keras_hierproxy.recipes.combinations import conflicts
from keras_hierproxy.recipes.schema import Recipe
from keras_hierproxy.recipes.wording import in_words

_MOST_BYTES = 2**20


def folder():
    """Where the recipes are that this package ships."""
    return shipped.folder() / "recipes"


def names():
    """The names of the shipped recipes, sorted."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def find(name):
    """The file of a recipe.

    Args:
        name: that of a shipped recipe, or the path of a TOML file.

    Raises:
        FileNotFoundError: there is none.
    """
    name = str(name)
    if name in names():
        return folder() / f"{name}.toml"
    path = pathlib.Path(name)
    if path.suffix == ".toml" and path.is_file():
        return path
    hint = did_you_mean(path.stem, names(), most=3, show=str)
    raise FileNotFoundError(
        f"There is no recipe {name}, neither among the shipped ones nor as a .toml "
        f"file.{hint} `hierproxy zoo list --recipes` lists the shipped ones."
    )


def load(path, overrides=()):
    """Reads a recipe and checks all of it.

    Args:
        path: of a TOML file, or the name of a shipped recipe.
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

    ```python
    from keras_hierproxy import recipes

    recipe = recipes.load("hierproxy_cnn_glyphs", ["training.epochs=3"])
    recipe.training.epochs  # 3
    ```
    """
    path = find(path)
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
    before = copy.deepcopy(tree)
    changed = [paths.change(tree, assignment) for assignment in overrides]
    ours = tree.get("ours", [])
    if changed and isinstance(ours, list):
        # A path that was wrong before is told below.
        gone = [each for each in ours if _is_there(before, each)]
        gone = [each for each in gone if not _is_there(tree, each)]
        tree["ours"] = [each for each in ours if each not in gone]
        tree["ours"] += [each for each in changed if _is_there(tree, each)]
    if "name" in tree:
        raise ValueError(f"{path}: name: is that of the file. Leave it out.")
    return from_dict({"name": path.stem, **tree}, path)


def from_dict(tree, origin):
    """A recipe of nested dicts and lists, such as `recipe.model_dump(mode="json")`.

    Args:
        tree: dict.
        origin: what errors begin with.

    Returns:
        `Recipe`.

    Raises:
        ValueError: as of `load`.
    """
    try:
        recipe = Recipe.model_validate(tree)
    except pydantic.ValidationError as error:
        wrong = in_words(tree, error)
    else:
        wrong = [f"{field}: {explanation}" for field, explanation in conflicts(recipe)]
    if wrong:
        raise ValueError("\n".join(f"{origin}: {line}" for line in wrong))
    return recipe


def _is_there(tree, path):
    try:
        paths.check(tree, path)
    except (ValueError, AttributeError):  # the path may be anything
        return False
    return True
