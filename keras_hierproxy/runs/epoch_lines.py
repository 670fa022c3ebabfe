"""The progress of training, and of embedding, in a terminal."""

import time

import keras
from rich.progress import MofNCompleteColumn, ProgressColumn

from keras_hierproxy.progress import WorkBar, terminal_bar


class EpochLines(keras.callbacks.Callback):
    """A progress bar for the current epoch, a line for each finished one.

    A context manager, so that the bar goes also where training ends by an exception.
    A line before that of its epoch tells of a hierarchy that was learned anew, by one
    of the attribute `updates`, `HierarchyUpdate`s that run before.

    Args:
        console: `rich.console.Console`; where it is no terminal, only lines are
            printed.
        epochs: int, how many the run will have.
        metric: str, the one that stands in the lines, where it is measured.
    """

    def __init__(self, console, epochs, metric="val_recall@1"):
        super().__init__()
        self.console = console
        self.epochs = epochs
        self.metric = metric
        self.progress = terminal_bar(console, MofNCompleteColumn())
        self.updates = []

    def __enter__(self):
        self.progress.start()
        return self

    def __exit__(self, *exception):
        self.progress.stop()

    def on_epoch_begin(self, epoch, logs=None):
        for update in self.updates:
            if update.seconds is not None:
                self.console.print(f"hierarchy refreshed in {update.seconds:.1f} s")
        self.name = f"epoch {epoch + 1}/{self.epochs}"
        self.started = time.monotonic()
        self.task = self.progress.add_task(self.name, total=self.params["steps"])

    def on_train_batch_end(self, batch, logs=None):
        self.progress.update(self.task, completed=batch + 1)
        if batch + 1 == self.params["steps"]:
            self.progress.update(self.task, description=f"{self.name}, evaluation")

    def on_epoch_end(self, epoch, logs=None):
        self.progress.remove_task(self.task)
        seconds = time.monotonic() - self.started
        numbers = "  ".join(
            f"{name} {logs[name]:.4f}" for name in ("loss", self.metric) if name in logs
        )
        self.console.print(f"{self.name}  {seconds:.0f} s  {numbers}")


def image_bar(console, total, done=0):
    """A `WorkBar` of images, with their rate.

    Args:
        console: `rich.console.Console`.
        total: int, images.
        done: int, how many of them were done before.
    """
    what = f"{total - done:,} images"
    columns = MofNCompleteColumn(), _ImagesPerSecond()
    return WorkBar(console, total, what, done, columns, warm_up=True)


class _ImagesPerSecond(ProgressColumn):
    def render(self, task):
        return "" if task.speed is None else f"{task.speed:,.0f} images/s"
