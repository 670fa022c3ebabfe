"""Labels, ids and groups that are wrong, or easily taken for something else."""

import warnings
from functools import partial

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.callbacks import RetrievalEvaluation
from keras_hierproxy.datasets import RetrievalDataset, from_csv
from keras_hierproxy.retrieval import count_positives, evaluate, score_queries
from tests import tiny
from tests.hostile.cases import refused, right
from tests.official_layouts import write_jpeg

N = 12
POINTS = np.random.default_rng(0).normal(size=(N, 6)).astype("float32")
Y = np.arange(N) % 4
# Nested: four classes in two.
NESTED = np.stack([Y, Y // 2], axis=1)
RECALL = {"k": 1, "metrics": ["recall"]}


def objects(*values):
    array = np.empty(N, object)
    array[:] = (values * N)[:N]
    return array


def masked(mask):
    return np.ma.masked_array(Y, mask=mask)


def huge():
    return Y.astype("uint64") + np.uint64(2**63)


# Name, labels, and what every door must say of them.
BAD = [
    ("one-hot, float", np.eye(4)[Y], "float64.*argmax"),
    ("one-hot, float32", np.eye(4, dtype="float32")[Y], "float32.*argmax"),
    ("one-hot, bool", np.eye(4, dtype=bool)[Y], "bool.*argmax"),
    ("one-hot, int", np.eye(4, dtype=int)[Y], "argmax"),
    ("one-hot, int8", np.eye(4, dtype="int8")[Y], "argmax"),
    ("multi-hot, int", np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]] * 4), "hot"),
    ("multi-hot, float", np.array([[1.0, 1, 0], [1, 0, 1]] * 6), "float64"),
    ("levels reversed", NESTED[:, ::-1], r":, ::-1|y\[:, 0\]"),
    ("levels that cross", np.stack([Y, np.arange(N) // 6], 1), "nested|several levels"),
    ("complex", Y.astype("complex64"), "complex64"),
    ("floats that are whole", Y.astype("float64"), "astype"),
    ("float16", Y.astype("float16"), "float16"),
    ("bool", Y > 1, "bool"),
    ("NaN", np.where(Y > 2, np.nan, Y), "NaN here, pass -1"),
    ("infinity", np.where(Y > 2, np.inf, Y), "float64"),
    ("strings", np.array(list("abcd"))[Y], "np.unique"),
    ("bytes", np.array([b"a", b"b"])[Y % 2], "np.unique"),
    ("objects, int", objects(0, 1), "object"),
    ("objects, mixed", objects(0, "a"), "object"),
    ("objects, None", objects(0, None), "object"),
    ("list of strings", list("abcd") * 3, "np.unique"),
    ("list of mixed kinds", [0, "a"] * 6, "np.unique"),
    ("list with None", [0, None] * 6, "object"),
    ("ragged list", [[0], [0, 1]] * 6, "ragged|as many entries"),
    ("dates", np.arange(N).astype("datetime64[D]"), "datetime64"),
    ("masked", masked(Y > 2), r"masked array.*filled\(-1\)"),
    ("masked, nothing hidden", masked(False), "masked array"),
    ("uint64 beside int64", [np.uint64(2**63), np.int64(-1)] * 6, "float64"),
    ("uint64 beyond int64", huge(), "2\\^63"),
    ("below -1", Y - 2, "-2"),
    ("one of -100", np.where(Y == 3, -100, Y), "-100"),
    ("empty", np.zeros(0, int), "at least one row|as many rows|rows|empty"),
    ("no levels", np.zeros((N, 0), int), r"\(12, 0\)"),
    ("three axes", np.zeros((N, 1, 1), int), r"\(12, 1, 1\)"),
    ("a number", 3, r"\(\)"),
    ("nothing", None, "object|without labels"),
    ("a dict", {0: 1}, "object|dict"),
    ("too few", Y[:-1], "11"),
    ("too many", np.append(Y, 0), "13"),
]


def dataset(labels):
    return RetrievalDataset(np.zeros((N, 2, 2, 1), "uint8"), labels)


def train(labels, loss=None):
    tiny.compiled_model(loss).fit(POINTS, labels, verbose=0)


# Every door that takes labels.
DOORS = {
    "evaluate": lambda labels: evaluate(POINTS, labels, **RECALL),
    "queries": lambda labels: evaluate(POINTS, labels, POINTS[:5], Y[:5], **RECALL),
    "gallery": lambda labels: evaluate(POINTS[:5], Y[:5], POINTS, labels, **RECALL),
    "clusters": lambda labels: score_queries(POINTS, labels, metrics=["ami"]),
    "RetrievalDataset": dataset,
    "RetrievalEvaluation": lambda labels: RetrievalEvaluation((POINTS, labels), k=1),
    "fit": train,
}
# Beside labels of one level, those of several are refused for that.
CASES = [
    refused(
        f"{door}: {name}",
        lambda door=door, y=y: DOORS[door](y),
        f"{message}|same levels" if door in ("queries", "gallery") else message,
    )
    for door in DOORS
    for name, y, message in BAD
]


CASES += [
    refused("fit: -1", lambda: train(Y - 1), "distractor.*y >= 0"),
    refused(
        "fit: -1, pairs", lambda: train(Y - 1, khp.losses.SupConLoss()), "distractor"
    ),
    refused("fit: several levels", lambda: train(NESTED), r"y\[:, 0\]"),
    refused(
        "fit: an id beyond int32",
        lambda: train(Y + 2**32, khp.losses.SupConLoss()),
        "4294967296.*np.unique",
    ),
    refused("fit: too large an id", lambda: train(Y + 1), "from 0 to 3"),
    refused(
        "batches of distractors",
        lambda: dataset(Y - 1).batches(4),
        "no class.*data.subset",
    ),
    refused("all distractors, data", lambda: dataset(Y * 0 - 1), "hold a class"),
    refused(
        "all distractors, evaluate",
        lambda: evaluate(POINTS, Y * 0 - 1, **RECALL),
        "no class",
    ),
    refused(
        "known class in an unknown one",
        lambda: evaluate(POINTS, np.stack([Y, Y * 0 - 1], 1), **RECALL),
        "all finer ones",
    ),
    refused(
        "nested apart, not together",
        lambda: evaluate(POINTS[:2], [[0, 0]] * 2, POINTS, [[0, 1]] * N, **RECALL),
        "query_labels and gallery_labels must be nested",
    ),
    refused(
        "nothing to find, evaluation",
        lambda: RetrievalEvaluation((POINTS, np.arange(N)), k=1),
        "all metrics would be NaN",
    ),
    refused(
        "nothing to find outside the group",
        lambda: RetrievalEvaluation(
            RetrievalDataset(POINTS, Y, groups=Y), k=1, metrics=["map@r"]
        ),
        "outside its group",
    ),
    refused(
        "count_positives of floats", lambda: count_positives(Y / 1), "query_labels.*int"
    ),
]

# Labels that look unusual and are right.
GOOD = [
    ("list", Y.tolist()),
    ("tuple", tuple(Y.tolist())),
    ("list of numpy numbers", list(Y)),
    ("one column", Y[:, None]),
    ("int8", Y.astype("int8")),
    ("uint8", Y.astype("uint8")),
    ("uint64", Y.astype("uint64")),
    ("not contiguous", np.repeat(Y, 2)[::2]),
    ("big-endian", Y.astype(">i4")),
    ("read-only", np.frombuffer(Y.tobytes(), Y.dtype)),
    ("a tensor of the backend", lambda: keras.ops.convert_to_tensor(Y.astype("int32"))),
]
EXPECTED = evaluate(POINTS, Y, **RECALL)


def of_kind(labels):
    return labels() if callable(labels) else labels


def evaluated(labels):
    return evaluate(POINTS, of_kind(labels), **RECALL)


def ids_of_data(labels):
    return dataset(of_kind(labels)).labels[:, 0]


CASES += [
    right(f"evaluate: {name}", partial(evaluated, y), EXPECTED) for name, y in GOOD
]
CASES += [
    right(f"RetrievalDataset: {name}", partial(ids_of_data, y), Y) for name, y in GOOD
]
CASES += [
    right(f"fit: {name}", partial(train, y, None), None)
    for name, y in GOOD
    if isinstance(y, np.ndarray)
]


def recall(labels, points=None, **arguments):
    points = np.eye(len(labels)) if points is None else points
    return evaluate(points, labels, **RECALL | arguments)


CASES += [
    right(
        "ids beyond 2^53 are told apart",
        lambda: recall([2**60, 2**60 + 1, 2**60, 2**60 + 1])["recall@1"],
        0.25,
    ),
    right(
        "uint64 queries, int64 gallery",
        lambda: evaluate(
            np.eye(2),
            np.uint64([2**60, 2**60 + 1]),
            np.eye(2)[::-1],
            np.int64([2**60, 2**60 + 1]),
            **RECALL,
        )["recall@1"],
        0.0,
    ),  # fmt: skip
    right(
        "distractors",
        lambda: recall([0, 0, -1, -1]),
        {"recall@1": 1.0, "num_queries": 2, "num_excluded": 0},
    ),
    right(
        "distractors in the gallery",
        lambda: evaluate(np.eye(3), [-1, 0, 1], np.eye(3)[::-1], [1, -1, -1], **RECALL),
        {"recall@1": 1.0, "num_queries": 2, "num_excluded": 1},
    ),
    right(
        "a class known on the coarser level alone",
        lambda: recall([[-1, 0], [-1, 0], [-1, -1], [1, 1], [1, 1]]),
        {
            "recall@1": 0.0,
            "num_queries": 4,
            "num_excluded": 2,
            "level1_recall@1": 0.5,
            "level1_num_excluded": 0,
        },
    ),  # fmt: skip
    right(
        "all of the gallery is excluded",
        lambda: recall([0, 0, 0], groups=["a", "a", "a"]),
        {"recall@1": np.nan, "num_queries": 3, "num_excluded": 3},
    ),
    right(
        "k past what is left counts as no hit",
        lambda: recall([0, 0, 1, 0], groups=[1, 1, 1, 2], k=3)["recall@3"],
        1.0,
    ),
    right("groups of none", lambda: recall(Y, POINTS, groups=[""] * N), EXPECTED),
    right("ids of their own", lambda: recall(Y, POINTS, query_ids=range(N)), EXPECTED),
    right(
        "distractors of a data set",
        lambda: dataset(np.where(Y == 3, -1, Y)).class_names,
        (("0", "1", "2"),),
    ),
]


def warned(action):
    """How many warnings an action ends with."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return len(caught)


CASES += [
    right(
        "queries in the gallery warn",
        lambda: warned(lambda: evaluate(POINTS[:3], Y[:3], POINTS, Y, **RECALL)),
        1,
    ),
    right(
        "with ids they do not",
        lambda: warned(
            lambda: evaluate(
                POINTS[:3], Y[:3], POINTS, Y,
                query_ids=range(3), gallery_ids=range(N), **RECALL,
            )
        ),
        0,
    ),
    right(
        "one-hot labels of two classes, which nest, warn",
        lambda: warned(lambda: recall(np.eye(2, dtype=int)[Y % 2], POINTS)),
        1,
    ),
    refused(
        "one-hot labels of two classes, data",
        lambda: dataset(np.eye(2, dtype=int)[Y % 2]),
        "look one-hot: pass `labels.argmax",
    ),
]  # fmt: skip

# Ids and groups.
KEYS = [
    ("floats", np.arange(N) / 1, "integers or strings.*float64"),
    ("NaN", np.full(N, np.nan), "integers or strings"),
    ("None", [None] * N, "integers or strings"),
    ("complex", np.arange(N) * 1j, "integers or strings"),
    ("bool", Y > 1, "integers or strings"),
    ("masked", masked(Y > 2), "integers or strings"),
    ("too few", range(N - 1), r"\(12,\)"),
    ("two columns", NESTED, r"\(12,\)"),
    ("ragged", [[0], [0, 1]] * 6, "as many entries"),
    ("a number", 3, r"\(12,\)"),
]
CASES += [
    refused(
        f"{key}: {name}",
        lambda key=key, values=values: evaluate(POINTS, Y, **RECALL, **{key: values}),
        f"{key} must.*{message}",
    )
    for key in ("query_ids", "groups")
    for name, values, message in KEYS
]


def grouped(values):
    return RetrievalDataset(POINTS, Y, groups=values)


CASES += [
    refused(
        f"groups of a data set: {name}",
        partial(grouped, values),
        f"groups must.*{message}",
    )
    for name, values, message in KEYS
]


def csv_of(folder, *rows, header="path,name"):
    for i, row in enumerate(rows):
        write_jpeg(folder / row.split(",")[0], i)
    (folder / "items.csv").write_text("\n".join([header, *rows]) + "\n")
    return from_csv(folder / "items.csv", image_size=8, split=None)


def csv_of_unknown_queries(folder):
    rows = ["a.jpg,x,train", "b.jpg,y,train", "c.jpg,p,query", "d.jpg,q,gallery"]
    for i, row in enumerate(rows):
        write_jpeg(folder / row.split(",")[0], i)
    (folder / "items.csv").write_text("\n".join(["path,name,split", *rows]) + "\n")
    return from_csv(folder / "items.csv", image_size=8)


CASES += [
    refused(
        "csv: queries whose class the gallery lacks",
        csv_of_unknown_queries,
        r"No query.*\['p'\].*\['q'\]",
    ),
    refused(
        "csv: a group and no label",
        lambda folder: csv_of(folder, "a.jpg,1", header="path,group"),
        "one or more levels",
    ),
    right(
        "csv: groups",
        lambda folder: (
            csv_of(
                folder, "a.jpg,x,1", "b.jpg,x,", "c.jpg,y,1", header="path,name,group"
            ).groups
        ),
        [0, -1, 0],
    ),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_labels(case, judge):
    judge("labels", case)
