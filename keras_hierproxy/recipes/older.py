"""`run.json`, also of the form that it had before runs were recipes."""

import pydantic

from keras_hierproxy import json_files
from keras_hierproxy.recipes.checking import change, from_dict
from keras_hierproxy.recipes.short_forms import from_options
from keras_hierproxy.schemas import Text


def of_run(content, origin):
    """The recipe that a `run.json` holds.

    Args:
        content: what was read.
        origin: what errors begin with.

    Returns:
        `Recipe`.

    Raises:
        ValueError: it holds none, or one that is wrong.
    """
    if not is_older(content):
        recipe = content.get("recipe") if isinstance(content, dict) else None
        if not isinstance(recipe, dict):
            raise ValueError(f"{origin} is missing, which the run.json of a run holds.")
        return from_dict(recipe, origin)
    json_files.check(content["settings"], origin, OlderSettings)
    settings = OlderSettings(**content["settings"])
    if settings.recipe is None:
        # Photos, too, started from nothing where no preset was named.
        options = settings.model_dump(exclude=_NOT_OPTIONS)
        return from_options({**options, "from_scratch": settings.preset is None})
    recipe = from_dict(settings.recipe, origin)
    if settings.epochs != recipe.training.epochs:
        recipe = change(recipe, [f"training.epochs={settings.epochs}"], origin)
    return recipe


def is_older(content):
    """Whether a `run.json` was written before runs were recipes."""
    if not isinstance(content, dict) or "version" in content:
        return False
    return isinstance(content.get("settings"), dict)


class OlderSettings(pydantic.BaseModel):
    """What stood for a recipe, and for the place of a run: the options given."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    data: Text = "glyphs"
    root: Text | None = None
    train_groups: list[str] | None = None
    test_groups: list[str] | None = None
    test_split: str | None = None
    image_size: int | None = None
    skip_bad: bool = False
    loss: str = "hpl"
    level_sizes: list[int] | None = None
    latent_proxies: int | None = None
    max_triplets: int | None = None
    preset: Text | None = None
    embedding_dim: int | None = None
    epochs: int = 10
    batch_size: int = 128
    images_per_class: int | None = None
    learning_rate: float | None = None
    proxy_learning_rate: float = 1e-2
    augment: str | None = None
    seed: int = 0
    # Of runs by a recipe, which said the rest.
    validation: float | None = None
    quarter_turns: bool = False
    recipe: dict | None = None


_NOT_OPTIONS = {"root", "skip_bad", "validation", "quarter_turns", "recipe"}
