"""Numbers that are none, of the wrong sign or kind, at every constructor.

The arguments are found in the signatures, so that a new class is tried, too: what takes
a number by default must refuse each of these.
"""

import functools
import inspect

import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy import datasets
from tests.hostile.cases import refused, right
from tests.hostile.numbers import BAD, numeric, tried

DATA = datasets.RetrievalDataset(np.zeros((8, 4, 4, 1), "uint8"), np.arange(8) // 2)
MODEL = []


def model():
    """One, for what needs it."""
    if not MODEL:
        MODEL.append(
            khp.models.ImageEmbedder(khp.models.conv4((16, 16, 1), 2), 4, None, 4)
        )
    return MODEL[0]


def public(module, *left_out):
    found = [getattr(module, name) for name in dir(module)]
    return [
        each
        for each in found
        if inspect.isclass(each)
        and each.__module__.startswith("keras_hierproxy")
        and each.__name__ not in left_out
        and not each.__name__.startswith("_")
    ]


# What is needed beside the argument that is tried.
NEEDED = {
    "Proxies": {"num_classes": 4},
    "HierProxies": {"num_classes": 4},
    "SampledProxies": {"num_classes": 4, "num_sampled": 2},
    "SoftOrthogonality": {"strength": 1.0},
    "RetrievalEvaluation": {"data": DATA},
    "KerasCVCrop": {"image_size": (8, 8)},
}
# Where None, 0, or less means something.
MAY_BE_NEGATIVE = {"margin", "base"}
MAY_BE_ZERO = MAY_BE_NEGATIVE | {
    "strength",
    "rotation",
    "scale",
    "shear",
    "translation",
    "fill",
    "warmup_epochs",
    "warmup_steps",
    "seed",
    "weight_decay",
    "workers",
    "backbone",
    "head",
    "proxies",
    "latent",
    "clipvalue",
}
ARC_FACE = ("ArcFaceLoss", "SubCenterArcFaceLoss")
POSITIVE_SCALE = (*ARC_FACE, "CosFaceLoss", "SoftTripleLoss")
CONSTRUCTORS = [
    *public(khp.losses, "EmbeddingLoss", "BoundLoss", "ProxyLoss", "SumLoss"),
    *public(khp.layers),
    *public(khp.regularizers),
    *public(khp.callbacks),
    *public(khp.geometry),
    *public(datasets.augment, "KerasLayers", "KerasCVCrop", "PerImage"),
]


def of(constructor):
    title = constructor.__name__
    needed = NEEDED.get(title, {})
    for name, whole in numeric(constructor):
        zero = name in MAY_BE_ZERO and not (name == "scale" and title in POSITIVE_SCALE)
        negative = name in MAY_BE_NEGATIVE
        # A whole default such as 0 or 10 may still be of a real number.
        whole = whole and name not in ("rotation", "shear")
        yield from tried(
            title,
            lambda constructor=constructor, **given: constructor(**{**needed, **given}),
            name,
            whole,
            zero or title == "FitToInk",
            negative and title not in (*ARC_FACE, "HIERLoss"),
        )


def grouped(**given):
    return khp.optimizers.grouped(model(), **given)


def batches(**given):
    return DATA.batches(**{"batch_size": 4, **given})


CASES = [case for constructor in CONSTRUCTORS for case in of(constructor)]
for name, whole in numeric(khp.optimizers.grouped):
    CASES += tried("grouped", grouped, name, whole, name in MAY_BE_ZERO, False)
for name in ("batch_size", "seed", "workers"):
    CASES += tried("batches", batches, name, True, name in MAY_BE_ZERO, False)
for name in ("images_per_class", "super_classes"):
    balanced = lambda **given: batches(sampler="balanced", **given)  # noqa: E731
    CASES += tried("batches", balanced, name, True, False, False)
for value in (*BAD, 1.5, 0, -1):
    CASES += [
        refused(
            f"Proxies(num_classes={value!r})",
            lambda value=value: khp.layers.Proxies(value),
            "num_classes",
        ),
        refused(
            f"HierProxies(level_sizes=({value!r},))",
            lambda value=value: khp.layers.HierProxies(8, level_sizes=(value,)),
            "level_sizes",
        ),
        refused(
            f"conv4(filters={value!r})",
            lambda value=value: khp.models.conv4(filters=value),
            "filters",
        ),
        refused(
            f"max_triplets={value!r}",
            lambda value=value: khp.losses.HIERLoss(max_triplets=value),
            "max_triplets",
        ),
        refused(
            f"gradient_accumulation_steps={value!r}",
            lambda value=value: grouped(gradient_accumulation_steps=value),
            "gradient_accumulation_steps",
        ),
    ]
for value in (*BAD, -1):
    CASES += [
        refused(
            f"level_weights=[1, {value!r}]",
            lambda value=value: khp.losses.HierProxyLoss(level_weights=[1, value]),
            "level_weights",
        ),
        refused(
            f"{value!r} * loss",
            lambda value=value: khp.losses.SumLoss([khp.losses.TripletLoss()], [value]),
            "scaled by a number",
        ),
        refused(
            f"clipvalue={value!r}",
            lambda value=value: grouped(clipvalue=value),
            "clipvalue",
        ),
    ]
for value in ((True, 2), (1.5, 2), (0, True), (0, "2"), (0, 2.0), (2, 2), (0,), None):
    CASES.append(
        refused(f"host={value!r}", lambda value=value: batches(host=value), "host must")
    )
for name in ("validation", "test", "seed", "level"):
    whole = name in ("seed", "level")
    CASES += tried("split", DATA.split, name, whole, True, False)
    of_none = functools.partial(DATA.split, **{name: None})
    CASES.append(refused(f"split({name}=None)", of_none, name))
CASES += [
    refused("a schedule that is none", lambda: grouped(schedule=0.1), "schedule"),
    refused(
        "level_weights=2", lambda: khp.losses.HierProxyLoss(level_weights=2), "list"
    ),
    right("margin=0", lambda: khp.losses.ProxyAnchorLoss(margin=0).margin, 0.0),
    right(
        "NumPy's numbers",
        lambda: khp.losses.ProxyAnchorLoss(np.float32(0.5), np.int64(16)).get_config(),
        lambda config: (config["margin"], config["alpha"]) == (0.5, 16.0),
    ),
    right("a rate of 0", lambda: len(grouped(backbone=0).optimizers) > 1, True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_numbers(case, judge):
    judge("numbers", case)


def test_every_room_is_tried():
    titles = {str(case).partition("(")[0] for case in CASES}
    assert titles >= {"ProxyAnchorLoss", "HIERLoss", "PoincareBall", "RandomAffine"}
    assert titles >= {"Proxies", "LatentHierarchy", "HierarchyUpdate", "FitToInk"}
