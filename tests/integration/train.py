"""Trains to the end, or is killed, or resumes.

    python -m tests.integration.train MODE RUN FOLDER [RUN FOLDER ...] [-- MODE ...]

RUN is one of RUNS below. `through` writes the final state to FOLDER/RUN.npz.
`killed` backs up to FOLDER/backup after each epoch and kills itself in the fourth;
`resumed` goes on from there, and writes what `through` writes. Each MODE trains in a
copy of this process, which has imported everything and computed nothing: a backend
that has computed cannot be copied.
"""

import itertools
import os
import signal
import sys
import traceback
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


def train_in_a_copy(mode, *rest):
    """Trains in a copy of this process, which must end, or be killed, as it should.

    Args:
        mode: as of the command line.
        *rest: RUN and FOLDER in turn.
    """
    copy = os.fork()
    if not copy:
        code = 1
        try:
            for run, folder in zip(rest[::2], rest[1::2], strict=True):
                train(mode, run, Path(folder))
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    _, status = os.waitpid(copy, 0)
    expected = -signal.SIGKILL if mode == "killed" else 0
    assert os.waitstatus_to_exitcode(status) == expected


if __name__ == "__main__":
    for is_between, copy in itertools.groupby(sys.argv[1:], "--".__eq__):
        if not is_between:
            train_in_a_copy(*copy)
