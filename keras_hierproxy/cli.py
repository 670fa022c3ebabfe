"""The command `hierproxy`."""

import importlib.util
import os
import pathlib
import sys
import time
from typing import Annotated

import keras
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Trains and evaluates embedders of images by hierarchical proxies.",
)
console = Console()
BACKENDS = ("tensorflow", "jax", "torch")

Data = Annotated[
    str,
    typer.Option(
        help="`glyphs` (rendered from fonts, nothing to download), `omniglot` "
        "(handwriting; needs --root), or a folder of images with a folder a class."
    ),
]
Root = Annotated[
    str | None,
    typer.Option(help="Folder that holds the official files of the data set."),
]
Groups = Annotated[
    str | None,
    typer.Option(help="Alphabets, separated by commas, instead of the fixed split."),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Count unreadable images and go on.")
]
Backend = Annotated[
    str | None,
    typer.Option(
        help="`tensorflow`, `jax` or `torch`; by default what `KERAS_BACKEND` or "
        "Keras's own configuration says."
    ),
]


@app.callback()
def _commands():
    """Trains and evaluates embedders of images by hierarchical proxies."""


@app.command()
def train(
    data: Data = "glyphs",
    root: Root = None,
    loss: Annotated[
        str,
        typer.Option(
            help="`proxy-anchor`, `hpl` (a learned hierarchy), `hpl-taxonomy` (that of "
            "the labels), `proxy-nca`, `normalized-softmax`, `soft-triple`, `cosface`, "
            "`arcface`, `sub-center-arcface`, `multi-similarity`, `sup-con` or "
            "`triplet`."
        ),
    ] = "hpl",
    level_sizes: Annotated[
        str | None,
        typer.Option(
            help="Sizes of the coarse levels of `hpl`, such as `50` or `50,8`; by "
            "default one level of the square root of the number of classes."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Start from this preset (a folder or a keras-hub name)."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images.")] = 10,
    batch_size: Annotated[int, typer.Option(min=2)] = 128,
    images_per_class: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Class-balanced batches with so many images of each class, which the "
            "losses over pairs need (their default: 4).",
        ),
    ] = None,
    embedding_dim: Annotated[int, typer.Option(min=2)] = 128,
    learning_rate: Annotated[
        float, typer.Option(help="Of the network; proxies have their own.")
    ] = 1e-3,
    proxy_learning_rate: float = 1e-2,
    augment: Annotated[
        bool, typer.Option(help="Distort images by small random affine maps.")
    ] = True,
    train_groups: Groups = None,
    test_groups: Groups = None,
    skip_bad: SkipBad = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output", "-o", help="Folder of the run; by default runs/DATA-LOSS-SEED."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --output.")
    ] = False,
    backend: Backend = None,
):
    """Trains an embedder; reports recall on classes it has never seen.

    Model selection uses validation classes taken out of the training ones. The test
    classes are evaluated once before training and once at the end, with the weights
    of the best validation epoch. **Ctrl-C** stops cleanly and keeps those.

    Examples:

        hierproxy train

        hierproxy train --data omniglot --root data --loss proxy-anchor --epochs 60

        hierproxy train --data photos/ --loss hpl --level-sizes 50,8
    """
    _ensure_backend(backend)
    from keras_hierproxy import runs

    if images_per_class is None and loss in ("multi-similarity", "sup-con", "triplet"):
        images_per_class = 4
    settings = runs.Settings(
        data=data,
        root=root,
        train_groups=_split(train_groups),
        test_groups=_split(test_groups),
        skip_bad=skip_bad,
        loss=loss,
        level_sizes=_sizes(level_sizes),
        preset=preset,
        embedding_dim=embedding_dim,
        epochs=epochs,
        batch_size=batch_size,
        images_per_class=images_per_class,
        augment=augment,
        learning_rate=learning_rate,
        proxy_learning_rate=proxy_learning_rate,
        seed=seed,
    )
    if output is None:
        output = pathlib.Path("runs") / f"{pathlib.Path(data).name}-{loss}-{seed}"
    with console.status(f"Reading {data} ..."):
        splits = runs.load_data(settings)
    _print_splits(splits)
    with console.status("Building the model ..."):
        embedder = runs.build_embedder(settings, splits.train)
    metrics = runs.train_run(
        settings, output, splits, embedder, resume, callbacks=[ProgressLines(epochs)]
    )
    if metrics["interrupted"]:
        console.print("Stopped early; these are the best weights so far.")
    _print_recall(
        splits.test, {"before": metrics["test_before"], "after": metrics["test"]}
    )
    console.print(
        f"Epoch {metrics['selected_epoch']} of {metrics['epochs']} was best on the "
        f"validation classes. Model, history and pictures: [bold]{output}[/bold]"
    )


@app.command()
def evaluate(
    model: Annotated[
        pathlib.Path,
        typer.Argument(help="Folder of a run, a `.keras` file or a preset folder."),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="As in `train`; by default what the run was trained on."),
    ] = None,
    root: Root = None,
    split: Annotated[
        str, typer.Option(help="`test`, `validation` or `train`.")
    ] = "test",
    train_groups: Groups = None,
    test_groups: Groups = None,
    skip_bad: SkipBad = False,
    k: Annotated[str, typer.Option(help="The K of Recall@K.")] = "1,2,4,8",
    output: Annotated[
        pathlib.Path | None,
        typer.Option("--output", "-o", help="Write the metrics to this JSON file."),
    ] = None,
    backend: Backend = None,
):
    """Reports retrieval metrics of a trained embedder, at every level of the labels.

    Every image of the split is a query against all others of it.

    Examples:

        hierproxy evaluate runs/glyphs-hpl-0

        hierproxy evaluate runs/glyphs-hpl-0 --data omniglot --root data
    """
    _ensure_backend(backend)
    import json

    from keras_hierproxy import retrieval, runs

    settings = runs.settings_of(model)
    if data is not None:
        settings = runs.Settings(
            data=data,
            train_groups=_split(train_groups),
            test_groups=_split(test_groups),
            skip_bad=skip_bad,
        )
    if root is not None:
        settings.root = root
    if split not in ("test", "validation", "train"):
        raise ValueError(
            f"--split must be test, validation or train. Received: {split!r}."
        )
    with console.status("Reading ..."):
        chosen = getattr(runs.load_data(settings), split)
        embedder = runs.load_embedder(model)
    points = embedder.embed(chosen.images, verbose=1)
    with console.status("Searching ..."):
        results = retrieval.evaluate(
            points, chosen.labels, k=_sizes(k), geometry=embedder.geometry
        )
    _print_recall(chosen, {split: results})
    if output is not None:
        output.write_text(json.dumps(results, indent=2))


class ProgressLines(keras.callbacks.Callback):
    """A progress bar for the current epoch, a line for each finished one."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_train_begin(self, logs=None):
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            transient=True,
        )
        self.progress.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.time()
        self.task = self.progress.add_task(
            f"epoch {epoch + 1}/{self.epochs}", total=self.params["steps"]
        )

    def on_train_batch_end(self, batch, logs=None):
        self.progress.update(self.task, completed=batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        self.progress.remove_task(self.task)
        numbers = "  ".join(
            f"{name} {logs[name]:.4f}" for name in ("loss", "val_recall@1")
        )
        seconds = time.time() - self.started
        self.progress.print(f"epoch {epoch + 1}/{self.epochs}  {seconds:.0f} s  {numbers}")

    def on_train_end(self, logs=None):
        self.progress.stop()


def main():
    """Runs the command; mistakes of the user end in a message, not a traceback."""
    try:
        app()
    except (ValueError, FileNotFoundError) as error:
        console.print(f"[bold red]Error:[/bold red] {error}", highlight=False)
        sys.exit(2)


def _ensure_backend(backend):
    """Starts over with the backend asked for, which Keras reads when imported."""
    if backend is None or backend == keras.backend.backend():
        return
    if backend not in BACKENDS:
        raise ValueError(
            f"Unknown backend {backend!r}. Known: {', '.join(BACKENDS)}."
        )
    if importlib.util.find_spec(backend) is None:
        raise ValueError(
            f"The backend {backend!r} is not installed. Install it with "
            f"`pip install 'keras-hierproxy[{backend}]'`."
        )
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-m", "keras_hierproxy.cli", *sys.argv[1:]]
    os.execve(sys.executable, command, environment)


def _split(text):
    return None if text is None else [part.strip() for part in text.split(",")]


def _sizes(text):
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"Expected whole numbers separated by commas. Received: {text!r}."
        ) from None


def _print_splits(splits):
    table = Table("split", "images", *splits.train.level_names)
    for name in ("train", "validation", "test"):
        part = getattr(splits, name)
        counts = [str(len(names)) for names in part.class_names]
        table.add_row(name, str(len(part)), *counts)
    console.print(table)


def _print_recall(data, columns):
    """A row for each level and metric, a column for each dict of results."""
    table = Table("level", "metric", *columns, title=f"{len(data)} queries")
    for level, name in enumerate(data.level_names):
        prefix = f"level{level}_" if level else ""
        metrics = [
            key.removeprefix(prefix)
            for key in next(iter(columns.values()))
            if key.startswith(f"{prefix}recall@")
        ]
        for i, metric in enumerate(metrics):
            values = [f"{results[prefix + metric]:.3f}" for results in columns.values()]
            table.add_row("" if i else name, metric, *values)
        table.add_section()
    console.print(table)


if __name__ == "__main__":
    main()
