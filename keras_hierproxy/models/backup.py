"""Backups that a killed training goes on from as if it had not stopped."""

import collections
import contextlib
import functools
import math
import pathlib
import warnings

import keras
import numpy as np

from keras_hierproxy import json_files
from keras_hierproxy.callbacks import RetrievalEvaluation
from keras_hierproxy.files import replacing, write_json
from keras_hierproxy.models.weight_files import measure

# As `keras.callbacks.BackupAndRestore` calls them, whose backups are read, too.
_METADATA = "training_metadata.json"
_ADVICE = "Remove its folder to begin anew."
_KERAS_WEIGHTS = "latest.weights.h5"
# What callbacks have learned so far; all else is what they were made with.
_STATES = {
    keras.callbacks.EarlyStopping: ("best", "best_epoch", "wait", "stopped_epoch"),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
    RetrievalEvaluation: ("last",),
}


class Backup(keras.callbacks.BackupAndRestore):
    """What `fit` makes of a `keras.callbacks.BackupAndRestore`.

    That one writes the weights and then the epoch in place, and forgets the other
    callbacks: killed in between, it goes on with the wrong epoch or not at all, and
    the best model so far gives way to a worse one. Here each backup has files of its
    own, which are whole before `training_metadata.json` names them, in one step.

    Args:
        keras_backup: the `keras.callbacks.BackupAndRestore`, whose folder and options
            are taken over.
        callbacks: list of all callbacks. The states of those that are known go into
            each backup; it must come behind them.
    """

    def __init__(self, keras_backup, callbacks):
        # It saves nothing by itself.
        super().__init__(keras_backup.backup_dir, save_freq=False)
        self.folder = pathlib.Path(keras_backup.backup_dir)
        self.every = keras_backup.save_freq
        self.delete_checkpoint = keras_backup.delete_checkpoint
        self._callbacks = _with_state(callbacks)
        self._states = None
        self._batches = 0

    def restore(self, model, epochs):
        """Gives a model the weights of the last backup.

        Args:
            model: the `keras.Model`, compiled.
            epochs: int, those that are asked for.

        Returns:
            int, the epoch to go on with, or None where there is no backup.

        Raises:
            ValueError: the backup is damaged, or of another model.
        """
        metadata = read_metadata(self.folder)
        if metadata is None:
            return None
        path = self.folder / (metadata.get("weights") or _KERAS_WEIGHTS)
        measure(path, functools.partial(json_files.DamagedFile, path, advice=_ADVICE))
        with _naming(path):
            if model.optimizer is not None:
                # Else its state in the file would be passed over.
                model.optimizer.build(model.trainable_variables)
            model.load_weights(path)
        self._states = metadata.get("callbacks", {})
        if metadata.get("arrays"):
            path = self.folder / metadata["arrays"]
            with _naming(path), np.load(path, allow_pickle=False) as arrays:
                for name in arrays:
                    owner, _, number = name.rpartition("/")
                    best = self._states[owner].setdefault("best_weights", {})
                    best[int(number)] = arrays[name]
        # Killed just after it was made, it did not remove the one before.
        self._keep_only(metadata)
        if any(_has_stopped(c, self._states) for c in self._callbacks.items()):
            return max(epochs, metadata["epoch"])
        return metadata["epoch"]

    def on_train_begin(self, logs=None):
        # By now the other callbacks have forgotten what they knew before.
        if self._states is None:
            return
        for name, callback in self._callbacks.items():
            if name not in self._states:
                warnings.warn(
                    f"The backup in {self.folder} holds no state of {name}: it begins "
                    "anew, and may take a worse epoch for the best one.",
                    stacklevel=2,
                )
                continue
            state = dict(self._states[name])
            if "best_weights" in state:
                # Of types that NumPy does not know, arrays come back as bytes.
                callback.best_weights = [
                    state["best_weights"][i].view(weights.dtype)
                    for i, weights in enumerate(self.model.get_weights())
                ]
                del state["best_weights"]
            for attribute, value in state.items():
                setattr(callback, attribute, keras.tree.map_structure(_number, value))
        self._states = None

    def on_train_batch_end(self, batch, logs=None):
        if self.every in ("epoch", False):
            return
        steps = batch + 1 - self._seen
        self._seen = batch + 1
        self._batches += steps
        if self._batches >= self.every:
            self._batches = 0
            self._save(self._epoch, batch + 1)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._seen = epoch, 0

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if self.every == "epoch":
            self._save(epoch + 1, 0)

    def on_train_end(self, logs=None):
        if self.delete_checkpoint:
            # First what names the others.
            for path in [self.folder / _METADATA, *self._files()]:
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # others have files there
                self.folder.rmdir()

    def _save(self, epoch, batch):
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"epoch{epoch}" + (f"-batch{batch}" if batch else "")
        weights = self.folder / f"{name}.weights.h5"
        arrays = self.folder / f"{name}.best.npz"
        states, best_weights = {}, {}
        for key, callback in self._callbacks.items():
            states[key] = _state(callback)
            for i, each in enumerate(getattr(callback, "best_weights", None) or ()):
                best_weights[f"{key}/{i}"] = each
        self.model.save_weights(weights)
        metadata = {
            "epoch": epoch,
            "batch": batch,
            "weights": weights.name,
            "callbacks": states,
        }
        if best_weights:
            with replacing(arrays) as unfinished, unfinished.open("wb") as file:
                np.savez(file, **best_weights)
            metadata["arrays"] = arrays.name
        write_json(self.folder / _METADATA, metadata)
        self._keep_only(metadata)

    def _keep_only(self, metadata):
        named = (metadata.get("weights") or _KERAS_WEIGHTS, metadata.get("arrays"))
        for path in self._files():
            if path.name not in named:
                path.unlink(missing_ok=True)

    def _files(self):
        """Those of all backups, of Keras's own, and what was not finished."""
        return [
            *self.folder.glob(".*.part-*"),
            *self.folder.glob("epoch*.weights.h5"),
            *self.folder.glob("epoch*.best.npz"),
            *self.folder.glob(f"{_KERAS_WEIGHTS}*"),
            *self.folder.glob(f"{_METADATA}.bkp"),
        ]


def with_backups(callbacks):
    """Has callbacks of Keras that make backups make such as are whole.

    Each comes behind those whose states it holds. Backups in remote folders, and
    callbacks that are derived from Keras's, stay what they are.
    """
    backups = [c for c in callbacks if _is_replaced(c)]
    others = [c for c in callbacks if not _is_replaced(c)]
    known = _with_state(others).values()
    for each in backups:
        earlier = sum(not _is_replaced(c) for c in callbacks[: callbacks.index(each)])
        last = max((others.index(c) + 1 for c in known), default=0)
        others.insert(max(earlier, last), Backup(each, others))
    return others


def read_metadata(folder):
    """What the last backup in a folder is of, a dict, or None where there is none.

    Raises:
        ValueError: it is damaged.
    """
    # Imports pydantic, which takes long.
    from keras_hierproxy import schemas

    path = pathlib.Path(folder) / _METADATA
    if not path.exists():
        return None
    advice = f"Remove {folder} to begin anew."
    return json_files.read(path, schemas.TrainingMetadata, advice)


def _is_replaced(callback):
    # Of a class derived from it we do not know what it does.
    return type(callback) is keras.callbacks.BackupAndRestore and "://" not in str(
        callback.backup_dir
    )


def _with_state(callbacks):
    """Those that have a state, by names that are the same in the next process."""
    named, seen = {}, collections.Counter()
    for callback in callbacks:
        if _attributes(callback):
            name = f"{type(callback).__name__}({getattr(callback, 'monitor', '')})"
            named[f"{name} {seen[name]}" if seen[name] else name] = callback
            seen[name] += 1
    return named


def _attributes(callback):
    for kind, attributes in _STATES.items():
        if isinstance(callback, kind):
            return attributes
    return ()


def _state(callback):
    return {
        name: keras.tree.map_structure(_plain, getattr(callback, name, None))
        for name in _attributes(callback)
    }


def _plain(value):
    """A number as JSON holds it, which knows no NaN."""
    if value is None or isinstance(value, int):
        return value
    value = float(keras.ops.convert_to_numpy(value))
    return value if math.isfinite(value) else repr(value)


def _number(value):
    return float(value) if isinstance(value, str) else value


def _has_stopped(named, states):
    """Whether an `EarlyStopping` has ended the training, and still would."""
    name, callback = named
    state = states.get(name, {})
    return (
        isinstance(callback, keras.callbacks.EarlyStopping)
        and state.get("stopped_epoch", 0) > 0
        and state["wait"] >= callback.patience
    )


@contextlib.contextmanager
def _naming(path):
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"The backup {path} is damaged, or of another model ({error}). Train with "
            f"the model that it was made of, or remove {path.parent} to begin anew."
        ) from error
