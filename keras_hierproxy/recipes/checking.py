"""Recipes as nested dicts and lists, checked."""

import os

import pydantic

from keras_hierproxy import datasets
from keras_hierproxy.recipes import paths
from keras_hierproxy.recipes.combinations import conflicts
from keras_hierproxy.recipes.schema import Recipe
from keras_hierproxy.recipes.wording import in_words


def from_dict(tree, origin):
    """A recipe of nested dicts and lists, such as `recipe.model_dump(mode="json")`.

    Args:
        tree: dict.
        origin: what errors begin with.

    Returns:
        `Recipe`.

    Raises:
        ValueError: as of `load`.

    Example:

    >>> recipe = khp.recipes.load("hierproxy_cnn_glyphs")
    >>> khp.recipes.from_dict(recipe.model_dump(mode="json"), "again") == recipe
    True
    """
    recipe, wrong = checked(tree)
    if wrong:
        lines = [f"{origin}: {path}: {explanation}" for path, explanation in wrong]
        raise ValueError("\n".join(lines))
    return recipe


def checked(tree):
    """A recipe, and what is wrong with it.

    Args:
        tree: as of `from_dict`.

    Returns:
        `(Recipe, [(path, explanation), ...])`; None instead of the first where it
        cannot be read.
    """
    try:
        recipe = Recipe.model_validate(tree)
    except pydantic.ValidationError as error:
        return None, in_words(tree, error)
    return recipe, list(conflicts(recipe))


def change(recipe, overrides, origin):
    """Another recipe, with some settings changed.

    Args:
        recipe: `Recipe`.
        overrides: as of `load`.
        origin: what errors begin with.

    Raises:
        ValueError: as of `load`.

    Example:

    >>> recipe = khp.recipes.load("hierproxy_cnn_glyphs")
    >>> changed = khp.recipes.change(recipe, ["training.epochs=3"], "--set")
    >>> changed.training.epochs
    3
    """
    if not overrides:
        return recipe
    return from_dict(paths.changed(as_dict(recipe), overrides), origin)


def as_dict(recipe):
    """A recipe as nested dicts and lists, of what JSON and TOML hold."""
    return recipe.model_dump(mode="json", exclude_none=True)


def absolute(name):
    """A path that exists, as it is called in any folder; any other name as it is."""
    is_path = name not in datasets.NAMES and os.path.exists(name)
    return os.path.abspath(name) if is_path else name
