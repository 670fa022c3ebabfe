"""Trains to the end, and resumes what a kill would have left.

    python -m tests.integration.train FOLDER

For each of RUNS below, FOLDER/through/RUN.npz has the final state of a run that was
left alone. It backs up after each epoch; what is on the disk in the middle of the
fourth, another process goes on from, and writes its final state to FOLDER/resumed.
Both are copies of this process, which has imported everything and computed nothing: a
backend that has computed cannot be copied.
"""

import os
import shutil
import sys
import traceback
from pathlib import Path

import keras
import numpy as np

from tests.integration import runs

EPOCHS = 6
MODES = ("through", "resumed")
RUNS = {
    "vectors": (runs.embedding_model, runs.fit_vectors),
    "hyperbolic": (runs.hyperbolic_model, runs.fit_vectors),
    "images": (runs.image_embedder, runs.fit_images),
}


class CopyAsKilled(keras.callbacks.Callback):
    """Copies a folder, as a kill in the second step of the fourth epoch leaves it."""

    def __init__(self, folder, copy):
        super().__init__()
        self.folder, self.copy = folder, copy

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (3, 1):
            shutil.copytree(self.folder, self.copy)


def train(mode, run, folder):
    build, fit = RUNS[run]
    # A resumed run starts from other weights, if it does not restore its own.
    keras.utils.set_random_seed(2 if mode == "resumed" else 1)
    model = runs.compiled(build())
    backup = {each: folder / each / f"{run} backup" for each in MODES}
    callbacks = [keras.callbacks.BackupAndRestore(backup[mode])]
    if mode == "through":
        callbacks.append(CopyAsKilled(backup["through"], backup["resumed"]))
    assert backup[mode].exists() == (mode == "resumed")
    fit(model, EPOCHS, callbacks)
    np.savez(folder / mode / f"{run}.npz", **runs.state(model))


def train_in_a_copy(mode, folder):
    """Trains all runs in a copy of this process."""
    copy = os.fork()
    if not copy:
        code = 1
        try:
            for run in RUNS:
                train(mode, run, folder)
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    _, status = os.waitpid(copy, 0)
    assert os.waitstatus_to_exitcode(status) == 0


if __name__ == "__main__":
    for mode in MODES:
        (Path(sys.argv[1]) / mode).mkdir(exist_ok=True)
        train_in_a_copy(mode, Path(sys.argv[1]))
