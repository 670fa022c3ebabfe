"""Where a recipe has what an option of `hierproxy train` says."""

PLACES = {
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
    "from_scratch": "model.backbone",
    "embedding_dim": "model.embedding_dim",
    "epochs": "training.epochs",
    "batch_size": "data.batch_size",
    "images_per_class": "data.images_per_class",
    "learning_rate": "optimizer.learning_rate",
    "proxy_learning_rate": "optimizer.learning_rate.proxies",
    "augment": "data.augment",
    "seed": "training.seeds",
}
# Options that say nothing to other losses.
_ONLY_WITH = {
    "level_sizes": ("hpl", "hpl-hier"),
    "latent_proxies": ("hier", "hpl-hier"),
    "max_triplets": ("hier", "hpl-hier"),
}


def said_of_option(path, explanation):
    """What is wrong with a setting, said of the option that says it, if one does."""
    flags = {place: _flag(option) for option, place in PLACES.items()}
    return f"{flags.get(path, path + ':')} {explanation}"


def refuse_beside_loss(loss, options):
    """Raises for options that say nothing to a loss.

    Args:
        loss: str, as of --loss.
        options: dict; those that are None were not given.
    """
    for option, losses in _ONLY_WITH.items():
        if options[option] is not None and loss not in losses:
            raise ValueError(
                f"{_flag(option)} goes with --loss {' or '.join(losses)}. "
                f"Received: --loss {loss}."
            )


def beside_recipe(options):
    """What options say beside --recipe, as strings of --set.

    Raises:
        ValueError: those that the recipe says.
    """
    for option, value in options.items():
        if option not in ("seed", "epochs"):
            raise ValueError(
                f"{_flag(option)} does not go with --recipe, which says all of it. "
                f"Change {PLACES[option]} with --set. Received: {value}."
            )
    changes = []
    if "epochs" in options:
        changes.append(f"training.epochs={options['epochs']}")
    if "seed" in options:
        # So that whoever repeats the run has its seed, too.
        changes.append(f"training.seeds=[{options['seed']}]")
    return changes


def _flag(option):
    return f"--{option.replace('_', '-')}"
