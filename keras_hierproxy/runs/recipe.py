"""Runs by a recipe, instead of options."""

import dataclasses

from keras_hierproxy import recipes
from keras_hierproxy.runs.settings import Settings

# Options that go beside a recipe.
_BESIDE = ("root", "skip_bad", "seed", "epochs")
# Where a recipe has what other options say.
_PLACES = {
    "data": "data.name",
    "train_groups": "data.train_groups",
    "test_groups": "data.test_groups",
    "test_split": "data.test_split",
    "image_size": "data.image_size",
    "loss": "loss.name (for HPL, proxies.hierarchy)",
    "level_sizes": "proxies.hierarchy.level_sizes",
    "latent_proxies": "proxies.latent",
    "max_triplets": "loss.hier.max_triplets",
    "preset": "model.backbone.preset",
    "embedding_dim": "model.embedding_dim",
    "batch_size": "data.batch_size",
    "images_per_class": "data.images_per_class",
    "learning_rate": "optimizer.learning_rate",
    "proxy_learning_rate": "optimizer.learning_rate.proxies",
    "augment": "data.augment",
}


def recipe_settings(name, overrides, given):
    """The settings of a run by a recipe.

    Args:
        name: of a shipped recipe, or the path of a TOML file.
        overrides: strings `path=value`, of --set.
        given: dict of the options that were given.

    Returns:
        dict, for `Settings`.

    Raises:
        ValueError: options that the recipe says; those of `khp.recipes.load`.
        FileNotFoundError: no such recipe.
    """
    for option, value in given.items():
        if option not in _BESIDE:
            raise ValueError(
                f"--{option.replace('_', '-')} does not go with --recipe, which says "
                f"all of it. Change {_PLACES[option]} with --set. Received: {value}."
            )
    settings = Settings.of_recipe(recipes.load(name, overrides), **given)
    settings.plan()  # Whether it goes with the epochs given.
    return dataclasses.asdict(settings)
