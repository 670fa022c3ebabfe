"""How long a search takes, said at its beginning, and how far it is."""

import datetime
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

# Seconds of work from which the rest is estimated, and estimates worth a line.
ENOUGH_TO_TELL, WORTH_TELLING = 0.5, 10


class SearchProgress:
    """A context manager around a search of `total` queries.

    Prints one line as soon as it can tell how long the whole will take, if that is
    more than 10 seconds, and shows a bar in a terminal.

    Args:
        what: str, such as "Searching 10,000 queries among 1,000,000 rows".
        total: int, queries.
        verbose: bool; if False, it says nothing.
    """

    def __init__(self, what, total, verbose):
        self.what, self.total = what, total
        self.console = Console(stderr=True, quiet=not verbose)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not (verbose and self.console.is_terminal),
        )

    def __enter__(self):
        self.task = self.progress.add_task("search", total=self.total)
        self.done, self.told, self.began = 0, False, time.monotonic()
        self.progress.start()
        return self

    def __exit__(self, *exception):
        self.progress.stop()

    def advance(self, queries):
        """So many more queries are done."""
        self.set(self.done + queries)

    def set(self, done):
        """So many queries are done in all."""
        self.done = done
        self.progress.update(self.task, completed=done)
        seconds = time.monotonic() - self.began
        if self.told or seconds < ENOUGH_TO_TELL:
            return
        self.told = True
        whole = seconds * self.total / done
        if whole > WORTH_TELLING:
            about = datetime.timedelta(seconds=round(whole))
            self.console.print(
                f"{self.what}: about {about} (h:mm:ss).", highlight=False
            )
