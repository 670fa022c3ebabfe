import dataclasses
import json
import shutil
import signal
import time

import keras
import numpy as np
import pytest

from keras_hierproxy import (
    datasets,
    losses,
    pictures,
    recipes,
    retrieval,
    runs,
)
from keras_hierproxy.callbacks import RetrievalEvaluation
from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.pictures import plot_neighbors
from keras_hierproxy.recipes import build
from keras_hierproxy.runs.trained import check_images
from tests.small_run import EPOCHS, SMALL, begin, make_data, new_run

# What no backend has a reason to treat in its own way.
once = pytest.mark.host
FILES = {
    "run.json",
    "history.csv",
    "best.weights.h5",
    "backup",
    "model.keras",
    "metrics.json",
    "recall.png",
    "neighbors.png",
    "queries.csv",
    "report.html",
}


@pytest.fixture(scope="module")
def data():
    return make_data()


# What decides which epoch is best, the second where the first is equal.
NAMES = ("val_recall@1", "val_map@r")


def read(folder, name):
    return json.loads((folder / name).read_text())


class At(keras.callbacks.Callback):
    """Calls a function at a step of an epoch."""

    def __init__(self, epoch, step, function):
        super().__init__()
        self.place, self.function = (epoch, step), function

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            self.function()


def ctrl_c():
    # To this thread: at a process two of them may arrive as one.
    signal.raise_signal(signal.SIGINT)


class Killed(Exception):
    pass


def kill():
    raise Killed


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    """Twelve rows of pictures take longer than all else here. `finished` has them."""

    def touch(data, points, path, geometry, scores):
        path.touch()

    monkeypatch.setattr(pictures, "plot_neighbors", touch)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run that nothing disturbed: its folder, the run, its metrics."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run = begin(new_run(folder), data)
    run.fit()
    return folder, run, run.finish()


def test_a_run_writes_its_files(finished, data):
    folder, run, metrics = finished
    assert {path.name for path in folder.iterdir()} == FILES
    assert read(folder, "metrics.json") == metrics
    assert not metrics["interrupted"] and metrics["epochs"] == EPOCHS
    record = read(folder, "run.json")
    assert recipes.from_dict(record["recipe"], "run.json") == run.recipe
    assert record["place"] == {"root": None, "skip_bad": False, "seed": 0}
    assert record["backend"] == keras.config.backend()
    assert record["test_before"] == metrics["test_before"] != metrics["test"]
    assert record["data"]["train"] == {"images": 36, "sort": 6, "kind": 5}
    lines = (folder / "history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "0", "1", "2"]


@once
def test_a_finish_searches_once_and_draws_resamples_once(data, tmp_path, monkeypatch):
    run = begin(new_run(tmp_path / "run", epochs=1), data)
    run.fit()
    calls = []

    def counted(name, function):
        return lambda *arguments: calls.append(name) or function(*arguments)

    search = retrieval.search.NeighborSearch
    monkeypatch.setattr(search, "__call__", counted("search", search.__call__))
    monkeypatch.setattr(
        retrieval.scores,
        "bootstrap_intervals",
        counted("bootstrap", retrieval.scores.bootstrap_intervals),
    )
    monkeypatch.setattr(pictures, "plot_neighbors", plot_neighbors)
    run.finish()
    assert sorted(calls) == ["bootstrap", "search"]


def test_the_model_is_that_of_the_best_validation_epoch(finished, data):
    folder, run, metrics = finished
    recall = run.history["val_recall@1"]
    assert metrics["val_recall@1"] == max(recall) > run.before
    assert recall[metrics["selected_epoch"] - 1] == max(recall)
    embedder = runs.load_embedder(folder)
    for part, expected in (
        (data.validation, max(recall)),
        (data.test, metrics["test"]["recall@1"]),
    ):
        points = embedder.embed(part.images)
        assert retrieval.evaluate(points, part.labels)["recall@1"] == expected


@once
@pytest.mark.parametrize("is_older", [False, True])
def test_an_epoch_has_to_beat_the_model_before_training(
    is_older, data, tmp_path, monkeypatch
):
    script = iter([(0.7, 0.2), (0.2, 0.9), (0.7, 0.1), (0.7, 0.2), (0.7, 0.3)])
    compute = RetrievalEvaluation.compute
    monkeypatch.setattr(
        RetrievalEvaluation,
        "compute",
        lambda callback: (
            compute(callback) | dict(zip(NAMES, next(script), strict=True))
        ),
    )
    run = begin(new_run(tmp_path / "run"), data)
    before = run.embedder.get_weights()
    if is_older:
        record = read(run.folder, "run.json")
        assert record.pop("validation_before")["val_recall@1"] == 0.7
        (run.folder / "run.json").write_text(json.dumps(record))
        run = begin(runs.resume_run(run.folder), data)
    run.fit()
    metrics = run.finish()
    kept = all(map(np.array_equal, run.embedder.get_weights(), before))
    told = "none of 3 beat the model before" in (run.folder / "report.html").read_text()
    selected = 3 if is_older else 0
    assert (metrics["selected_epoch"], metrics["val_recall@1"]) == (selected, 0.7)
    assert kept == told == (not is_older)

    more = begin(runs.resume_run(run.folder, epochs=4), data)
    more.fit()
    assert more.finish()["selected_epoch"] == 4


def assert_holds_the_best_so_far(run, data):
    metrics = run.finish()
    assert {path.name for path in run.folder.iterdir()} == FILES
    assert metrics["interrupted"]
    recalls = [run.before, run.history["val_recall@1"][0]]
    best = recalls.index(max(recalls))
    assert (metrics["epochs"], metrics["selected_epoch"]) == (1, best)
    points = runs.load_embedder(run.folder).embed(data.validation.images)
    recall = retrieval.evaluate(points, data.validation.labels)["recall@1"]
    assert recall == metrics["val_recall@1"] == recalls[best]


@pytest.mark.parametrize(
    ("epoch", "step", "stop"),
    [
        pytest.param(0, 0, ctrl_c, id="Ctrl-C in the first epoch", marks=once),
        pytest.param(1, 0, ctrl_c, id="Ctrl-C"),
        pytest.param(1, 0, kill, id="killed", marks=once),
        pytest.param("backup", 1, kill, id="killed before the backup"),
    ],
)
def test_a_resumed_run_equals_an_undisturbed_one(
    epoch, step, stop, finished, data, tmp_path, monkeypatch
):
    folder, run, metrics = finished
    stopped = begin(new_run(tmp_path / "run"), data)
    with monkeypatch.context() as patch:
        if epoch == "backup":
            save = keras.callbacks.BackupAndRestore.on_epoch_end

            def save_or_die(backup, epoch, logs=None):
                kill() if epoch == step else save(backup, epoch, logs)

            patch.setattr(keras.callbacks.BackupAndRestore, "on_epoch_end", save_or_die)
        try:
            stopped.fit(callbacks=[At(epoch, step, stop)])
        except Killed:
            pass
    assert stopped.interrupted == (stop is ctrl_c)
    lines = stopped.history.get("loss", [])
    assert len(lines) == (step + 1 if epoch == "backup" else epoch)
    if stopped.interrupted and lines:
        assert_holds_the_best_so_far(stopped, data)

    resumed = begin(runs.resume_run(tmp_path / "run"), data)
    resumed.fit()
    assert resumed.history == run.history
    assert resumed.finish() == metrics
    for ours, theirs in zip(
        resumed.embedder.weights, run.embedder.weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@once
def test_a_second_ctrl_c_ends_at_once(data, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    run = begin(new_run(tmp_path / "run"), data)

    def twice():
        ctrl_c()
        # Other threads may delay its handler, and two signals would arrive as one.
        while signal.getsignal(signal.SIGINT) is not before:
            time.sleep(0.001)
        ctrl_c()
        time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        run.fit(callbacks=[At(0, 0, twice)])
    assert signal.getsignal(signal.SIGINT) is before


@once
@pytest.mark.parametrize("more", [0, 1])
def test_a_finished_run_goes_on(more, finished, data, tmp_path):
    folder, run, metrics = finished
    shutil.copytree(folder, tmp_path / "run")
    epochs = EPOCHS + more if more else None
    resumed = begin(runs.resume_run(tmp_path / "run", epochs=epochs), data)
    resumed.fit()
    history = resumed.history
    assert len(history["loss"]) == EPOCHS + more
    assert {name: values[:EPOCHS] for name, values in history.items()} == run.history
    assert resumed.finish()["test_before"] == metrics["test_before"]
    record = read(tmp_path / "run", "run.json")
    assert record["recipe"]["training"]["epochs"] == EPOCHS + more


@once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "triplet"}, "started with .*loss.proxy_anchor.margin=0.1.* Resume"),
        ({"batch_size": 12}, "started with data.batch_size=18. Resume it without"),
        ({"epochs": 9, "seed": 1}, None),
    ],
)
def test_resuming_by_another_recipe_is_refused(options, message, finished):
    recipe = recipes.from_options(SMALL | options)
    if message is None:
        run = runs.resume_run(finished[0], recipe, epochs=9)
        assert run.recipe.training.epochs == 9
        return
    with pytest.raises(ValueError, match=message):
        runs.resume_run(finished[0], recipe)


@once
def test_resuming_for_fewer_epochs_is_refused(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    record = read(tmp_path / "run", "run.json")
    record["recipe"]["training"]["epochs"] = 9
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    message = "started for 9 epochs. Resume it with --epochs 9 or more; .*--epochs 8"
    with pytest.raises(ValueError, match=message):
        runs.resume_run(tmp_path / "run", epochs=8)


@once
def test_resuming_in_another_place_is_refused(finished):
    message = "was started with seed=0. Resume it without"
    with pytest.raises(ValueError, match=message):
        runs.resume_run(finished[0], epochs=9, seed=1)


@once
def test_resuming_on_another_backend_is_refused(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    record = read(tmp_path / "run", "run.json")
    record["backend"] = "another"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="Resume it with --backend another"):
        runs.resume_run(tmp_path / "run")


@once
def test_resuming_with_other_data_is_refused(finished):
    with pytest.raises(ValueError, match="The data has changed.*'images': 36"):
        begin(runs.resume_run(finished[0]), make_data(per_class=4))


@once
def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="There is no run to resume in"):
        runs.resume_run(tmp_path)


@once
def test_a_new_run_overwrites_nothing(finished, tmp_path):
    with pytest.raises(ValueError, match="is not empty.*--output, or .* with --resume"):
        new_run(finished[0])
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ValueError, match="is not empty.*--output\\.$"):
        new_run(tmp_path)


@once
def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not a folder"):
        new_run(tmp_path / "file")


@once
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_missing_split_is_named(part, data, tmp_path):
    without = dataclasses.replace(data, **{part: None})
    run = new_run(tmp_path / "run")
    with pytest.raises(ValueError, match=f"Received: no {part} classes"):
        run.begin(without, embedder=None)
    assert not (tmp_path / "run").exists()


@once
def test_wrong_batches_are_refused_before_anything_is_written(data, tmp_path):
    run = new_run(tmp_path / "run", images_per_class=9, batch_size=72)
    with pytest.raises(ValueError, match="72 // 9 = 8 classes in a batch, of 6"):
        run.begin(data, embedder=None)
    assert not (tmp_path / "run").exists()


@once
@pytest.mark.parametrize(
    ("loss", "images_per_class", "expected"),
    [("hpl", None, 1), ("hpl", 3, 3), ("triplet", None, 4), ("sup-con", 3, 3)],
)
def test_losses_over_pairs_get_balanced_batches(
    loss, images_per_class, expected, data, tmp_path
):
    run = new_run(tmp_path, loss=loss, images_per_class=images_per_class)
    begin(run, data)
    _, labels = run.batches[0]
    assert np.bincount(labels)[labels].min() == expected or expected == 1
    assert run.batches.sampler == ("random" if expected == 1 else "balanced")


@once
@pytest.mark.parametrize(
    ("data_set", "augment", "expected"),
    [
        ("glyphs", None, [datasets.RandomAffine]),
        ("photos/", None, [datasets.RandomResizedCrop]),
        ("glyphs", "crop", [datasets.RandomResizedCrop]),
        ("photos/", "none", []),
    ],
)
def test_letters_are_distorted_and_photos_cropped(
    data_set, augment, expected, data, tmp_path
):
    run = new_run(tmp_path, data=data_set, augment=augment)
    begin(run, data)
    assert [type(augment) for augment in run.batches.augment] == expected


@once
def test_recall_is_measured_at_what_few_images_allow(tmp_path):
    few = make_data(num_classes=8, per_class=2)
    run = begin(new_run(tmp_path / "run"), few)
    before = read(tmp_path / "run", "run.json")["test_before"]
    assert [name for name in before if name.startswith("recall")] == [
        "recall@1",
        "recall@2",
    ]
    run.fit()
    run.finish()


@once
def test_the_options_of_a_loss_are_those_of_the_package():
    there = {
        loss
        for loss in vars(losses).values()
        if isinstance(loss, type) and issubclass(loss, losses.EmbeddingLoss)
    }
    bases = {
        losses.EmbeddingLoss,
        losses.BoundLoss,
        losses.ProxyLoss,
        losses.SumLoss,
        losses.HIERLoss,  # stands beside another, never alone
    }
    all_of_them = (recipes.from_options({"loss": name}) for name in recipes.LOSSES)
    found = {type(build.loss(recipe)) for recipe in all_of_them}
    assert found == there - bases | {losses.SumLoss}


@once
@pytest.mark.parametrize("name", recipes.LOSSES)
def test_every_loss_finds_what_it_reads(name, data):
    embedder = build_embedder(data.train, loss=name)
    main, *others = getattr(embedder.loss, "terms", [embedder.loss])
    assert isinstance(main, losses.HierProxyLoss) == name.startswith("hpl")
    assert [type(other) for other in others] == (
        [losses.HIERLoss] if name in ("hier", "hpl-hier") else []
    )
    hyperbolic = name in ("hier", "hpl-hier", "hyp")
    assert embedder.geometry == (PoincareBall() if hyperbolic else Sphere())
    if name == "hpl-taxonomy":
        np.testing.assert_array_equal(
            embedder.proxies.parents(1), data.train.taxonomy[:, 0]
        )


def build_embedder(train, **options):
    recipe = recipes.from_options(options)
    embedder = recipes.build_embedder(recipe, train, options.get("seed", 0), 2)
    check_images(train, embedder)
    return embedder


def rates(embedder):
    """Learning rates of (backbone, head, proxies)."""
    optimizer_of = embedder.optimizer._optimizer_map
    variables = (
        embedder.backbone.trainable_variables[0],
        embedder.get_layer("head").kernel,
        embedder.proxies.proxies,
    )
    return tuple(
        float(keras.ops.convert_to_numpy(optimizer_of(variable).learning_rate))
        for variable in variables
    )


@once
def test_a_preset_is_fine_tuned(data, tmp_path):
    trained = build_embedder(data.train, embedding_dim=24)
    assert rates(trained) == pytest.approx((1e-3, 1e-3, 1e-2))
    trained.save_to_preset(tmp_path)
    preset = {"preset": str(tmp_path), "seed": 1}
    embedder = build_embedder(make_data(20).train, **preset)
    assert rates(embedder) == pytest.approx((1e-5, 1e-4, 1e-2))
    assert embedder.proxies.num_classes == 10
    images = data.test.images
    np.testing.assert_allclose(embedder.embed(images), trained.embed(images), atol=1e-6)
    given = {"learning_rate": 1e-4, "proxy_learning_rate": 0.1}
    embedder = build_embedder(data.train, **preset, **given)
    assert rates(embedder) == pytest.approx((1e-4, 1e-4, 0.1))


@once
def test_one_seed_one_model(data):
    def start(seed):
        embedder = build_embedder(data.train, seed=seed)
        return np.array(embedder.get_layer("head").kernel)

    np.testing.assert_array_equal(start(3), start(3))
    assert (start(3) != start(4)).any()


@once
def test_images_that_do_not_fit_the_model_are_refused(data, tmp_path):
    embedder = build_embedder(data.train)
    embedder.save_to_preset(tmp_path)
    with pytest.raises(ValueError, match=r"\(16, 16, 1\).*have shape \(16, 16, 3\)"):
        build_embedder(make_data(shape=(16, 16, 3)).train, preset=str(tmp_path))


@once
def test_hpl_taxonomy_needs_two_levels(data):
    flat = RetrievalDataset(data.train.images, data.train.labels[:, 0])
    with pytest.raises(ValueError, match="have one level. .`--loss hpl` learns"):
        build_embedder(flat, loss="hpl-taxonomy")


@once
def test_options_that_go_with_some_losses_only(data):
    for option in ({"level_sizes": [3]}, {"latent_proxies": 8}, {"max_triplets": 9}):
        with pytest.raises(ValueError, match="goes with --loss h.*--loss cosface"):
            recipes.from_options({"loss": "cosface", **option})
    embedder = build_embedder(data.train, level_sizes=[3, 2])
    assert embedder.proxies.level_sizes == (3, 2)


@once
def test_evaluation_measures_in_the_embedders_geometry(data):
    for loss, geometry in (("hyp", PoincareBall()), ("sup-con", Sphere())):
        embedder = build_embedder(data.train, loss=loss)
        evaluation = runs.evaluate_split(embedder, data.test)
        assert evaluation.geometry == geometry
        expected = retrieval.evaluate(
            embedder.embed(data.test.images), data.test.labels, geometry=geometry
        )
        assert evaluation.results == pytest.approx(expected)
        assert repr(geometry) in evaluation.scores.conventions["similarity"]


@once
@pytest.mark.parametrize("loss", ["hpl", "proxy-anchor"])
def test_runs_of_before_go_on_or_say_how(loss, finished, tmp_path):
    """Before runs were recipes, a model had coarse proxies for every loss."""
    record = read(finished[0], "run.json")
    settings = {"loss": loss, "batch_size": 18, "augment": "none", "epochs": 3}
    older = {name: record[name] for name in ("backend", "data", "test_before")}
    older["settings"] = settings | {"seed": 4, "recipe": None}
    (tmp_path / "run.json").write_text(json.dumps(older))
    if loss == "hpl":
        run = runs.resume_run(tmp_path, epochs=5)
        assert (run.recipe.name, run.place.seed) == ("glyphs-hpl", 4)
        assert run.recipe.training.epochs == 5
        return
    message = "earlier version.*hierproxy train --recipe .* --seed 4 --output"
    with pytest.raises(ValueError, match=message):
        runs.resume_run(tmp_path)
    assert recipes.load(tmp_path).training.seeds == [4]
