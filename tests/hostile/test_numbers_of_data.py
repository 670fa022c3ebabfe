"""Numbers, flags and ids that are none, where data sets and batches take them."""

import functools

import numpy as np
import pytest
from PIL import Image

from keras_hierproxy import datasets
from keras_hierproxy.datasets import samplers
from keras_hierproxy.datasets.glyphs.glyphs import render
from tests.hostile.cases import refused, right
from tests.hostile.numbers import BAD, flags, tried

pytestmark = pytest.mark.host

LABELS = np.arange(16) // 2
DATA = datasets.RetrievalDataset(np.zeros((16, 4, 4, 1), "uint8"), LABELS)
TWO_LEVELS = np.stack([LABELS, LABELS // 2], axis=1)


def balanced(labels=LABELS, **given):
    return samplers.BalancedSampler(
        labels, **{"batch_size": 8, "images_per_class": 2, **given}
    )


def hierarchical(labels=LABELS, super_labels=LABELS // 2, **given):
    numbers = {"batch_size": 8, "images_per_class": 2, "super_classes": 2}
    return samplers.HierarchicalSampler(labels, super_labels, **{**numbers, **given})


def random(**given):
    return samplers.RandomSampler(**{"num_images": 8, "batch_size": 4, **given})


def batches(labels=LABELS, **given):
    return datasets.Batches(DATA.images, labels, **{"batch_size": 4, **given})


def glyphs(seed):
    return datasets.load("glyphs", seed=seed)


def drawn(seed):
    return render("a", seed)


def folder_of(folder, **given):
    for name in ("a", "b", "c", "d"):
        (folder / name).mkdir(exist_ok=True)
        for i in range(2):
            Image.new("L", (4, 4)).save(folder / name / f"{i}.png")
    return datasets.from_directory(folder, 4, **given)


def csv_of(folder, **given):
    folder_of(folder)
    rows = [f"{name}/{i}.png,{name}" for name in "abcd" for i in range(2)]
    (folder / "items.csv").write_text("\n".join(["path,name", *rows]))
    return datasets.from_csv(folder / "items.csv", 4, **given)


def crop(**given):
    return datasets.RandomResizedCrop(**given)


def keras_cv_crop(**given):
    return datasets.KerasCVCrop((8, 8), **given)


# Each with what it is called, and where 0 means something.
NUMBERS = [
    (balanced, "batch_size", False),
    (balanced, "images_per_class", False),
    (hierarchical, "batch_size", False),
    (hierarchical, "images_per_class", False),
    (hierarchical, "super_classes", False),
    (random, "num_images", False),
    (random, "batch_size", False),
    (glyphs, "seed", True),
    (drawn, "seed", True),
    (DATA.batches(4).indices, "epoch", True),
]
CASES = []
for function, name, zero in NUMBERS:
    title = getattr(function, "__name__", "")
    CASES += tried(title, function, name, True, zero, False)
CASES += flags("random", random, "shuffle", "drop_remainder")
CASES += flags("batches", DATA.batches, "shuffle", "drop_remainder")
CASES += flags("RandomResizedCrop", crop, "flip")

RANGES = [
    *((np.nan, 1.0), (0.5, np.nan), (0.5, np.inf), (0, 1), (-1, 1), (1, 0.5)),
    *(("0.5", 1), (True, True), (0.5, 1j), (1,), (0.1, 0.5, 1), (None, 1), ([1], 1)),
    *(1.0, None, "ab", {}, np.array([[0.5, 1.0]])),
]
CASES += [
    refused(
        f"{function.__name__}({name}={value!r})",
        lambda function=function, name=name, value=value: function(**{name: value}),
        f"{name} must be a least and a largest value, above 0",
    )
    for function in (crop, keras_cv_crop)
    for name in ("scale", "ratio")
    for value in RANGES
]
CASES += [
    refused(
        f"KerasCVCrop(image_size={value!r})",
        lambda value=value: datasets.KerasCVCrop(value),
        "image_size",
    )
    for value in (*BAD, 0, -1, 1.5, (8, 0), (8, 8, 8), 10**6)
]
CASES += [
    refused(
        "KerasCVCrop(interpolation='cubic')",
        lambda: keras_cv_crop(interpolation="cubic"),
        "bilinear",
    ),
    right("a range of ints", lambda: crop(scale=[1, 1]).scale, (1.0, 1.0)),
]


def reading(function, **given):
    return lambda folder: function(folder, **given)


# What is read from files is checked before the first is read.
for function in (folder_of, csv_of):
    title = function.__name__
    for name, values in {
        "skip_bad": (1, "no", None, np.nan),
        "memory_limit": (np.nan, np.inf, -1, "1 GB", None, True),
        "seed": (np.nan, -1, 1.5, "0", None, True),
        "split": (
            0.1,
            (0.1,),
            (0.1, np.nan),
            (0.1, -0.1),
            (1, 0),
            ("a", "b"),
            "ab",
            {},
        ),
    }.items():
        CASES += [
            refused(
                f"{title}({name}={value!r})",
                reading(function, **{name: value}),
                f"{name}`? must be|leave no training class",
            )
            for value in values
        ]
CASES += [
    refused(
        f"min_images={value!r}",
        reading(folder_of, min_images=value),
        "`min_images`",
    )
    for value in (*BAD, 0, -1, 1.5, None)
]

# Ids
CASES += [
    refused(
        f"{function.__name__}({name}), {title}",
        lambda function=function, name=name, bad=bad: function(**{name: bad}),
        f"{name} must.*{message}",
    )
    for function, name in (
        (balanced, "labels"),
        (hierarchical, "labels"),
        (hierarchical, "super_labels"),
    )
    for title, bad, message in (
        ("floats", LABELS / 1, "astype"),
        ("one-hot", np.eye(8)[LABELS], "argmax"),
        ("names", LABELS.astype(str), "np.unique"),
        ("two columns", TWO_LEVELS, "shape"),
        ("distractors", LABELS - 1, "dense"),
        ("with a gap", 2 * LABELS, "np.unique"),
        ("empty", LABELS[:0], "shape"),
        ("a number", 3, "shape"),
        ("None", None, "integer class ids"),
    )
]
CASES += [
    refused("Batches, floats", lambda: batches(LABELS / 1), "astype"),
    refused(
        "Batches, one-hot", lambda: batches(np.eye(8, dtype=int)[LABELS]), "argmax"
    ),
    refused("Batches, names", lambda: batches(LABELS.astype(str)), "np.unique"),
    refused("Batches, two levels", lambda: batches(TWO_LEVELS), r"labels\[:, 0\]"),
    refused("Batches, distractors", lambda: batches(LABELS - 1), "distractors"),
    refused("Batches, ids beyond int32", lambda: batches(LABELS + 2**32), "np.unique"),
    refused("Batches, too few", lambda: batches(LABELS[:-1]), "15 rows.*16 images"),
    right("Batches, a column", lambda: batches(LABELS[:, None]).labels, LABELS),
    right("Batches, a list", lambda: batches(LABELS.tolist()).labels, LABELS),
    right("Batches, a gap", lambda: batches(2 * LABELS).labels, 2 * LABELS),
]

# Positions
SUBSETS = [
    1.0,
    "1",
    1j,
    None,
    np.nan,
    True,
    3,
    [],
    [1.5],
    [[0]],
    ["0"],
    [16],
    [-17],
    [True],
    {},
]
CASES += [
    refused(f"subset({value!r})", functools.partial(DATA.subset, value), "indices must")
    for value in SUBSETS
]
CASES += [
    refused(
        f"classes={value!r}",
        functools.partial(DATA.select_classes, value),
        "classes must",
    )
    for value in (1.5, "1", np.nan, np.inf, True, None, [1.5], [], [8], [-1], 10**30)
]
CASES += [
    refused(
        f"select_classes(level={value!r})",
        lambda value=value: DATA.select_classes([0], level=value),
        "`level`",
    )
    for value in (*BAD, -1, 1, None)
]
CASES += [
    refused(
        f"{name}={value!r}",
        lambda name=name, value=value: datasets.RetrievalDataset(
            DATA.images, LABELS, **{name: value}
        ),
        name,
    )
    for name, values in {
        "level_names": ("a", "class", [1], [None], 1.0, True, ["a", "b"]),
        "class_names": ("a", 1.0, True, ["abcdefgh"], [["a"]]),
        "paths": ("a" * 16, 1.0, ["a"]),
    }.items()
    for value in values
]
CASES += [
    right("from the end", lambda: DATA.subset([-1, 0]).class_names, (("0", "7"),)),
    right("a mask", lambda: len(DATA.subset(LABELS == 2)), 2),
    right("a class", lambda: len(DATA.select_classes(np.int8(2))), 2),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_numbers_of_data(case, judge):
    judge("numbers", case)
