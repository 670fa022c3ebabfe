"""A training run in a folder: its recipe, best weights, history, metrics, pictures.

run.json         the recipe and the place of the run, and recall before training
history.csv      a line for each whole epoch
best.weights.h5  the weights of the best validation epoch so far, or those before
                 training; where a recipe selects the last epoch, last.weights.h5
backup/          the last whole epoch, which `resume_run` goes on from
model.keras      the model with these weights
metrics.json     retrieval metrics on the test classes
queries.csv      the same of every query
report.html      the same to look at
recall.png       recall on the validation classes, epoch by epoch, where there are any
neighbors.png    queries of the test classes with their nearest neighbours
"""

import contextlib
import dataclasses
import pathlib

import keras

from keras_hierproxy import files, recipes
from keras_hierproxy.callbacks import RetrievalEvaluation
from keras_hierproxy.models.backup import read_metadata
from keras_hierproxy.runs.ending import write_ending
from keras_hierproxy.runs.epoch_lines import EpochLines
from keras_hierproxy.runs.folders import check_empty
from keras_hierproxy.runs.frozen import computed_once
from keras_hierproxy.runs.history import (
    History,
    KeepWeights,
    columns,
    read_rows,
    selected_epoch,
    write_rows,
)
from keras_hierproxy.runs.interrupt import Interrupted, StopOnInterrupt
from keras_hierproxy.runs.place import anywhere, data_root
from keras_hierproxy.runs.record import Record
from keras_hierproxy.runs.scoring import score, usual_ks
from keras_hierproxy.runs.splits import check_splits
from keras_hierproxy.runs.trained import check_images, load_weights

# Of few validation classes Recall@1 is often the same, or 1 from the start.
_MONITORS = ("val_recall@1", "val_map@r")


class Run:
    """A training run in a folder.

    `begin`, `fit` and `finish`, in this order. A context manager, in which no other
    process trains in the folder; outside it, each of the three sees to that.

    Args:
        folder: path, new or empty.
        recipe: `khp.recipes.Recipe`.
        place: `Place`.
        record: `Record` of the run that the folder holds already, to go on with; see
            `resume_run`.

    Attributes:
        recipe, place: as given.
        record: `Record`, what `run.json` holds.
        interrupted: bool, whether Ctrl-C ended `fit`.

    Raises:
        ValueError: the folder of a new run is not empty.
    """

    def __init__(self, folder, recipe, place, record=None):
        self.folder = pathlib.Path(folder)
        if record is None:
            _check_new(self.folder)
        self.recipe = anywhere(recipe)
        self.place = place
        self.interrupted = False
        self.record = record
        self._is_new = record is None
        self._lock = None
        self._last = self.recipe.training.selection == "last"
        self._monitors = None if self._last else _MONITORS
        self._history_path = self.folder / "history.csv"
        self._weights = self.folder / f"{'last' if self._last else 'best'}.weights.h5"

    def __enter__(self):
        lock = files.locked(self.folder, "training in")
        lock.__enter__()
        self._lock = lock
        return self

    def __exit__(self, *exception):
        lock, self._lock = self._lock, None
        return lock.__exit__(*exception)

    @property
    def history(self):
        """`history.csv` as a dict of lists, without the column of epochs."""
        return columns(read_rows(self._history_path))

    def begin(self, data, embedder=None):
        """Evaluates a new run's model before training; checks that a resumed one fits.

        Args:
            data: the splits, of `load_data`.
            embedder: by default the one that the recipe describes.
        """
        sizes = check_splits(data, self._last)
        # Whatever is wrong with these comes out now.
        self.batches = recipes.batches(self.recipe, data.train, self.place.seed)
        if embedder is None:
            embedder = recipes.build_embedder(
                self.recipe, data.train, self.place.seed, len(self.batches)
            )
            check_images(data.train, embedder)
        self.data, self.embedder = data, embedder
        size = self.recipe.data.batch_size
        self._evaluations = [
            RetrievalEvaluation(
                part, usual_ks(part), ("recall", "map@r"), batch_size=size
            )
            for part in (data.validation,)
            if part is not None
        ]
        if self._is_new:
            before = {
                "test_before": self._test().results,
                "validation_before": self._validate(),
            }
            self.record = Record(self.recipe, self.place, data=sizes, **before)
        elif self.record.data != sizes:
            raise ValueError(
                f"The data has changed since the run in {self.folder} was started: it "
                f"had {self.record.data} and has {sizes}."
            )
        else:
            self.record = dataclasses.replace(
                self.record, recipe=self.recipe, place=self.place
            )
        with self._alone():
            if self._is_new:
                _check_new(self.folder)
            self.record.write(self.folder)
            self._is_new = False

    def fit(self, callbacks=()):
        """Trains up to the last epoch, or until Ctrl-C.

        Ctrl-C ends training between two steps, and leaves the run as the last whole
        epoch had left it; a second one raises at once, wherever that is.
        """
        with self._alone(), StopOnInterrupt() as interrupt:
            # Before: nothing is lost by Ctrl-C up to here.
            embedder, batches = self._what_trains()
            updates = recipes.callbacks(self.recipe)
            for lines in callbacks:
                if isinstance(lines, EpochLines):
                    lines.updates = updates
            callbacks = [*updates, *self._keepers(), *callbacks]
            options = {"epochs": self.recipe.training.epochs, "verbose": 0}
            try:
                embedder.fit(batches, callbacks=[*callbacks, interrupt], **options)
            except Interrupted:
                self.interrupted = True

    def finish(self):
        """Evaluates the selected epoch on the test classes; writes what is left.

        Returns:
            What `metrics.json` holds.
        """
        with self._alone():
            load_weights(self.embedder, self._weights)
            self.embedder.save(self.folder / "model.keras")
            rows, before = read_rows(self._history_path), self.record.validation_before
            selected = selected_epoch(rows, self._monitors, before)
            return write_ending(self, self._test(), rows, selected)

    def _what_trains(self):
        """An embedder and its batches: after layers that stand still, the rest."""
        data = self.recipe.data
        once = computed_once(
            self.embedder,
            [self.data.train, self.data.validation],
            data.batch_size,
            augments=bool(data.augment),
        )
        if once is None:
            return self.embedder, self.batches
        rest, (train, validation) = once
        recipes.compile_embedder(self.recipe, rest, len(self.batches))
        for evaluation in self._evaluations:
            evaluation.inputs = validation.images
        return rest, recipes.batches(self.recipe, train, self.place.seed)

    def _keepers(self):
        """The callbacks that write the run's files.

        An epoch is whole once the backup holds it. Killed before that, the run does it
        again, and writes its line once more; killed after, it only catches up with
        what comes behind the backup.
        """
        rows = read_rows(self._history_path, self.whole_epochs())
        if self._history_path.exists():
            write_rows(self._history_path, rows)
        history = History(self._history_path, rows)
        return [
            *self._evaluations,
            history,
            keras.callbacks.BackupAndRestore(
                self.folder / "backup", delete_checkpoint=False
            ),
            KeepWeights(
                self.embedder,
                self._weights,
                history,
                self._monitors,
                self.record.validation_before,
            ),
        ]

    @property
    def before(self):
        """Recall@1 on the validation classes before training, what an epoch has to
        beat; None where the last epoch is kept, and in runs of earlier versions."""
        before = self.record.validation_before
        return None if before is None else before[_MONITORS[0]]

    def _validate(self):
        """What an epoch would log of the model as it is, or None if none is chosen."""
        if self._last:
            return None
        (evaluation,) = self._evaluations
        evaluation.set_model(self.embedder)
        return evaluation.compute()

    def whole_epochs(self):
        """How many epochs the run can go on from."""
        metadata = read_metadata(self.folder / "backup")
        return 0 if metadata is None else metadata["epoch"]

    def _alone(self):
        return self if self._lock is None else contextlib.nullcontext()

    def _test(self):
        test = self.data.test
        points = self.embedder.embed(test.images, self.recipe.data.batch_size)
        ks = usual_ks(test)
        if self.recipe.reported is not None:
            ks += [k for k in self.recipe.reported.k if k <= test.gallery_size]
        return score(
            test,
            points,
            sorted(set(ks)),
            geometry=self.embedder.geometry,
            root=data_root(self.recipe.data, self.place),
        )


def _check_new(folder):
    holds_run = (folder / "run.json").exists()
    check_empty(
        folder, ", or go on with the run in it with --resume" if holds_run else ""
    )
