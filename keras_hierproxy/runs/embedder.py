"""The embedder of a run."""

import keras

from keras_hierproxy import losses, optimizers, recipes
from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.layers import HierProxies, LatentHierarchy
from keras_hierproxy.losses import registry
from keras_hierproxy.models import ImageEmbedder, conv4
from keras_hierproxy.runs.settings import WITH_HIER

# What `--loss` accepts, and the (main) loss that it means.
LOSSES = {
    "hpl": losses.HierProxyLoss,
    "hpl-taxonomy": losses.HierProxyLoss,
    "hier": losses.ProxyAnchorLoss,
    "hpl-hier": losses.HierProxyLoss,
    "hyp": losses.SupConLoss,
}
_OTHERS = {name.replace("_", "-"): each for name, each in registry.losses().items()}
LOSSES = {**LOSSES, **{n: each for n, each in _OTHERS.items() if n not in LOSSES}}
_HYPERBOLIC = (*WITH_HIER, "hyp")


def build_embedder(settings, train):
    """A compiled embedder for the training classes, from scratch or from a preset."""
    recipe = settings.plan()
    if recipe is not None:
        steps = len(recipes.batches(recipe, train, settings.seed))
        embedder = recipes.build_embedder(recipe, train, settings.seed, steps)
        check_images(train, embedder)
        return embedder
    keras.utils.set_random_seed(settings.seed)
    geometry = PoincareBall() if settings.loss in _HYPERBOLIC else Sphere()
    options = {
        "proxies": _proxies(settings, train),
        "geometry": geometry,
        "latent": _latent(settings, geometry),
    }
    if settings.embedding_dim is not None:
        options["embedding_dim"] = settings.embedding_dim
    if settings.preset is None:
        backbone = conv4(train.images.shape[1:])
        embedder = ImageEmbedder(backbone, **options)
        rates = optimizers.FROM_SCRATCH
    else:
        embedder = ImageEmbedder.from_preset(settings.preset, **options)
        rates = {}  # those of `grouped`
    check_images(train, embedder)
    if settings.learning_rate is not None:
        rates = rates | dict.fromkeys(("backbone", "head"), settings.learning_rate)
    optimizer = optimizers.grouped(
        embedder, proxies=settings.proxy_learning_rate, **rates
    )
    embedder.compile(optimizer, loss=_loss(settings, geometry))
    return embedder


def _loss(settings, geometry):
    if settings.loss == "hyp":
        return losses.SupConLoss(temperature=0.2, geometry=geometry)
    loss = LOSSES[settings.loss]()
    if settings.loss in WITH_HIER:
        loss = loss + 0.5 * losses.HIERLoss(max_triplets=settings.max_triplets)
    return loss


def check_images(data, embedder):
    """Raises where images do not fit; sizes only where nothing resizes them."""
    expected, received = embedder.input_shape[1:], data.images.shape[1:]
    if getattr(embedder, "preprocessor", None) is not None:
        expected = (None, None, expected[-1])
    if len(expected) != 3 or any(
        e not in (None, r) for e, r in zip(expected, received, strict=True)
    ):
        square = len(expected) == 3 and expected == (*expected[:1] * 2, received[-1])
        raise ValueError(
            f"The model takes images of shape {embedder.input_shape[1:]}; those of "
            f"{data.name!r} have shape {received}."
            + (f" Pass image_size={expected[0]}." if square else "")
        )


def _latent(settings, geometry):
    if settings.loss in WITH_HIER:
        return LatentHierarchy(settings.latent_proxies or 512, geometry, name="latent")
    return None


def _proxies(settings, train):
    if settings.loss == "hpl-taxonomy":
        if train.num_levels < 2:
            raise ValueError(
                "--loss hpl-taxonomy needs labels of two or more levels, and "
                f"{train.name!r} has one. Take --loss hpl, which learns a hierarchy."
            )
        return HierProxies(train.num_classes, taxonomy=train.taxonomy, name="proxies")
    return HierProxies(
        train.num_classes,
        level_sizes=tuple(settings.level_sizes) if settings.level_sizes else "auto",
        centers_per_class=getattr(LOSSES[settings.loss], "centers_per_class", 1),
        name="proxies",
    )
