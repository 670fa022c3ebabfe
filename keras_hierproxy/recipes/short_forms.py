"""The options of `hierproxy train` (`--loss hpl`, `--preset`, ...), made a recipe."""

import inspect
import os

from keras_hierproxy import optimizers
from keras_hierproxy.callbacks import HierarchyUpdate
from keras_hierproxy.geometry import PoincareBall
from keras_hierproxy.losses import registry
from keras_hierproxy.models import ImageEmbedder
from keras_hierproxy.recipes.checking import absolute, checked
from keras_hierproxy.recipes.losses import CLASSES, OVER_PROXIES
from keras_hierproxy.recipes.paths import changed
from keras_hierproxy.recipes.places import refuse_beside_loss, said_of_option

# What `--loss` names besides the losses themselves, and the loss that it is made of.
METHODS = {
    "hpl": "proxy_anchor",
    "hpl-taxonomy": "proxy_anchor",
    "hier": "proxy_anchor",
    "hpl-hier": "proxy_anchor",
    "hyp": "sup_con",
}
LOSSES = (*METHODS, *(name.replace("_", "-") for name in CLASSES if name != "hier"))
_HIERARCHICAL = ("hpl", "hpl-taxonomy", "hpl-hier")
_WITH_HIER = ("hier", "hpl-hier")
_ON_THE_BALL = (*_WITH_HIER, "hyp")
# Letters, whose sides and borders mean something; other data is photos.
DRAWN = ("glyphs", "omniglot", "letters")
# What photos start from, and the rates that suit it. Where batch normalization followed
# the photos of a user, other classes than those trained on were retrieved worse than
# before training, so it is frozen: see docs/guides/photos.md.
PHOTOS = "efficientnet_lite0_imagenet"
_OF_PHOTOS = {"backbone": 3e-4, "head": 5e-4}
_AUGMENT = {"affine": "RandomAffine", "crop": "RandomResizedCrop", "none": None}


def from_options(options, changes=()):
    """The recipe of a run without --recipe.

    Args:
        options: dict of those of `hierproxy train` that were given, of `DEFAULTS`.
        changes: strings `path=value`, of --set.

    Returns:
        `Recipe`.

    Raises:
        ValueError: options that do not go together, in their words.

    Example:

    >>> recipe = khp.recipes.from_options({"data": "glyphs", "loss": "proxy-anchor"})
    >>> recipe.loss[0].name, recipe.training.epochs
    ('proxy_anchor', 10)
    """
    recipe, wrong = checked(changed(_without_none(_tree(**options)), changes))
    if wrong:
        raise ValueError("\n".join(said_of_option(*each) for each in wrong))
    return recipe


def _tree(
    data="glyphs",
    train_groups=None,
    test_groups=None,
    test_split=None,
    image_size=None,
    loss="hpl",
    level_sizes=None,
    latent_proxies=None,
    max_triplets=None,
    preset=None,
    from_scratch=False,
    embedding_dim=None,
    epochs=10,
    batch_size=None,
    images_per_class=None,
    learning_rate=None,
    proxy_learning_rate=1e-2,
    augment=None,
    seed=0,
):
    """A recipe as nested dicts and lists."""
    refuse_beside_loss(loss, locals())
    if loss not in LOSSES:
        raise ValueError(f"--loss takes any of {', '.join(LOSSES)}. Received: {loss}.")
    if from_scratch and preset is not None:
        raise ValueError(
            "--from-scratch does not go with --preset, which names what to start "
            f"from. Received: --preset {preset}."
        )
    if preset is None and not from_scratch and data not in DRAWN:
        preset = PHOTOS
    if batch_size is None:
        batch_size = 32 if preset == PHOTOS else 128
    main = METHODS.get(loss, loss.replace("-", "_"))
    terms = [_term(main, temperature=0.2) if loss == "hyp" else _term(main)]
    if loss in _WITH_HIER:
        terms.append(_term("hier", weight=0.5, max_triplets=max_triplets))
        latent_proxies = latent_proxies or 512

    if images_per_class is None and loss in _ON_THE_BALL:
        images_per_class = 2
    elif images_per_class is None and CLASSES[main].over_pairs:
        images_per_class = 4
    if images_per_class is not None and images_per_class < batch_size:
        batch_size -= batch_size % images_per_class  # whole classes
    if augment is None:
        augment = "affine" if data in DRAWN else "crop"

    rates = _defaults(optimizers.grouped)
    if preset is None:
        rates |= optimizers.FROM_SCRATCH
    elif preset == PHOTOS:
        rates |= _OF_PHOTOS
    if learning_rate is not None:
        rates |= dict.fromkeys(("backbone", "head"), learning_rate)
    stem = os.path.basename(os.path.abspath(data)).removesuffix(".csv")
    return {
        "name": f"{stem}-{loss}",
        "description": f"{loss} on {stem}",
        "source": "The options of hierproxy train, and its defaults",
        "data": {
            "name": absolute(data),
            "image_size": image_size,
            "train_groups": train_groups,
            "test_groups": test_groups,
            "test_split": test_split,
            "batch_size": batch_size,
            "sampler": "random" if images_per_class is None else "balanced",
            "images_per_class": images_per_class,
            "augment": [{"name": name} for name in [_AUGMENT[augment]] if name],
        },
        "model": _model(preset, embedding_dim)
        | {"geometry": _BALL if loss in _ON_THE_BALL else {"name": "sphere"}},
        "proxies": {
            "centers_per_class": getattr(CLASSES[main], "centers_per_class", 1),
            "latent": latent_proxies,
            "hierarchy": _hierarchy(loss, level_sizes),
        },
        "loss": terms,
        "optimizer": {
            "name": "adamw",
            "weight_decay": rates["weight_decay"],
            "epsilon": rates["epsilon"],
            "warmup_epochs": 0,
            "learning_rate": {
                "backbone": rates["backbone"],
                "head": rates["head"],
                "proxies": proxy_learning_rate if main in OVER_PROXIES else None,
                "latent": rates["latent"] if loss in _WITH_HIER else None,
            },
            "schedule": {"name": "constant"},
        },
        "training": {
            "epochs": epochs,
            "seeds": [seed],
            "precision": "float32",
            "selection": "best",
        },
    }


def _term(name, **changes):
    """A loss with the arguments of its class."""
    known = _defaults(CLASSES[name], *registry.arguments(CLASSES[name]))
    return {"name": name, "weight": 1.0, **known, **changes}


def _model(preset, embedding_dim):
    if preset not in (None, PHOTOS):
        backbone = {"preset": absolute(preset)}
        return {"embedding_dim": embedding_dim, "backbone": backbone}
    known = _defaults(ImageEmbedder)
    architecture = "conv4" if preset is None else "efficientnet_lite"
    return {
        "embedding_dim": embedding_dim or known["embedding_dim"],
        "pooling": known["pooling"],
        "last_norm": known["last_norm"],
        "head_initializer": known["head_initializer"],
        "freeze": None if preset is None else ["batch_norm"],
        "backbone": {"preset": preset, "architecture": architecture},
    }


def _without_none(tree):
    """What a file can say: what is None is left out."""
    if isinstance(tree, dict):
        return {n: _without_none(v) for n, v in tree.items() if v is not None}
    return [_without_none(each) for each in tree] if isinstance(tree, list) else tree


def _hierarchy(loss, level_sizes):
    if loss not in _HIERARCHICAL:
        return None
    if loss == "hpl-taxonomy":
        return {"learned": False}
    update = _defaults(HierarchyUpdate, "warmup_epochs", "every")
    return {"learned": True, "level_sizes": level_sizes, **update}


def _defaults(function, *names):
    """Those of a function's arguments; by default of all."""
    parameters = inspect.signature(function).parameters
    return {name: parameters[name].default for name in names or parameters}


# Of the options.
DEFAULTS = _defaults(_tree)
_BALL = {
    "name": "poincare_ball",
    **_defaults(PoincareBall, "curvature", "clip_radius"),
}
