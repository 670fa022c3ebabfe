"""Folders of runs from strangers: what is read before anything is computed."""

import dataclasses
import json
import os
import re

import numpy as np
import pytest

from keras_hierproxy import recipes, runs
from keras_hierproxy.models.backup import read_metadata
from keras_hierproxy.runs.history import columns, read_rows
from keras_hierproxy.runs.record import read_record
from tests.hostile.cases import refused, right
from tests.hostile.mutations import mutate, settle

pytestmark = pytest.mark.host
NUM_MUTATIONS = int(os.environ.get("MUTATIONS", 150))
REST = {
    "test_before": {"recall@1": 0.5, "map": None, "num_queries": 4},
    "backend": "torch",
    "data": {"train": {"images": 8, "class": 4}, "test": {"images": 8, "class": 4}},
}
SETTINGS = {"data": "glyphs", "loss": "hpl", "epochs": 2, "level_sizes": [3]}
RECIPE = recipes.from_options(SETTINGS)
PLACE = {"root": None, "skip_bad": False, "seed": 3}
RECORD = REST | {"version": 2, "recipe": recipes.as_dict(RECIPE), "place": PLACE}
# As it was before runs were recipes.
OLDER = REST | {"settings": SETTINGS}
METRICS = {
    "test": {"recall@1": 0.5},
    "evaluation": {
        "data": "glyphs",
        "fingerprint": "0",
        "num_queries": 2,
        "level_names": ["class"],
        "metrics": ["recall@1"],
    },
}
QUERIES = b"row,path,class,recall@1\r\n0,a,x,1.0\r\n1,b,x,0.0\r\n"
HISTORY = b"epoch,loss,val_recall@1\r\n0,1.5,0.5\r\n1,1.0,0.75\r\n"
METADATA = {"epoch": 2, "batch": 0, "weights": "epoch2.weights.h5"}
FILES = ("run.json", "metrics.json", "training_metadata.json")


def make(folder, **contents):
    files = {
        "run.json": json.dumps(RECORD).encode(),
        "metrics.json": json.dumps(METRICS).encode(),
        "training_metadata.json": json.dumps(METADATA).encode(),
        "queries.csv": QUERIES,
        "history.csv": HISTORY,
    }
    for name, content in (files | contents).items():
        (folder / name).write_bytes(content)
    return folder


def read(folder):
    """All that is read of a run."""
    return (
        read_record(folder, to_resume=True),
        runs.evaluation_source(folder, None, {}),
        compare(folder),
        read_metadata(folder),
        columns(read_rows(folder / "history.csv")),
    )


def compare(folder):
    whole = folder / "whole"
    whole.mkdir(exist_ok=True)
    return runs.compare_runs(make(whole), folder)


def reads(name, content):
    return lambda folder: read(make(folder, **{name: content}))


def older(**values):
    content = OLDER | {"settings": SETTINGS | values}
    return reads("run.json", json.dumps(content).encode())


def recipe(table=None, **values):
    content = recipes.as_dict(RECIPE)
    (content[table] if table else content).update(values)
    return record(recipe=content)


def record(**values):
    return reads("run.json", json.dumps(RECORD | values).encode())


def evaluation(**values):
    content = {"evaluation": METRICS["evaluation"] | values}
    return reads("metrics.json", json.dumps(content).encode())


def backup(**values):
    return reads("training_metadata.json", json.dumps(METADATA | values).encode())


def pipe(folder):
    make(folder)
    (folder / "run.json").unlink()
    os.mkfifo(folder / "run.json")
    return read_record(folder)


def is_whole(found):
    return (
        (found[0].recipe, found[0].backend) == (RECIPE, "torch")
        and found[0].data == REST["data"]
        and found[0].test_before == REST["test_before"]
        and found[4] == {"loss": [1.5, 1.0], "val_recall@1": [0.5, 0.75]}
    )


CASES = [
    right("as it was written", lambda folder: read(make(folder)), is_whole),
    right(
        "a mark of the encoding",
        reads("run.json", b"\xef\xbb\xbf" + json.dumps(RECORD).encode()),
        is_whole,
    ),
    right("as it was written before", older(), is_whole),
    right(
        "the place",
        lambda folder: dataclasses.asdict(read(make(folder))[0].place),
        PLACE,
    ),
    right("the place before", lambda folder: older(seed=5)(folder)[0].place.seed, 5),
    right(
        "a recipe before",
        older(recipe=recipes.as_dict(RECIPE), loss="hpl"),
        is_whole,
    ),
    refused("older: epochs 1.5", older(epochs=1.5), "run.json.*epochs"),
    refused("older: data null", older(data=None), "run.json.*data"),
    refused("older: unknown", older(colour=1), "run.json.*colour"),
    refused("older: a loss", older(loss="mse", level_sizes=None), "run.json.*--loss"),
    refused("older: together", older(max_triplets=3), "run.json.*max-trip"),
    refused("older: a recipe", older(recipe={}), "run.json.*data: is missing"),
    refused("older: skip_bad 1", older(skip_bad=1), "run.json.*skip_bad"),
    refused("a later version", record(version=3), "run.json.*version"),
    refused("no version", record(version=None), "run.json.*version"),
    refused("epochs 1.5", recipe("training", epochs=1.5), "run.json.*epochs"),
    refused("data null", recipe("data", name=None), "run.json.*data.name"),
    refused("an unknown table", recipe(colour=1), "run.json.*colour: is unknown"),
    refused(
        "what does not go together",
        recipe("training", selection="best", epochs=0),
        "run.json.*epochs",
    ),
    refused("a recipe of nothing", record(recipe={}), "run.json.*data: is missing"),
    refused("no recipe", record(recipe=None), "run.json.*recipe"),
    refused("no place", record(place=None), "run.json.*place"),
    refused("seed -1", record(place={"seed": -1}), "run.json.*place.seed"),
    refused("skip_bad 1", record(place={"skip_bad": 1}), "run.json.*skip_bad"),
    refused("backend 3", record(backend=3), "run.json.*backend"),
    refused("images -1", record(data={"test": {"images": -1}}), "run.json.*images"),
    refused(
        "a test as text", record(test_before={"map": "x"}), "run.json.*test_before"
    ),
    refused("a list", reads("run.json", b"[]"), "run.json.*object"),
    refused("empty", reads("run.json", b""), "run.json.*no JSON"),
    refused("NaN", reads("run.json", b'{"recipe": NaN}'), "run.json.*NaN"),
    refused("1e999", reads("run.json", b'{"recipe": 1e999}'), "run.json.*too large"),
    refused("digits", reads("run.json", b"9" * 10**5), "run.json.*too large"),
    refused("twice", reads("run.json", b'{"a": 1, "a": 2}'), "run.json.*twice"),
    refused("deep", reads("run.json", b'{"a":' * 10**5), "run.json.*nested"),
    refused("latin", reads("run.json", b'{"a": "\xe9"}'), "run.json.*utf-8"),
    refused(
        "utf-16", reads("run.json", json.dumps(RECORD).encode("utf-16")), "run.json"
    ),
    refused("large", reads("run.json", b" " * 2**25), "run.json.*bytes"),
    refused("a named pipe", pipe, "run.json.*not a file"),
    refused("no evaluation", reads("metrics.json", b"{}"), "metrics.json.*evaluation"),
    refused("queries x", evaluation(num_queries="x"), "metrics.json.*num_queries"),
    refused("more queries", evaluation(num_queries=3), "queries.csv"),
    refused("no levels", evaluation(level_names=[]), "metrics.json.*level_names"),
    refused("metrics 3", evaluation(metrics=3), "metrics.json.*metrics"),
    refused(
        "no numbers", reads("queries.csv", QUERIES.replace(b"1.0", b"x")), "queries.csv"
    ),
    refused(
        "a large cell",
        reads("queries.csv", b'"' + b"x" * 2**20 + b'"\n'),
        "queries.csv",
    ),
    refused("queries empty", reads("queries.csv", b""), "queries.csv"),
    refused("queries cut", reads("queries.csv", QUERIES[:-3]), "queries.csv"),
    refused(
        "history x", reads("history.csv", HISTORY.replace(b"1.0", b"x")), "history.csv"
    ),
    refused(
        "history short",
        reads("history.csv", HISTORY.replace(b",0.5", b"")),
        "history.csv",
    ),
    refused(
        "history large",
        reads("history.csv", b'"' + b"x" * 2**20 + b'"\n'),
        "history.csv",
    ),
    refused("epoch -1", backup(epoch=-1), "training_metadata.json.*epoch"),
    refused("epoch null", backup(epoch=None), "training_metadata.json.*epoch"),
    refused(
        "weights outside", backup(weights="../x.h5"), "training_metadata.json.*weights"
    ),
    refused(
        "weights absolute", backup(weights="/x.h5"), "training_metadata.json.*weights"
    ),
    refused("callbacks 3", backup(callbacks=3), "training_metadata.json.*callbacks"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_runs(case, judge):
    judge("runs", case)


@pytest.mark.parametrize("seed", range(NUM_MUTATIONS))
def test_mutated_runs(seed, judge, tmp_path):
    file = make(tmp_path) / FILES[seed % len(FILES)]
    name = f"{file.name}: {mutate(file, seed)}"
    message = re.escape(file.name) + "|same queries|queries.csv"
    settle(judge, "runs", name, lambda: read(tmp_path), message, _is_plain)


def _is_plain(found):
    json.dumps(recipes.as_dict(found[0].recipe))
    json.dumps(dataclasses.asdict(found[0].place))
    return np.isfinite([each.first for each in found[2][1].values()]).all()
