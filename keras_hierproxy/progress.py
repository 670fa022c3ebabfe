"""How far a long piece of work is, and, at its beginning, how long it will take."""

import datetime
import time

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

# Seconds of work from which the rest is estimated, and estimates worth a line.
ENOUGH_TO_TELL, WORTH_TELLING = 1, 10


def terminal_bar(console, *columns):
    """A `rich.progress.Progress` of tasks with a description; only in a terminal.

    Args:
        console: `rich.console.Console`.
        *columns: between the bar and the time left.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=console.quiet or not console.is_terminal,
    )


class WorkBar:
    """A bar of some work, and a line that says early how long all of it will take.

    A context manager. The line is printed, once, if that is more than 10 seconds.

    Args:
        console: `rich.console.Console`; a quiet one says nothing.
        total: int, how much there is to do.
        what: str, what the line begins with.
        done: int, how much of it was done before.
        columns: of rich, between the bar and the time left.
        warm_up: bool, whether the first step tells nothing: a model is compiled in it.
    """

    def __init__(self, console, total, what, done=0, columns=(), warm_up=False):
        self.console, self.total, self.what = console, total, what
        self.done = self.since = done
        self.progress = terminal_bar(console, *columns)
        self.warm_up = warm_up

    def __enter__(self):
        self.task = self.progress.add_task(
            "", total=self.total, completed=self.done, start=not self.warm_up
        )
        self.told, self.began = False, None if self.warm_up else time.monotonic()
        self.progress.start()
        return self

    def __exit__(self, *exception):
        self.progress.stop()

    def advance(self, amount):
        """So much more is done."""
        self.set(self.done + amount)

    def set(self, done):
        """So much is done in all."""
        self.done = done
        self.progress.update(self.task, completed=done)
        if self.began is None:
            self.began, self.since = time.monotonic(), done
            self.progress.start_task(self.task)
            return
        seconds = time.monotonic() - self.began
        if self.told or done == self.since or seconds < ENOUGH_TO_TELL:
            return
        self.told = True
        whole = seconds * (self.total - self.since) / (done - self.since)
        if whole > WORTH_TELLING:
            about = datetime.timedelta(seconds=round(whole))
            self.console.print(
                f"{self.what}: about {about} (h:mm:ss).", highlight=False
            )
