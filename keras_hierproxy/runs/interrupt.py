"""Ctrl-C during training."""

import signal

import keras


class Interrupted(Exception):
    """Raised between two steps of training, after Ctrl-C."""


class StopOnInterrupt(keras.callbacks.Callback):
    """Turns the first Ctrl-C into an `Interrupted` between two steps."""

    noticed = False

    def __enter__(self):
        self._previous = signal.signal(signal.SIGINT, self._notice)
        return self

    def __exit__(self, *exception):
        signal.signal(signal.SIGINT, self._previous)

    def on_train_batch_end(self, batch, logs=None):
        if self.noticed:
            raise Interrupted

    def on_epoch_end(self, epoch, logs=None):
        if self.noticed:
            raise Interrupted

    def _notice(self, signum, frame):
        self.noticed = True
        signal.signal(signal.SIGINT, self._previous)
        print("Stopping. Ctrl-C again ends at once.")
