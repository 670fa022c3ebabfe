"""Settings of a recipe that do not go together."""

import inspect
import os

from keras_hierproxy import datasets
from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.models.efficientnet_lite import LEAST_SIDE
from keras_hierproxy.recipes import paths
from keras_hierproxy.recipes.backbones import OURS, arguments_of_ours
from keras_hierproxy.recipes.losses import CLASSES, OVER_PROXIES
from keras_hierproxy.recipes.table import unknown

# Options of a reader of images, for data without a name of its own.
_FOLDER_OPTIONS = ("image_size",)
# Options that not every data set has.
_OPTIONS = ("image_size", "validation", "train_groups", "test_groups", "test_split")
# What a preset that is taken as it is brings with it.
_OF_PRESETS = ("embedding_dim", "pooling", "last_norm", "head_initializer")
# Their labels have one level.
_FLAT = ("cub", "cars")


def conflicts(recipe):
    """Yields `(path, explanation)` of what is wrong, field by field."""
    yield from _data(recipe.data)
    yield from _sampler(recipe.data)
    yield from _model(recipe.model)
    yield from _image_size(recipe)
    yield from _loss(recipe)
    yield from _hierarchy(recipe)
    yield from _optimizer(recipe)
    yield from _training(recipe)
    yield from _ours(recipe)


def _data(data):
    if data.name not in datasets.NAMES and not is_path(data.name):
        told = "A folder that is not here is told by a / in its name."
        yield "data.name", f"{no_such_data(data.name)} {told}"
        return
    for name in misplaced(data):
        yield f"data.{name}", f"does not go with {data.name}. Leave it out."


def is_path(name):
    """Whether data is a folder or a CSV file, by its name."""
    return name.lower().endswith(".csv") or "/" in name or os.sep in name


def no_such_data(name):
    """What to say of data that is no data set, no folder and no CSV file."""
    return (
        f"{name!r} is neither a data set ({', '.join(datasets.NAMES)}) nor a folder of "
        f"images nor a .csv file.{did_you_mean(name, datasets.NAMES)}"
    )


def misplaced(source):
    """The options of single data sets that are given for another one.

    Args:
        source: `Source`, of data that there is.

    Returns:
        list of names of fields.
    """
    taken = _FOLDER_OPTIONS
    if source.name in datasets.NAMES:
        taken = parameters(datasets.loader(source.name))
    return [
        name
        for name in _OPTIONS
        if getattr(source, name) is not None and name not in taken
    ]


def parameters(function):
    """The names of a function's arguments."""
    return tuple(inspect.signature(function).parameters)


def _sampler(data):
    needed = {
        "random": (),
        "balanced": ("images_per_class",),
        "hierarchical": ("images_per_class", "super_classes", "super_level"),
    }
    for name in needed["hierarchical"]:
        given = getattr(data, name) is not None
        if given and name not in needed[data.sampler]:
            yield f"data.{name}", f"does not go with the {data.sampler} sampler."
        if not given and name in needed[data.sampler]:
            yield f"data.{name}", f"is missing: the {data.sampler} sampler needs it."
            return
    if data.sampler == "random":
        return
    if data.batch_size % data.images_per_class:
        yield (
            "data.images_per_class",
            f"must divide the batch. Received: {data.images_per_class} images of each "
            f"class in a batch of {data.batch_size}.",
        )
        return
    classes = data.batch_size // data.images_per_class
    if data.sampler == "hierarchical" and classes % data.super_classes:
        yield (
            "data.super_classes",
            f"must divide the {classes} classes of a batch. Received: "
            f"{data.super_classes}.",
        )
    if data.sampler == "hierarchical" and data.name in _FLAT:
        yield "data.super_level", f"the labels of {data.name} have one level."


def _model(model):
    ball = model.geometry.name == "poincare_ball"
    for name in ("curvature", "clip_radius"):
        given = getattr(model.geometry, name) is not None
        if ball and not given:
            yield f"model.geometry.{name}", "is missing: the ball has one."
        if given and not ball:
            yield f"model.geometry.{name}", "does not go with the sphere."
    backbone = model.backbone
    if backbone.architecture is None:
        if backbone.preset is None:
            yield (
                "model.backbone.architecture",
                f"is missing: {' or '.join(OURS)}, or a class of keras_hub.models such "
                "as ResNetBackbone. Or name a preset in model.backbone.preset.",
            )
        for name in backbone.arguments:
            yield (
                f"model.backbone.arguments.{name}",
                "goes with model.backbone.architecture, which is not there.",
            )
    else:
        for name in _OF_PRESETS:
            if getattr(model, name) is None:
                yield f"model.{name}", "is missing."
    if backbone.architecture == "conv4" and backbone.preset is not None:
        yield "model.backbone.preset", "does not go with conv4, which has none."
    if model.fit_to_ink is not None and backbone.preset is not None:
        yield (
            "model.fit_to_ink",
            "does not go with model.backbone.preset, which prepares images itself.",
        )
    if backbone.architecture in OURS:
        taken = arguments_of_ours(backbone.architecture)
        for name in backbone.arguments:
            if name not in taken:
                yield f"model.backbone.arguments.{name}", unknown(name, taken)
        for name in ("scale", "offset"):
            if getattr(backbone, name) is not None:
                yield (
                    f"model.backbone.{name}",
                    f"does not go with {backbone.architecture}, which scales.",
                )
    elif (backbone.preset, backbone.scale) == (None, None):
        if backbone.architecture is not None:
            yield (
                "model.backbone.scale",
                "is missing: without a preset nothing says how pixels are scaled. "
                "0.00392156862745098 brings them to [0, 1].",
            )


def _image_size(recipe):
    side, backbone = recipe.data.image_size, recipe.model.backbone
    if backbone.architecture == "efficientnet_lite" and side is not None:
        if side < LEAST_SIDE:
            default = ", which photos start from but for --from-scratch"
            yield (
                "data.image_size",
                f"must be at least {LEAST_SIDE} for efficientnet_lite"
                f"{default if backbone.preset else ''}. Received: {side}.",
            )


def _loss(recipe):
    names = [term.name for term in recipe.loss]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"loss.{name}", "stands there more than once. Add up its weights."
    over_proxies = [name for name in names if name in OVER_PROXIES]
    if recipe.has_loss("hier"):
        if recipe.model.geometry.name != "poincare_ball":
            yield (
                "model.geometry.name",
                "must be poincare_ball: HIER measures in hyperbolic space. Received: "
                f"{recipe.model.geometry.name}.",
            )
        if recipe.proxies.latent is None:
            yield "proxies.latent", "is missing: HIER reads latent proxies."
    elif recipe.proxies.latent is not None:
        yield "proxies.latent", "goes with the loss hier, which is not there."
    if recipe.proxies.centers_per_class > 1:
        for name in over_proxies:
            if CLASSES[name].centers_per_class == 1:
                yield (
                    "proxies.centers_per_class",
                    f"must be 1 for {name}. Received: "
                    f"{recipe.proxies.centers_per_class}.",
                )
    if not over_proxies and recipe.proxies.orthogonality is not None:
        yield "proxies.orthogonality", _NO_PROXIES


_NO_PROXIES = f"goes with a loss over proxies: {', '.join(OVER_PROXIES)}."


def _hierarchy(recipe):
    hierarchy = recipe.proxies.hierarchy
    if hierarchy is None:
        return
    path = "proxies.hierarchy"
    if not any(term.name in OVER_PROXIES for term in recipe.loss):
        yield path, _NO_PROXIES
    sizes, weights = hierarchy.level_sizes, hierarchy.level_weights
    if not hierarchy.learned and recipe.data.name in _FLAT:
        yield (
            f"{path}.learned",
            f"must be true: the labels of {recipe.data.name} have one level. "
            "(`--loss hpl` learns a hierarchy.)",
        )
    for name in ("level_sizes", "warmup_epochs", "every"):
        if not hierarchy.learned and getattr(hierarchy, name) is not None:
            yield f"{path}.{name}", "is for hierarchies that are learned."
    for name in ("warmup_epochs", "every"):
        if hierarchy.learned and getattr(hierarchy, name) is None:
            yield f"{path}.{name}", "is missing: a learned hierarchy needs it."
    if sizes and sizes != sorted(sizes, reverse=True):
        yield f"{path}.level_sizes", f"go from fine to coarse. Received: {sizes}."
    if weights and hierarchy.learned and len(weights) != 1 + len(sizes or [0]):
        yield (
            f"{path}.level_weights",
            f"needs {1 + len(sizes or [0])} numbers, the classes' first. Received: "
            f"{weights}.",
        )


def _optimizer(recipe):
    rates, schedule = recipe.optimizer.learning_rate, recipe.optimizer.schedule
    for name, used, user in (
        (
            "proxies",
            any(term.name in OVER_PROXIES for term in recipe.loss),
            "a loss over proxies",
        ),
        ("latent", recipe.has_loss("hier"), "the loss hier"),
    ):
        path, given = f"optimizer.learning_rate.{name}", getattr(rates, name)
        if used and given is None:
            yield path, f"is missing: {user} is there."
        if given is not None and not used:
            yield path, f"goes with {user}, which is not there."
    for name in ("epochs", "gamma"):
        path, given = f"optimizer.schedule.{name}", getattr(schedule, name)
        if schedule.name == "step" and given is None:
            yield path, "is missing: the step schedule needs it."
        if schedule.name != "step" and given is not None:
            yield path, f"does not go with the {schedule.name} schedule."
    epochs = recipe.training.epochs
    if recipe.optimizer.warmup_epochs >= epochs:
        yield (
            "optimizer.warmup_epochs",
            f"must be below the {epochs} epochs of the run. Received: "
            f"{recipe.optimizer.warmup_epochs}.",
        )


def _training(recipe):
    seeds = recipe.training.seeds
    if len(set(seeds)) < len(seeds):
        yield "training.seeds", f"must differ from each other. Received: {seeds}."
    if recipe.training.selection == "best" and recipe.data.validation == 0:
        yield (
            "training.selection",
            "must be last, or data.validation above 0: without validation classes no "
            "epoch is known to be best.",
        )
    reported = recipe.reported
    if reported is not None and len(reported.k) != len(reported.recall):
        yield (
            "reported.recall",
            f"needs one number for each k. Received: {reported.recall} for "
            f"{reported.k}.",
        )


def _ours(recipe):
    tree = recipe.model_dump(exclude_none=True)
    for path in recipe.ours:
        try:
            paths.check(tree, path)
        except ValueError as error:
            yield "ours", f"{path}: {error}"
