"""Trains to the end, or is killed, or resumes.

    python -m tests.integration.train MODE RUN FOLDER [MODE RUN FOLDER ...]

RUN is one of RUNS below. `through` writes the final state to FOLDER/RUN.npz.
`killed` backs up to FOLDER/backup after each epoch and kills itself in the fourth, in a
copy of this process, so that it comes before all others: a backend that has computed
cannot be copied. `resumed` goes on from there, and writes what `through` writes.
"""

import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np

from tests.integration import runs

EPOCHS = 6
RUNS = {
    "vectors": (runs.embedding_model, runs.fit_vectors),
    "hyperbolic": (runs.hyperbolic_model, runs.fit_vectors),
    "images": (runs.image_embedder, runs.fit_images),
}


class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (3, 1):
            os.kill(os.getpid(), signal.SIGKILL)


def train(mode, run, folder):
    build, fit = RUNS[run]
    # A resumed run starts from other weights, if it does not restore its own.
    keras.utils.set_random_seed(2 if mode == "resumed" else 1)
    model = runs.compiled(build())
    callbacks = {
        "through": [],
        "killed": [keras.callbacks.BackupAndRestore(folder / "backup"), Kill()],
        "resumed": [keras.callbacks.BackupAndRestore(folder / "backup")],
    }
    fit(model, EPOCHS, callbacks[mode])
    np.savez(folder / f"{run}.npz", **runs.state(model))


def train_in_a_copy(*arguments):
    """Trains in a copy of this process, which must be killed."""
    copy = os.fork()
    if not copy:
        try:
            train(*arguments)
        finally:
            os._exit(1)
    _, status = os.waitpid(copy, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


if __name__ == "__main__":
    arguments = sys.argv[1:]
    for mode, run, folder in zip(*(arguments[i::3] for i in range(3)), strict=True):
        (train_in_a_copy if mode == "killed" else train)(mode, run, Path(folder))
