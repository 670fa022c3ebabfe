"""The embedder of a run."""

import keras

from keras_hierproxy import losses, optimizers
from keras_hierproxy.layers import HierProxies
from keras_hierproxy.models import ImageEmbedder, conv4

# What `--loss` accepts.
LOSSES = {
    "hpl": losses.HierProxyLoss,
    "hpl-taxonomy": losses.HierProxyLoss,
    "proxy-anchor": losses.ProxyAnchorLoss,
    "proxy-nca": losses.ProxyNCALoss,
    "normalized-softmax": losses.NormalizedSoftmaxLoss,
    "soft-triple": losses.SoftTripleLoss,
    "cosface": losses.CosFaceLoss,
    "arcface": losses.ArcFaceLoss,
    "sub-center-arcface": losses.SubCenterArcFaceLoss,
    "multi-similarity": losses.MultiSimilarityLoss,
    "sup-con": losses.SupConLoss,
    "triplet": losses.TripletLoss,
}
_CENTERS = {"soft-triple": 10, "sub-center-arcface": 3}


def build_embedder(settings, train):
    """A compiled embedder for the training classes, from scratch or from a preset."""
    keras.utils.set_random_seed(settings.seed)
    options = {"proxies": _proxies(settings, train)}
    if settings.embedding_dim is not None:
        options["embedding_dim"] = settings.embedding_dim
    if settings.preset is None:
        backbone = conv4(train.images.shape[1:])
        embedder = ImageEmbedder(backbone, **options)
        rates = 1e-3, 1e-3
    else:
        embedder = ImageEmbedder.from_preset(settings.preset, **options)
        rates = 1e-5, 1e-4
    check_images(train, embedder)
    if settings.learning_rate is not None:
        rates = settings.learning_rate, settings.learning_rate
    optimizer = optimizers.grouped(
        embedder,
        backbone=rates[0],
        head=rates[1],
        proxies=settings.proxy_learning_rate,
    )
    embedder.compile(optimizer, loss=LOSSES[settings.loss]())
    return embedder


def check_images(data, embedder):
    """Raises where images do not fit; sizes only where nothing resizes them."""
    expected, received = embedder.input_shape[1:], data.images.shape[1:]
    if getattr(embedder, "preprocessor", None) is not None:
        expected = (None, None, expected[-1])
    if len(expected) != 3 or any(
        e not in (None, r) for e, r in zip(expected, received, strict=True)
    ):
        raise ValueError(
            f"The model takes images of shape {embedder.input_shape[1:]}; those of "
            f"{data.name!r} have shape {received}."
        )


def _proxies(settings, train):
    if settings.level_sizes and settings.loss != "hpl":
        raise ValueError(
            f"--level-sizes goes with --loss hpl. Received: --loss {settings.loss}."
        )
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
        centers_per_class=_CENTERS.get(settings.loss, 1),
        name="proxies",
    )
