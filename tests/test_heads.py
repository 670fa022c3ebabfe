"""benchmarks/heads.py refuses test classes, and goes on where it was killed."""

import importlib.util
import json
import types
from pathlib import Path

import numpy as np
import pytest

import keras_hierproxy as khp

pytestmark = pytest.mark.host

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "heads.py"


@pytest.fixture(scope="module")
def heads():
    spec = importlib.util.spec_from_file_location("heads", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def part(names):
    """Three photos of each class; those whose names begin alike belong together."""
    groups, parents = np.unique([name[0] for name in names], return_inverse=True)
    fine = np.repeat(np.arange(len(names)), 3)
    features = np.random.default_rng(0).normal(size=(len(fine), 5)).astype("float32")
    labels = np.stack([fine, parents[fine]], axis=1)
    return khp.datasets.RetrievalDataset(features, labels, [names, tuple(groups)])


def splits(train=("ax", "ay", "bx"), validation=("cx", "dx"), test=("ex", "ey", "fx")):
    return khp.datasets.Splits(part(train), part(validation), part(test))


@pytest.mark.parametrize("doing", ["train", "validation"])
def test_no_test_class_is_trained_or_tuned_on(heads, doing):
    with pytest.raises(ValueError, match="1 of the 2 classes .* test classes: ey"):
        heads.Experiment(splits(**{doing: ("zx", "ey")}))


def test_nor_is_one_that_came_later(heads):
    experiment = heads.Experiment(splits())
    experiment.parts = splits(train=("ax", "fx"), validation=("cx", "ex"))
    with pytest.raises(ValueError, match="to train on, are test classes: fx"):
        experiment.train(heads.METHODS["Proxy-Anchor"], {}, seed=0)
    with pytest.raises(ValueError, match="to tune on, are test classes: ex"):
        experiment.tuning_scores(head=None)


def test_every_method_builds_with_every_draw(heads):
    data = part(tuple(f"{group}{kind}" for group in "abc" for kind in "xyz"))
    for name, method in heads.METHODS.items():
        for trial in (0, 1):
            settings = heads.draw(method, trial, data.num_classes)
            assert heads.build(method, settings, 5, data).compiled, name


def test_methods_share_what_they_have_in_common(heads):
    base = heads.draw(heads.METHODS["Proxy-Anchor"], 3, 100)
    more = heads.draw(heads.METHODS["HPL, learned + SO"], 3, 100)
    assert base == {name: more[name] for name in base}
    assert len(more) == len(base) + 4
    for name, value in more.items():
        _, low, high = heads.SPACE[name]
        assert low <= value <= high
    assert base != heads.draw(heads.METHODS["Proxy-Anchor"], 4, 100)


class Killed(Exception):
    pass


def an_experiment(trained, dies_at=None):
    """Counts what is trained instead of training it."""

    def train(method, settings, seed):
        if len(trained) == dies_at:
            raise Killed
        trained.append(settings["head_rate"])
        return len(trained)

    return types.SimpleNamespace(
        train=train,
        tuning_scores=lambda head: {"recall@1": 0.5, "map@r": head % 5 / 10},
        parts=splits(),
    )


def test_a_killed_script_repeats_nothing(heads, tmp_path):
    path, method, whole = tmp_path / "results.jsonl", "Proxy-Anchor", []
    heads.tune(heads.Results(tmp_path / "other"), an_experiment(whole), "d", method, 6)
    first, second = [], []
    with pytest.raises(Killed):
        heads.tune(heads.Results(path), an_experiment(first, 4), "d", method, 6)
    with path.open("a") as file:
        file.write('{"data": "d", "meth')
    heads.tune(heads.Results(path), an_experiment(second), "d", method, 6)
    assert len(first) == 4
    assert first + second == whole
    lines = path.read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(7))


def test_the_best_trial_is_taken_and_no_run_is_measured_twice(heads, tmp_path):
    results = heads.Results(tmp_path / "results.jsonl")
    assert results.tuned("d", "Hyp") is None
    heads.tune(results, an_experiment([]), "d", "Hyp", 6)
    # The trained heads score 0.1, 0.2, 0.3, 0.4, 0.0, 0.1, 0.2.
    best = heads.draw(heads.METHODS["Hyp"], 3, 3)
    assert results.tuned("d", "Hyp") == best
    with pytest.raises(ValueError, match="There is a result"):
        results.add(next(iter(results.records.values())))


def test_levels_shared_by_the_first_wrong_neighbour(heads):
    points = np.array([[1, 0], [1, 0.01], [1, 0.1], [1, 0.4], [0, 1]], "float32")
    labels = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 2, 1]])
    shared = [
        heads.levels_shared_by_first_wrong(
            points, labels, np.array([row]), khp.geometry.Sphere()
        )
        for row in range(5)
    ]
    assert shared == [2, 2, 2, 1, 0]


def test_a_part_of_the_photos_and_of_the_classes(heads):
    experiment = heads.Experiment(splits(train=("ax", "ay", "az", "bx")))
    few = experiment.train_part(0.05, 1.0)
    assert (len(few), few.num_classes) == (4, 4)
    half = experiment.train_part(1.0, 0.5)
    assert (len(half), half.num_classes) == (6, 2)
    assert set(half.class_names[0]) < set(experiment.parts.train.class_names[0])


def results_of(means):
    """Two seeds of each method, whose Recall@1 is around its mean."""
    records = [
        {
            **{"data": "glyphs", "photos": 1.0, "classes": 1.0, "method": method},
            **{"kind": "test", "number": seed, "seconds": 1, "settings": {}},
            "scores": {"recall@1": mean + offset},
        }
        for method, mean in means.items()
        for seed, offset in enumerate((-0.01, 0.01))
    ]
    return types.SimpleNamespace(records=dict(enumerate(records)))


def test_what_was_not_run_anew_stays_if_its_base_is_what_it_was(heads):
    before = heads.summarize(results_of({"Proxy-Anchor": 0.5, "Hyp": 0.6}), 2)
    anew = results_of({"Proxy-Anchor": 0.5, "HIER": 0.7})
    summary = heads.summarize(anew, 2, before)
    gaps = {
        each["method"]: each["differences"]["recall@1"][0]
        for each in summary
        if "differences" in each
    }
    assert gaps == {"HIER": 0.2, "Hyp": 0.1}
    with pytest.raises(ValueError, match="Hyp on glyphs was compared to a Proxy-Anch"):
        heads.summarize(results_of({"Proxy-Anchor": 0.501}), 2, before)
