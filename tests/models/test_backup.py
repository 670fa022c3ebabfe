"""`fit` with a backup goes on as if it had not stopped, killed at any moment."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny
from tests.faults import full_disk, moments

EPOCHS = 4
# Best in the second epoch.
SCORES = [0.5, 0.9, 0.7, 0.6]


class Score(keras.callbacks.Callback):
    """Logs a metric whose course is known."""

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = SCORES[epoch]


def train(folder, *others, build=tiny.compiled_model, epochs=EPOCHS, **options):
    keras.utils.set_random_seed(0)
    model = build()
    callbacks = [
        # In an order in which Keras would keep what the others know too early.
        keras.callbacks.BackupAndRestore(folder / "backup", **options),
        Score(),
        keras.callbacks.ModelCheckpoint(
            folder / "best.weights.h5",
            monitor="score",
            mode="max",
            save_best_only=True,
            save_weights_only=True,
        ),
        *others,
    ]
    history = tiny.fit(model, epochs=epochs, callbacks=callbacks)
    return model, history


def stop_early(patience=2):
    return keras.callbacks.EarlyStopping(
        "score", mode="max", patience=patience, restore_best_weights=True
    )


def state(model, folder):
    """What is left of a training: the model's weights, and the best ones kept."""
    last = model.get_weights()
    model.load_weights(folder / "best.weights.h5")
    return [*last, *model.get_weights()]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.nightly
def test_killed_at_any_moment(tmp_path):
    folder = tmp_path / "run"
    with moments(folder, tmp_path) as copies:
        model, history = train(folder, stop_early(1))
    expected = state(model, folder)
    assert len(history["loss"]) == 3
    assert len(copies) > 20
    named = {}
    for copy in copies:
        # What only a hidden file tells apart is resumed from once.
        seen = tuple(
            (path.name, path.read_bytes())
            for path in sorted(copy.rglob("[!.]*"))
            if path.is_file()
        )
        named.setdefault(seen, copy)
    assert len(named) > 8
    for copy in named.values():
        resumed, _ = train(copy, stop_early(1))
        assert_same(state(resumed, copy), expected)


def test_a_full_disk_in_the_first_backup(tmp_path):
    model, _ = train(tmp_path / "whole", epochs=2)
    expected = state(model, tmp_path / "whole")
    written = 0
    while True:
        folder = tmp_path / str(written)
        try:
            with full_disk(after=written):
                train(folder, epochs=1)
        except OSError as error:
            assert "Make room" in str(error)
        else:
            break
        resumed, _ = train(folder, epochs=2)
        assert_same(state(resumed, folder), expected)
        written += 4
    assert written > 6


def interrupted(folder, *others, after, **options):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == after:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder, *others, Interrupt(), **options)


def test_the_best_model_stays(tmp_path):
    interrupted(tmp_path, after=2)
    before = (tmp_path / "best.weights.h5").read_bytes()
    _, history = train(tmp_path)
    assert len(history["loss"]) == 2
    assert (tmp_path / "best.weights.h5").read_bytes() == before
    assert not (tmp_path / "backup").exists()


def test_patience_goes_on(tmp_path):
    interrupted(tmp_path, stop_early(1), after=2)
    _, history = train(tmp_path, stop_early(1))
    assert len(history["loss"]) == 1  # the third is worse than the second


def test_what_stopped_early_stays_stopped(tmp_path):
    options = {"delete_checkpoint": False}
    first, history = train(tmp_path, stop_early(1), **options)
    assert len(history["loss"]) == 3
    again, history = train(tmp_path, stop_early(1), **options)
    assert not history
    assert_same(again.get_weights(), first.get_weights())
    more, history = train(tmp_path, stop_early(2), **options)
    assert len(history["loss"]) == 1


def test_what_was_evaluated_is_logged_again(tmp_path):
    def evaluation():
        data = (tiny.INPUTS, tiny.LABELS)
        return khp.callbacks.RetrievalEvaluation(data, k=1, every=3)

    _, whole = train(tmp_path / "whole", evaluation())
    interrupted(tmp_path / "run", evaluation(), after=1)
    _, rest = train(tmp_path / "run", evaluation())
    assert rest["val_recall@1"] == whole["val_recall@1"][1:]


def test_a_learning_rate_that_was_lowered_stays(tmp_path):
    def lower():
        return keras.callbacks.ReduceLROnPlateau("score", mode="max", patience=1)

    def build():
        return tiny.compiled_model(optimizer="sgd")

    _, whole = train(tmp_path / "whole", lower(), build=build)
    interrupted(tmp_path / "run", lower(), after=3, build=build)
    _, rest = train(tmp_path / "run", lower(), build=build)
    assert rest["learning_rate"] == whole["learning_rate"][3:]
    assert len(set(whole["learning_rate"])) > 1


def test_numbers_that_are_not_finite_come_back(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "SCORES", [float("nan"), 0.9, 0.7, 0.6])
    interrupted(tmp_path, stop_early(), after=1)
    stop = stop_early()
    _, history = train(tmp_path, stop)
    # As in a run that was not interrupted: nothing is better than NaN.
    assert np.isnan(stop.best) and len(history["loss"]) == 2


def test_backups_in_the_middle_of_an_epoch(tmp_path):
    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Kill(), save_freq=2)
    assert [path.name for path in (tmp_path / "backup").glob("*.h5")] == [
        "epoch1-batch1.weights.h5"
    ]
    model, history = train(tmp_path, save_freq=2)
    assert len(history["loss"]) == EPOCHS - 1
    assert int(model.optimizer.iterations) == 4 + 3 * (EPOCHS - 1)


def test_a_backup_by_keras_itself_is_gone_on_with(tmp_path):
    model = tiny.compiled_model()
    model.optimizer.build(model.trainable_variables)
    (tmp_path / "backup").mkdir()
    model.save_weights(tmp_path / "backup/latest.weights.h5")
    (tmp_path / "backup/training_metadata.json").write_text('{"epoch": 3, "batch": 0}')
    with pytest.warns(UserWarning, match="no state of ModelCheckpoint"):
        _, history = train(tmp_path)
    assert len(history["loss"]) == 1


def test_callbacks_of_ones_own_stay(tmp_path):
    class Own(keras.callbacks.BackupAndRestore):
        pass

    keras.utils.set_random_seed(0)
    own = Own(tmp_path / "backup", delete_checkpoint=False)
    tiny.fit(tiny.compiled_model(), epochs=1, callbacks=[own])
    assert (tmp_path / "backup/latest.weights.h5").exists()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("training_metadata.json", b"{"),
        ("training_metadata.json", b"[]"),
        ("training_metadata.json", b'{"epoch": "one"}'),
        ("training_metadata.json", b'{"epoch": 1, "weights": "../../x.weights.h5"}'),
        ("epoch2.weights.h5", b"half"),
        ("epoch2.best.npz", b"half"),
    ],
)
def test_a_damaged_backup_is_named(name, damage, tmp_path):
    interrupted(tmp_path, stop_early(), after=2)
    (tmp_path / "backup" / name).write_bytes(damage)
    with pytest.raises(
        ValueError, match=f"backup.{name}.*damaged.*[Rr]emove .*to begin anew"
    ):
        train(tmp_path, stop_early())


def test_a_backup_of_another_model_is_refused(tmp_path):
    interrupted(tmp_path, after=2)

    def other():
        return tiny.compiled_model(layer=khp.layers.Proxies(7, name="proxies"))

    with pytest.raises(ValueError, match="damaged, or of another model"):
        train(tmp_path, build=other)


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5"])
@pytest.mark.parametrize("save", ["save", "save_model", "checkpoint"])
def test_hdf5_is_refused(save, name, tmp_path):
    model = tiny.compiled_model()
    path = tmp_path / name

    def act():
        if save == "save":
            model.save(path)
        elif save == "save_model":
            keras.saving.save_model(model, path)
        else:
            callback = keras.callbacks.ModelCheckpoint(path, monitor="loss", mode="min")
            tiny.fit(model, callbacks=[callback])

    if (save, name) == ("checkpoint", "m.hdf5"):  # by Keras
        message = "must end in `.keras`"
    else:
        message = 'could not be loaded again.*".keras".*".weights.h5"'
    with pytest.raises(ValueError, match=message):
        act()
    model.save_weights(tmp_path / "m.weights.h5")
    model.load_weights(tmp_path / "m.weights.h5")
    keras.models.clone_model(model)


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_a_model_is_saved_whole(name, tmp_path):
    model = tiny.compiled_model()
    save = model.save if name.endswith("keras") else model.save_weights
    save(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    model.set_weights([weights + 1 for weights in model.get_weights()])
    with pytest.raises(OSError, match="Make room"), full_disk(after=1):
        save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
    save(tmp_path / name)
    assert (tmp_path / name).read_bytes() != before
