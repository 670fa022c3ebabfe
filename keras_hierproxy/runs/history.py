"""`history.csv`: a line for each whole epoch of a run."""

import csv

import keras

from keras_hierproxy import files


class History(keras.callbacks.Callback):
    """Adds a line after each epoch, and replaces the file by the longer one.

    Args:
        path: of the file.
        rows: list of dicts, those of the epochs that were done before.
    """

    def __init__(self, path, rows):
        super().__init__()
        self.path = path
        self.rows = rows

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch, **dict(sorted((logs or {}).items()))})
        write_rows(self.path, self.rows)


class KeepWeights(keras.callbacks.Callback):
    """Keeps the weights of the epoch that is selected, see `selected_epoch`.

    Behind the backup: killed in between, the next start finds the backup's weights in
    the model, and keeps these. Before it, the weights of an epoch could be kept that
    the backup does not know of.

    Args:
        embedder: whose weights; what is trained may be a part of it.
        path: of the weights.
        history: `History`, which must come before it.
        monitors, before: of `selected_epoch`.
    """

    def __init__(self, embedder, path, history, monitors, before):
        super().__init__()
        self.embedder = embedder
        self.path = path
        self.history = history
        self.monitors = monitors
        self.before = before

    def on_train_begin(self, logs=None):
        self._keep()

    def on_epoch_end(self, epoch, logs=None):
        self._keep()

    def _keep(self):
        rows = self.history.rows
        if selected_epoch(rows, self.monitors, self.before) == len(rows):
            self.embedder.save_weights(self.path)


def selected_epoch(rows, monitors, before):
    """The epoch whose weights a run keeps, the first is 1; 0 for those before training.

    Args:
        rows: list of dicts, a line of `history.csv` for each epoch.
        monitors: names of what is largest in the best epoch, each for the case that
            those before it are equal, and of equal epochs the earliest is kept; None
            to keep the last epoch.
        before: dict, the same before training; None where nobody measured it, as in
            runs of earlier versions, which kept the best of their epochs.
    """
    if monitors is None:
        return len(rows)

    def numbers(row):
        # Of runs of earlier versions there is the first alone.
        found = (row.get(name, "") for name in monitors)
        return [0.0 if value in _MISSING else float(value) for value in found]

    values = [[float("-inf")] if before is None else numbers(before)]
    values += map(numbers, rows)
    return values.index(max(values))


def write_rows(path, rows):
    """Replaces a `history.csv`.

    Args:
        path: of the file.
        rows: list of dicts, which begin with `epoch`.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [[row.get(name, "") for name in names] for row in rows]
    files.write(path, files.csv_text([names, *lines] if rows else []))


def read_rows(path, num_epochs=None):
    """The lines of a `history.csv`, a dict each.

    Args:
        path: of the file; where there is none, there are no lines.
        num_epochs: int, of how many epochs there must be lines, and are returned: one
            that a killed process has written beyond them is left out.

    Raises:
        ValueError: the file is damaged.
    """
    rows, names = [], []
    if path.exists():
        try:
            with path.open(newline="", **files.ENCODING) as file:
                names, *lines = list(files.csv_rows(file)) or [[]]
            rows = [dict(zip(names, line, strict=True)) for line in lines]
            if [row["epoch"] for row in rows] != [str(i) for i in range(len(rows))]:
                raise ValueError("its epochs are not 0, 1, 2 ...")
            for row in rows:
                _ = [float(value) for value in row.values() if value not in _MISSING]
        except (ValueError, KeyError, csv.Error) as error:
            raise damaged(path, error) from error
    if num_epochs is None:
        return rows
    if len(rows) < num_epochs:
        raise damaged(path, f"it has {len(rows)} of {num_epochs} epochs")
    return rows[:num_epochs]


def columns(rows):
    """The numbers as a dict of lists, without those that not every line has."""
    return {
        name: [float(row[name]) for row in rows]
        for name in (rows[0] if rows else {})
        if name != "epoch" and not any(row[name] in _MISSING for row in rows)
    }


def damaged(path, problem):
    return ValueError(
        f"{path} is damaged: {problem}. Copy it back from where you have it, or train "
        "into another folder (--output)."
    )


# Where an epoch lacks a number that another has.
_MISSING = ("", "NA")
