"""What a recipe describes: batches, embedder, loss, optimizer."""

import contextlib
import os

import keras

from keras_hierproxy import datasets, losses, optimizers
from keras_hierproxy.callbacks import HierarchyUpdate
from keras_hierproxy.layers import FitToInk, HierProxies, LatentHierarchy, Proxies
from keras_hierproxy.models import ImageEmbedder
from keras_hierproxy.recipes.backbones import (
    build_backbone,
    build_scaling,
    load_preset,
)
from keras_hierproxy.recipes.losses import OVER_PROXIES

# Fields of a recipe's model that are arguments of `ImageEmbedder`.
_OF_THE_HEAD = {"embedding_dim", "pooling", "last_norm", "head_initializer"}


def batches(recipe, train, seed):
    """The batches of a run.

    Args:
        recipe: `Recipe`.
        train: `khp.datasets.RetrievalDataset`.
        seed: int.

    Returns:
        `khp.datasets.Batches`.

    Example:

    >>> recipe = khp.recipes.load("hierproxy_cnn_glyphs")
    >>> batches = khp.recipes.batches(recipe, khp.datasets.load("glyphs").train, seed=0)
    """
    options = {
        "images_per_class": recipe.data.images_per_class,
        "super_classes": recipe.data.super_classes,
        "level": recipe.data.super_level,
    }
    options = {name: value for name, value in options.items() if value is not None}
    if isinstance(train.images, datasets.ImageFiles):
        options["workers"] = os.cpu_count()
    return train.batches(
        recipe.data.batch_size,
        sampler=recipe.data.sampler,
        seed=seed,
        augment=[each.build() for each in recipe.data.augment],
        **options,
    )


def build_embedder(recipe, train, seed, steps_per_epoch, load_weights=True):
    """A compiled embedder.

    Args:
        recipe: `Recipe`.
        train: as of `batches`.
        seed: int.
        steps_per_epoch: int.
        load_weights: bool, whether to get those of the backbone's preset; without,
            nothing is downloaded.

    Returns:
        `khp.models.ImageEmbedder`.

    Raises:
        ValueError: no such backbone, or arguments or settings that do not fit it or
            the data.

    Example:

    >>> recipe = khp.recipes.load("hierproxy_cnn_glyphs")
    >>> train = khp.datasets.load("glyphs").train
    >>> embedder = khp.recipes.build_embedder(recipe, train, 0, steps_per_epoch=100)
    >>> embedder.embedding_dim
    128
    """
    keras.utils.set_random_seed(seed)
    with _precision(recipe.training.precision):
        embedder = _embedder(recipe, train, load_weights)
        compile_embedder(recipe, embedder, steps_per_epoch)
    return embedder


def compile_embedder(recipe, embedder, steps_per_epoch):
    """Compiles an embedder, or what is left to train of it, as its recipe says."""
    embedder.compile(optimizer(recipe, embedder, steps_per_epoch), loss=loss(recipe))


def loss(recipe):
    """The sum of the recipe's terms."""
    terms = [_term(recipe, term) for term in recipe.loss]
    weights = [term.weight for term in recipe.loss]
    return terms[0] if weights == [1.0] else losses.SumLoss(terms, weights)


def optimizer(recipe, embedder, steps_per_epoch):
    """AdamW with the recipe's rates."""
    settings = recipe.optimizer
    rates = settings.learning_rate.model_dump(exclude_none=True)
    return optimizers.grouped(
        embedder,
        **rates,
        weight_decay=settings.weight_decay,
        epsilon=settings.epsilon,
        clipvalue=settings.clipvalue,
        warmup_steps=settings.warmup_epochs * steps_per_epoch,
        schedule=settings.schedule.build(recipe.training.epochs, steps_per_epoch),
    )


def callbacks(recipe):
    """What `fit` needs besides the embedder and the batches.

    Args:
        recipe: `Recipe`.

    Returns:
        List of callbacks: of HPL with a learned hierarchy `HierarchyUpdate`.

    Example:

    >>> recipe = khp.recipes.load("hierproxy_cnn_glyphs")
    >>> [type(each).__name__ for each in khp.recipes.callbacks(recipe)]
    ['HierarchyUpdate']
    """
    hierarchy = recipe.proxies.hierarchy
    if hierarchy is None or not hierarchy.learned:
        return []
    return [HierarchyUpdate(hierarchy.warmup_epochs, hierarchy.every)]


def _embedder(recipe, train, load_weights):
    model, backbone = recipe.model, recipe.model.backbone
    shape = train.images.shape[1:]
    if backbone.preset is not None and (load_weights or backbone.architecture is None):
        return load_preset(recipe, shape, lambda: _options(recipe, train))
    steps = [build_scaling(backbone)]
    if model.fit_to_ink is not None:
        steps.insert(0, FitToInk(model.fit_to_ink))
        shape = (model.fit_to_ink, model.fit_to_ink, shape[2])
    steps = [step for step in steps if step is not None]
    preprocessor = keras.layers.Pipeline(steps) if len(steps) > 1 else (*steps, None)[0]
    network = build_backbone(backbone, shape)
    return ImageEmbedder(network, preprocessor=preprocessor, **_options(recipe, train))


def _options(recipe, train):
    """Arguments of `ImageEmbedder`, with layers that are in no model yet."""
    geometry = recipe.model.geometry.build()
    options = recipe.model.model_dump(exclude_none=True, include=_OF_THE_HEAD)
    options["geometry"] = geometry
    options["proxies"] = _proxies(recipe, train)
    options["latent"] = None
    if recipe.proxies.latent is not None:
        latent = LatentHierarchy(recipe.proxies.latent, geometry, name="latent")
        options["latent"] = latent
    if recipe.model.freeze:
        options["frozen"] = recipe.model.freeze
    return options


def _proxies(recipe, train):
    settings, hierarchy = recipe.proxies, recipe.proxies.hierarchy
    if not any(term.name in OVER_PROXIES for term in recipe.loss):
        return None
    options = {"centers_per_class": settings.centers_per_class, "name": "proxies"}
    if settings.orthogonality is not None:
        options["regularizer"] = settings.orthogonality.build()
    if hierarchy is None:
        return Proxies(train.num_classes, **options)
    if hierarchy.learned:
        sizes = hierarchy.level_sizes
        sizes = "auto" if sizes is None else tuple(sizes)
        return HierProxies(train.num_classes, level_sizes=sizes, **options)
    if train.num_levels < 2:
        raise ValueError(
            "proxies.hierarchy.learned: must be true, since the labels of "
            f"{train.name!r} have one level. (`--loss hpl` learns a hierarchy.)"
        )
    return HierProxies(train.num_classes, taxonomy=train.taxonomy, **options)


def _term(recipe, term):
    result = term.build_loss(recipe.model.geometry.build())
    hierarchy = recipe.proxies.hierarchy
    if hierarchy is not None and term.name in OVER_PROXIES:
        return losses.HierProxyLoss(result, hierarchy.level_weights)
    return result


@contextlib.contextmanager
def _precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
