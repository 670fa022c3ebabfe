"""The progress of training, and of embedding, in a terminal."""

import datetime
import time

import keras
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

# Seconds from which the rest is estimated, and estimates that are worth a line.
_ENOUGH_TO_TELL, _WORTH_TELLING = 2, 10


class EpochLines(keras.callbacks.Callback):
    """A progress bar for the current epoch, a line for each finished one.

    A context manager, so that the bar goes also where training ends by an exception.

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
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self):
        self.progress.start()
        return self

    def __exit__(self, *exception):
        self.progress.stop()

    def on_epoch_begin(self, epoch, logs=None):
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


class ImageBar:
    """A progress bar of images with their rate and the time left.

    A context manager. Where the time left is worth a line it also prints one, early.

    Args:
        console: `rich.console.Console`; where it is no terminal, there is no bar.
        total: int, images.
        done: int, how many of them were done before.
    """

    def __init__(self, console, total, done=0):
        self.console = console
        self.left = total - done
        self.progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            _ImagesPerSecond(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        # Begun after the first batch, in which the model is compiled.
        self.task = self.progress.add_task("", total=total, completed=done, start=False)
        self.began, self.since, self.told = None, 0, False

    def __enter__(self):
        self.progress.start()
        return self

    def __exit__(self, *exception):
        self.progress.stop()

    def advance(self, images):
        """So many more images are done."""
        self.left -= images
        self.progress.advance(self.task, images)
        if self.began is None:
            self.began = time.monotonic()
            self.progress.start_task(self.task)
            return
        self.since += images
        seconds = time.monotonic() - self.began
        if not self.told and seconds > _ENOUGH_TO_TELL:
            self.told = True
            rate = self.since / seconds
            if self.left / rate > _WORTH_TELLING:
                about = datetime.timedelta(seconds=round(self.left / rate))
                self.console.print(
                    f"{self.left:,} images left at {rate:,.0f} a second: about {about} "
                    "(h:mm:ss)."
                )


class _ImagesPerSecond(ProgressColumn):
    def render(self, task):
        return "" if task.speed is None else f"{task.speed:,.0f} images/s"
