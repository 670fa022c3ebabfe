"""A training run in a folder: settings, best weights, history, metrics, pictures.

    run.json         the settings, and recall before training
    history.csv      a line an epoch
    best.weights.h5  the weights of the best validation epoch so far
    backup/          what `resume` goes on from; gone when the run is complete
    model.keras      the model with the best weights
    metrics.json     recall on the test classes
    recall.png       recall on the validation classes, epoch by epoch
    neighbors.png    queries of the test classes with their nearest neighbours
"""

import csv
import dataclasses
import json
import pathlib
import shutil
import signal

import keras

from keras_hierproxy import datasets, losses, models, optimizers, pictures
from keras_hierproxy.callbacks import RetrievalEvaluation
from keras_hierproxy.layers import HierProxies
from keras_hierproxy.retrieval import evaluate

MONITOR = "val_recall@1"


@dataclasses.dataclass
class Settings:
    """Everything that decides what a run computes."""

    data: str = "glyphs"
    root: str | None = None
    train_groups: list[str] | None = None
    test_groups: list[str] | None = None
    skip_bad: bool = False
    loss: str = "hpl"
    level_sizes: list[int] | None = None
    preset: str | None = None
    embedding_dim: int = 128
    epochs: int = 10
    batch_size: int = 128
    images_per_class: int | None = None
    augment: bool = True
    learning_rate: float = 1e-3
    proxy_learning_rate: float = 1e-2
    seed: int = 0


# What `--loss` accepts: a name to a loss, and whether it reads a taxonomy.
LOSSES = {
    "proxy-anchor": losses.ProxyAnchorLoss,
    "proxy-nca": losses.ProxyNCALoss,
    "normalized-softmax": losses.NormalizedSoftmaxLoss,
    "soft-triple": losses.SoftTripleLoss,
    "cosface": losses.CosFaceLoss,
    "arcface": losses.ArcFaceLoss,
    "sub-center-arcface": losses.SubCenterArcFaceLoss,
    "hpl": losses.HierProxyLoss,
    "hpl-taxonomy": losses.HierProxyLoss,
    "multi-similarity": losses.MultiSimilarityLoss,
    "sup-con": losses.SupConLoss,
    "triplet": losses.TripletLoss,
}
_CENTERS = {"soft-triple": 10, "sub-center-arcface": 3}


def load_data(settings):
    """The splits that the settings name: a known data set or a folder of images."""
    options = {}
    if settings.data == "omniglot":
        options["skip_bad"] = settings.skip_bad
        for name in ("train_groups", "test_groups"):
            if getattr(settings, name):
                options[name] = tuple(getattr(settings, name))
    elif settings.train_groups or settings.test_groups:
        raise ValueError(
            "Groups of classes can be chosen for the data set 'omniglot' (its "
            f"alphabets). Received groups for {settings.data!r}."
        )
    if pathlib.Path(settings.data).is_dir():
        return datasets.from_directory(settings.data, skip_bad=settings.skip_bad)
    return datasets.load(settings.data, root=settings.root, **options)


def build_embedder(settings, train):
    """A compiled embedder for the training classes, from scratch or from a preset."""
    if settings.loss not in LOSSES:
        raise ValueError(
            f"Unknown loss {settings.loss!r}. Known: {', '.join(LOSSES)}."
        )
    keras.utils.set_random_seed(settings.seed)
    proxies = _proxies(settings, train)
    if settings.preset is None:
        backbone = models.conv4(train.images.shape[1:])
        embedder = models.ImageEmbedder(
            backbone, embedding_dim=settings.embedding_dim, proxies=proxies
        )
    else:
        embedder = models.ImageEmbedder.from_preset(settings.preset, proxies=proxies)
    optimizer = optimizers.grouped(
        embedder,
        backbone=settings.learning_rate,
        head=settings.learning_rate,
        proxies=settings.proxy_learning_rate,
    )
    embedder.compile(optimizer, loss=LOSSES[settings.loss]())
    return embedder


def train_run(settings, folder, data, embedder, resume=False, callbacks=()):
    """Trains, keeps the best validation epoch, and evaluates it on the test classes.

    Ctrl-C ends training after the current step and goes on with the best weights so
    far; a second one ends at once. A run that was killed goes on with `resume`.

    Args:
        settings: `Settings`.
        folder: where the run goes, which must be new or empty unless `resume`.
        data: the splits, of `load_data`.
        embedder: of `build_embedder`.
        resume: bool, whether to go on with the run in the folder.
        callbacks: further Keras callbacks.

    Returns:
        The metrics, as in `metrics.json`.
    """
    folder = pathlib.Path(folder)
    before = _open_folder(folder, settings, resume, lambda: _test(embedder, data))
    history = read_history(folder) if resume else {}
    interrupt = StopOnInterrupt()
    embedder.fit(
        _batches(settings, data.train),
        epochs=settings.epochs,
        verbose=0,
        callbacks=[
            RetrievalEvaluation(data.validation, batch_size=settings.batch_size),
            keras.callbacks.ModelCheckpoint(
                folder / "best.weights.h5",
                monitor=MONITOR,
                mode="max",
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=max(history.get(MONITOR, []), default=None),
            ),
            keras.callbacks.CSVLogger(folder / "history.csv", append=resume),
            keras.callbacks.BackupAndRestore(
                folder / "backup", delete_checkpoint=False
            ),
            interrupt,
            *callbacks,
        ],
    )
    return _finish(folder, settings, data, embedder, before, interrupt.interrupted)


def settings_of(path):
    """The settings of a run's folder; the defaults for another model."""
    record = pathlib.Path(path) / "run.json"
    if not record.exists():
        return Settings()
    return Settings(**json.loads(record.read_text())["settings"])


def load_embedder(path):
    """The embedder in a run's folder, a `.keras` file or a preset's folder."""
    path = pathlib.Path(path)
    if (path / "model.keras").exists():
        path = path / "model.keras"
    if path.suffix == ".keras" and path.exists():
        return keras.models.load_model(path)
    if (path / "config.json").exists():
        return models.ImageEmbedder.from_preset(path, num_classes=None)
    raise FileNotFoundError(
        f"There is no model at {path}: expected a run's folder with model.keras, a "
        ".keras file, or a preset's folder with config.json."
    )


def read_history(folder):
    """`history.csv` as a dict of lists, without the column of epochs."""
    path = pathlib.Path(folder) / "history.csv"
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: [float(row[name]) for row in rows]
        for name in (rows[0] if rows else ())
        if name != "epoch"
    }


class StopOnInterrupt(keras.callbacks.Callback):
    """Turns the first Ctrl-C into a clean stop after the current step."""

    interrupted = False

    def on_train_begin(self, logs=None):
        self._previous = signal.signal(signal.SIGINT, self._interrupt)

    def on_train_end(self, logs=None):
        signal.signal(signal.SIGINT, self._previous)

    def _interrupt(self, signum, frame):
        self.interrupted = True
        self.model.stop_training = True
        signal.signal(signal.SIGINT, self._previous)


def _proxies(settings, train):
    if settings.loss == "hpl-taxonomy":
        return HierProxies(
            train.num_classes, taxonomy=train.taxonomy, name="proxies"
        )
    return HierProxies(
        train.num_classes,
        level_sizes=tuple(settings.level_sizes) if settings.level_sizes else "auto",
        centers_per_class=_CENTERS.get(settings.loss, 1),
        name="proxies",
    )


def _batches(settings, train):
    sampling = {}
    if settings.images_per_class:
        sampling = {"sampler": "balanced", "images_per_class": settings.images_per_class}
    augment = datasets.RandomAffine() if settings.augment else None
    return train.batches(
        settings.batch_size, seed=settings.seed, augment=augment, **sampling
    )


def _open_folder(folder, settings, resume, evaluate_before):
    """Recall before training, computed for a new run and read for a resumed one."""
    record_path = folder / "run.json"
    if resume:
        if not record_path.exists():
            raise ValueError(f"There is no run to resume in {folder}.")
        record = json.loads(record_path.read_text())
        changed = [
            name
            for name, value in dataclasses.asdict(settings).items()
            if record["settings"][name] != value and name != "epochs"
        ]
        if changed:
            raise ValueError(
                f"The run in {folder} was started with other settings: "
                f"{', '.join(changed)}. Resume with the same, or start a new run."
            )
        return record["test_before"]
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(
            f"{folder} is not empty. Resume the run that it holds, or choose another "
            "folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "settings": dataclasses.asdict(settings),
        "backend": keras.backend.backend(),
        "test_before": evaluate_before(),
    }
    record_path.write_text(json.dumps(record, indent=2))
    return record["test_before"]


def _finish(folder, settings, data, embedder, before, interrupted):
    embedder.load_weights(folder / "best.weights.h5")
    embedder.save(folder / "model.keras")
    points = embedder.embed(data.test.images, settings.batch_size)
    history = read_history(folder)
    recall = history[MONITOR]
    metrics = {
        "test": evaluate(points, data.test.labels, geometry=embedder.geometry),
        "test_before": before,
        "selected_epoch": 1 + recall.index(max(recall)),
        "epochs": len(recall),
        "interrupted": interrupted,
        MONITOR: max(recall),
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2))
    pictures.plot_recall(history, folder / "recall.png", data.validation.level_names)
    pictures.plot_neighbors(
        data.test, points, folder / "neighbors.png", geometry=embedder.geometry
    )
    if not interrupted:
        shutil.rmtree(folder / "backup", ignore_errors=True)
    return metrics


def _test(embedder, data):
    points = embedder.embed(data.test.images)
    return evaluate(points, data.test.labels, geometry=embedder.geometry)
