"""The command `hierproxy`.

It stands outside the package because importing that imports Keras, which takes
seconds and settles the backend: here the help comes at once, and `--backend` in time.
"""

import contextlib
import datetime
import enum
import json
import os
import pathlib
import shlex
import sys
import time
import warnings
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table
from typer.main import get_command

console = Console(highlight=False)
_LOOK = {
    "no_args_is_help": True,
    "rich_markup_mode": "markdown",
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, **_LOOK)
zoo_app = typer.Typer(
    help="Shows the shipped presets and recipes; trains by a recipe.", **_LOOK
)
app.add_typer(zoo_app, name="zoo")


def _choice(name, *values):
    return enum.StrEnum(name, {value: value for value in values})


Backend = _choice("Backend", "tensorflow", "jax", "torch")
DType = _choice("DType", "float32", "float16")
Split = _choice("Split", "test", "validation", "train", "all")
Augment = _choice("Augment", "affine", "crop", "none")
Loss = _choice(
    "Loss",
    "hpl",
    "hpl-taxonomy",
    "proxy-anchor",
    "proxy-nca",
    "normalized-softmax",
    "soft-triple",
    "cosface",
    "arcface",
    "sub-center-arcface",
    "multi-similarity",
    "sup-con",
    "triplet",
    "hier",
    "hpl-hier",
    "hyp",
)


# Metrics of a level of the labels, and of all levels together.
_OF_A_LEVEL = ("recall", "precision", "r_precision", "map", "mrr", "nmi", "ami")
_GRADED = ("ndcg", "asi", "h_ap")


def _names(text: str):
    return [name.strip() for name in text.split(",")]


def _positive_integers(text: str):
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(numbers) < 1:
        raise typer.BadParameter(
            f"{text!r} is not a list of numbers from 1 on, such as 8,50."
        )
    return numbers


def _option(help, *names, panel="Run", **options):
    return typer.Option(*names, help=help, rich_help_panel=panel, **options)


Root = Annotated[
    str | None,
    _option(
        "The folder with the official files of the data set, unpacked; of a .csv file, "
        "the one that its paths start from.",
        panel="Data",
        metavar="FOLDER",
    ),
]
TrainGroups = Annotated[
    object | None,
    _option(
        "Alphabets of `omniglot` and `letters` to train on, separated by commas, "
        "instead of the fixed split.",
        panel="Data",
        parser=_names,
        metavar="NAMES",
    ),
]
TestGroups = Annotated[
    object | None,
    _option(
        "Alphabets of `omniglot` and `letters` to test on.",
        panel="Data",
        parser=_names,
        metavar="NAMES",
    ),
]
TestSplit = Annotated[
    str | None,
    _option(
        "The official split of `grocery_store` to test on, `test` (the default) or "
        "`val`.",
        panel="Data",
        metavar="NAME",
    ),
]
SkipBad = Annotated[
    bool,
    _option(
        "Leave out images that cannot be read, and count them.",
        "--skip-bad",
        panel="Data",
    ),
]
BackendOption = Annotated[
    Backend | None,
    _option(
        "`tensorflow`, `jax` or `torch`; by default what `KERAS_BACKEND` or Keras's "
        "configuration says.",
        metavar="NAME",
    ),
]


@app.callback()
def _about():
    """Trains embedders of images by hierarchical proxies, and measures retrieval.

    Start with `hierproxy train`: it needs no files and takes a few minutes.
    """


@app.command()
def train(
    context: typer.Context,
    data: Annotated[
        str,
        _option(
            "`glyphs` (letters rendered from fonts, nothing to download), `omniglot` "
            "(handwriting), `letters` (both); photos of `cub`, `cars`, `sop`, "
            "`in_shop`, `inaturalist`, `grocery_store`. All but `glyphs` need --root. "
            "Or your own: a folder of images with a folder a class (nested folders are "
            "coarser levels), or a .csv file with the columns path, one or more of "
            "labels and, if need be, split.",
            panel="Data",
            metavar="NAME",
        ),
    ] = "glyphs",
    root: Root = None,
    train_groups: TrainGroups = None,
    test_groups: TestGroups = None,
    test_split: TestSplit = None,
    image_size: Annotated[
        int | None,
        _option(
            "Side in pixels to which images are brought. By default 32 for letters, "
            "64 for a folder, 96 for other photos, and 224 with --preset. Time grows "
            "with its square.",
            panel="Data",
            metavar="N",
            min=16,
        ),
    ] = None,
    skip_bad: SkipBad = False,
    loss: Annotated[
        Loss,
        _option(
            "Over proxies: `hpl` (learns a hierarchy), `hpl-taxonomy` (takes that of "
            "the labels), `proxy-anchor`, `proxy-nca`, `normalized-softmax`, "
            "`soft-triple`, `cosface`, `arcface`, `sub-center-arcface`. Over pairs: "
            "`multi-similarity`, `sup-con`, `triplet`. In hyperbolic space: `hier` "
            "(Proxy-Anchor with HIER), `hpl-hier`, `hyp` (SupCon by distance).",
            panel="Model",
            metavar="NAME",
        ),
    ] = "hpl",
    level_sizes: Annotated[
        object | None,
        _option(
            "Sizes of the coarse levels of `hpl` and `hpl-hier`, such as `50` or "
            "`50,8`; by default one level of the square root of the number of classes.",
            panel="Model",
            parser=_positive_integers,
            metavar="SIZES",
        ),
    ] = None,
    latent_proxies: Annotated[
        int | None,
        _option(
            "How many latent proxies `hier` and `hpl-hier` have; 512.",
            panel="Model",
            metavar="N",
            min=2,
        ),
    ] = None,
    max_triplets: Annotated[
        int | None,
        _option(
            "How many triplets `hier` and `hpl-hier` draw at most for each of HIER's "
            "two terms; by default 50 for each image and each latent proxy. Fewer are "
            "faster and noisier.",
            panel="Training",
            metavar="N",
            min=1,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        _option(
            "Start from a pretrained model instead of from scratch: a shipped preset "
            "(`hierproxy zoo list`), a preset's folder, or a keras-hub name or handle.",
            panel="Model",
            metavar="NAME",
        ),
    ] = None,
    embedding_dim: Annotated[
        int | None,
        _option("Dimensions of an embedding; 128.", panel="Model", metavar="N", min=2),
    ] = None,
    epochs: Annotated[
        int, _option("Passes over the images.", panel="Training", metavar="N", min=1)
    ] = 10,
    batch_size: Annotated[
        int, _option("Images in a step.", panel="Training", metavar="N", min=2)
    ] = 128,
    images_per_class: Annotated[
        int | None,
        _option(
            "Draw batches class by class, with so many images of each. By default 4 "
            "for the losses over pairs and 2 for those in hyperbolic space; the others "
            "take images as they come.",
            panel="Training",
            metavar="N",
            min=2,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        _option(
            "Of the network; 1e-3. With --preset by default 1e-5 for its backbone "
            "and 1e-4 for the rest.",
            panel="Training",
            metavar="RATE",
            min=0.0,
        ),
    ] = None,
    proxy_learning_rate: Annotated[
        float, _option("Of the proxies.", panel="Training", metavar="RATE", min=0.0)
    ] = 1e-2,
    augment: Annotated[
        Augment | None,
        _option(
            "`affine` turns, stretches and shifts images a little; `crop` cuts random "
            "parts out of them and mirrors every other one; or `none`. By default "
            "`affine` for `glyphs`, `omniglot` and `letters`, `crop` for photos.",
            panel="Training",
            metavar="NAME",
        ),
    ] = None,
    seed: Annotated[
        int,
        _option("The same seed, the same run.", panel="Training", metavar="N", min=0),
    ] = 0,
    recipe: Annotated[
        str | None,
        _option(
            "A recipe, which states every setting: a shipped one, as `hierproxy zoo` "
            "lists them, or a .toml file. Beside it go --root, --skip-bad, --seed, "
            "--epochs and the options of the run.",
            panel="Recipe",
            metavar="NAME",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        _option(
            "Changes a setting of the recipe, such as `loss.margin=0.2`; the value as "
            "in TOML. May be repeated.",
            "--set",
            panel="Recipe",
            metavar="PATH=VALUE",
        ),
    ] = None,
    is_dry_run: Annotated[
        bool,
        _option(
            "Builds the recipe's model with random weights, runs two steps on random "
            "images, and tells the plan, the memory and the time of an epoch. It needs "
            "neither the data nor the network.",
            "--dry-run",
            panel="Recipe",
        ),
    ] = False,
    output: Annotated[
        pathlib.Path | None,
        _option(
            "The run's folder; by default runs/DATA-LOSS-SEED or runs/RECIPE-SEED.",
            "--output",
            "-o",
            metavar="FOLDER",
        ),
    ] = None,
    resume: Annotated[
        bool,
        _option(
            "Go on with the run in --output, with its settings; --epochs may be more.",
            "--resume",
        ),
    ] = False,
    backend: BackendOption = None,
):
    """Trains an embedder; reports recall on classes that it has never seen.

    The best epoch is chosen on validation classes, which are taken out of the
    training ones. The test classes are evaluated once before training and once at the
    end. **Ctrl-C** stops cleanly and keeps the best epoch so far; `--resume` goes on
    from there, or after a crash.

    Examples:

        hierproxy train
        hierproxy train --data omniglot --root data --loss proxy-anchor --epochs 80
        hierproxy train --data photos/ --loss hpl --level-sizes 50,8
        hierproxy train --recipe hier_resnet50_cub --root data --set loss.margin=0.2
        hierproxy train --resume --output runs/photos-hpl-0 --epochs 40
    """
    for option, is_there in (("--set", changes), ("--dry-run", is_dry_run)):
        if is_there and recipe is None:
            raise ValueError(f"{option} is for recipes. Name one with --recipe.")
    runs = _import_runs(backend)
    options = [name for name in runs.SETTINGS if name in context.params]
    options.remove("recipe")
    given = {n: context.params[n] for n in options if _is_given(context, n)}
    if recipe is not None:
        settings = runs.recipe_settings(recipe, changes or [], given)
        name, seed = settings["recipe"]["name"], settings["seed"]
        if is_dry_run:
            with console.status("Building the model, running two steps ..."):
                plan = runs.dry_run(runs.Settings(**settings))
            _print_plan(plan)
            return
    else:
        settings = given if resume else {n: context.params[n] for n in options}
        name = f"{pathlib.Path(data).resolve().name.removesuffix('.csv')}-{loss}"
    if output is None:
        output = pathlib.Path("runs", f"{name}-{seed}")
    go_on = f"hierproxy train --resume --output {shlex.quote(str(output))}"
    run = (runs.resume_run if resume else runs.new_run)(output, settings)

    with console.status(f"Reading {run.settings.data} ..."):
        splits = runs.load_data(run.settings)
    _print_splits(splits)
    with console.status("Building the model, evaluating it untrained ..."):
        run.begin(splits, runs.build_embedder(run.settings, splits.train))
    with runs.EpochLines(console, run.settings.epochs) as lines:
        run.fit(callbacks=[lines])
    if not run.history:
        console.print(
            "Stopped before the end of the first epoch: nothing to keep yet. "
            f"To begin it again: {go_on}",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(130)
    with console.status("Evaluating on the test classes ..."):
        metrics = run.finish()

    _print_metrics(
        splits.test,
        {
            "before": (metrics["test_before"], {}),
            "after": (metrics["test"], metrics["intervals"]),
        },
    )
    if metrics["interrupted"]:
        console.print(
            f"Stopped early. To go on after the last whole epoch: {go_on}",
            markup=False,
            soft_wrap=True,
        )
    if "reported" in metrics:
        _print_reported(metrics["reported"])
    selected = f"Epoch {metrics['selected_epoch']} of {metrics['epochs']}"
    if run.recipe is not None and run.recipe.training.selection == "last":
        chosen = f"{selected}, the last, as the recipe says."
    else:
        chosen = f"{selected} was best on the validation classes."
    console.print(f"{chosen} Model, pictures and report.html:")
    console.print(str(output), markup=False, soft_wrap=True)


@app.command()
def evaluate(
    context: typer.Context,
    model: Annotated[
        pathlib.Path,
        typer.Argument(
            help="Folder of a run, a `.keras` file, a preset's folder or the name of a "
            "shipped preset; or a folder of embeddings, as `hierproxy embed` writes it."
        ),
    ],
    data: Annotated[
        str | None,
        _option(
            "As in `train`; by default what the run was trained on.",
            panel="Data",
            metavar="NAME",
        ),
    ] = None,
    root: Root = None,
    train_groups: TrainGroups = None,
    test_groups: TestGroups = None,
    test_split: TestSplit = None,
    split: Annotated[
        Split | None,
        _option(
            "`test`, `validation` or `train`, or `all` of a folder or a CSV file. By "
            "default `all` of a folder that the run was not trained on, and of a CSV "
            "file without a column `split`; else `test`.",
            panel="Data",
            metavar="NAME",
        ),
    ] = None,
    skip_bad: SkipBad = False,
    k: Annotated[
        object | None,
        _option(
            "The K of Recall@K, such as `1,10,100`; by default 1, 2, 4 and 8.",
            parser=_positive_integers,
            metavar="KS",
        ),
    ] = None,
    metrics: Annotated[
        object | None,
        _option(
            "Any of `recall`, `precision@1`, `r_precision`, `map@r` (these four by "
            "default), `map`, `mrr`, `ndcg`, `asi`, `h_ap`, `nmi`, `ami`, or `all`. "
            "The last seven take longer.",
            parser=_names,
            metavar="NAMES",
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        _option(
            "Write metrics.json, queries.csv and report.html to this folder.",
            "--output",
            "-o",
            metavar="FOLDER",
        ),
    ] = None,
    backend: BackendOption = None,
):
    """Reports retrieval metrics of a trained embedder, at every level of the labels.

    Every image of the split is a query against all others of it, or, where the data
    set has a gallery of its own, the queries retrieve from that. Means stand with
    their 95% intervals.

    Examples:

        hierproxy evaluate runs/glyphs-hpl-0
        hierproxy evaluate runs/glyphs-hpl-0 --metrics all --output evaluation
        hierproxy evaluate runs/glyphs-hpl-0 --data omniglot --root data
        hierproxy evaluate runs/photos-hpl-0 --data other_photos/
        hierproxy evaluate gallery/
    """
    runs = _import_runs(backend)
    changes = _data_options(context)
    if output is not None:
        runs.check_empty(output)
    if runs.holds_embeddings(model):
        if changes or data is not None or split is not None:
            raise ValueError(
                f"{model} holds embeddings, which are evaluated as they are: --data, "
                "--split and their options do not go with them."
            )
        name = "embeddings"
        done = runs.evaluate_embeddings(model, k, metrics, console.is_terminal)
    else:
        settings, usual_split = runs.evaluation_settings(model, data, changes)
        name = str(split or usual_split)
        with console.status("Reading ..."):
            embedder = runs.load_embedder(model)
            chosen = runs.load_split(settings, name, embedder, model)
        done = runs.evaluate_split(embedder, chosen, k, metrics, console.is_terminal)
    _print_metrics(done.data, {name: (done.results, done.intervals)})
    if output is not None:
        with console.status("Writing the report ..."):
            facts = [("model", str(model)), ("images", f"{len(done.data):,}")]
            done.write(output, {name: done.results}, facts)
        if not done.has_images:
            console.print(
                "No report.html: the paths in items.csv are not those of image files. "
                "They lie in an archive, or were moved."
            )
        console.print("Metrics, scores of every query and what there is to look at:")
        console.print(str(output), markup=False, soft_wrap=True)


@app.command()
def compare(
    first: Annotated[
        pathlib.Path,
        typer.Argument(help="Folder of a run, or one that `evaluate` wrote."),
    ],
    second: Annotated[
        pathlib.Path, typer.Argument(help="Another one, of the same queries.")
    ],
):
    """Tells whether two runs differ by more than chance, query by query.

    Both must have been evaluated on the same queries. For each metric: the two means,
    their difference with its 95% bootstrap interval, and p of a paired randomisation
    test. It compares these two models; other seeds of the same training may differ by
    more.

    Examples:

        hierproxy compare runs/glyphs-proxy-anchor-0 runs/glyphs-hpl-0
    """
    level_names, compared, only_one = _import_runs(None).compare_runs(first, second)
    title = f"first: {escape(str(first))}\nsecond: {escape(str(second))}"
    table = Table(title=title, box=box.SIMPLE, pad_edge=False)
    for header in ("metric", "first", "second", "second - first (95%)", "p", "better"):
        table.add_column(header, no_wrap=True)
    for level, rows in _by_level(level_names, compared).items():
        if not rows:
            continue
        table.add_row(f"[bold]{escape(level)}")
        for metric, name in rows.items():
            row = compared[name]
            low, high = row.interval
            table.add_row(
                metric,
                f"{row.first:.3f}",
                f"{row.second:.3f}",
                f"{row.difference:+.3f} ({low:+.3f}, {high:+.3f})",
                f"{row.p:.4f}",
                row.better,
            )
        table.add_section()
    console.print(table)
    if not any(row.better for row in compared.values()):
        console.print("No difference is shown.")
    if only_one:
        console.print(f"Only one of the two has: {', '.join(only_one)}.")
    console.print(
        "p is of each metric by itself: where nothing differs, one metric in twenty "
        "has p < 0.05 all the same.",
        soft_wrap=True,
    )


@app.command()
def embed(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="A folder of images, with a folder a class or without classes; a "
            "`.csv` file or a name as in `train --data`."
        ),
    ],
    model: Annotated[
        pathlib.Path,
        typer.Argument(
            help="Folder of a run, a `.keras` file, a preset's folder or the name of a "
            "shipped preset."
        ),
    ],
    output: Annotated[
        pathlib.Path,
        _option("The folder to write to.", "--output", "-o", metavar="FOLDER"),
    ],
    root: Root = None,
    train_groups: TrainGroups = None,
    test_groups: TestGroups = None,
    test_split: TestSplit = None,
    split: Annotated[
        Split | None,
        _option(
            "`test`, `validation` or `train`, or `all` of a folder or a CSV file. By "
            "default `all` of a folder, and of a CSV file without a column `split`; "
            "else `test`.",
            panel="Data",
            metavar="NAME",
        ),
    ] = None,
    skip_bad: SkipBad = False,
    dtype: Annotated[
        DType,
        _option(
            "`float32`, or `float16`: half the size, and coordinates rounded to 11 "
            "bits.",
            metavar="NAME",
        ),
    ] = "float32",
    batch_size: Annotated[
        int, _option("Images that are embedded at a time.", metavar="N", min=1)
    ] = 128,
    backend: BackendOption = None,
):
    """Embeds images by a trained model into a folder of plain files.

    `embeddings.npy` holds the embeddings, `items.csv` path and labels of each,
    `embeddings.json` what they are. Read them with `khp.embeddings.load`, NumPy,
    pandas. Images are read while the model works, and memory does not grow with their
    number. After **Ctrl-C**, a crash or a full disk the same command goes on where it
    stopped, to the same result.

    Examples:

        hierproxy embed photos/ runs/photos-hpl-0 -o gallery
        hierproxy embed glyphs runs/glyphs-hpl-0 --split test -o glyphs-test
    """
    runs = _import_runs(backend)
    changes = _data_options(context)
    with console.status("Reading ..."):
        job = runs.prepare_embedding(
            data, model, output, changes, split and str(split), str(dtype), batch_size
        )
    total, before = len(job.data.images), job.writer.position
    if before:
        console.print(f"Going on after {before:,} of {total:,} images.")
    start = time.monotonic()
    with runs.ImageBar(console, total, before) as bar:
        finished = job.run(bar.advance)
    if not finished:
        console.print(
            f"Stopped after {job.writer.position:,} of {total:,} images. The same "
            "command goes on from there."
        )
        raise typer.Exit(130)
    seconds = time.monotonic() - start
    rate = (total - before) / seconds
    console.print(
        f"{job.writer.num_rows:,} embeddings in {seconds:,.0f} s, {rate:,.0f} images a "
        "second. They are in"
    )
    console.print(str(output), markup=False, soft_wrap=True)
    if job.writer.skipped:
        console.print(
            f"Images left out, named in embeddings.json: {len(job.writer.skipped):,}"
        )


@app.command()
def tree(
    run: Annotated[pathlib.Path, typer.Argument(help="Folder of a run.")],
    split: Annotated[
        Split | None,
        _option(
            "Whose images stand under the latent proxies: `train` (the default), "
            "`validation` or `test`, or `all` of a folder. Under coarse proxies "
            "always stand the training classes.",
            panel="Data",
            metavar="NAME",
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        _option(
            "The folder to write to; by default that of the run.",
            "--output",
            "-o",
            metavar="FOLDER",
        ),
    ] = None,
    backend: BackendOption = None,
):
    """Draws the hierarchy that a run has learned.

    Of a run with `--loss hpl`, its classes under the coarse proxies; with `hier`, the
    images in the Poincare disk and the classes, each the mean of its images, under the
    latent proxies; with `hpl-hier` both. The trees are also written as plain arrays,
    to `tree.json`.

    Examples:

        hierproxy tree runs/glyphs-hpl-0
        hierproxy tree runs/glyphs-hier-0 --split test --output pictures
    """
    runs = _import_runs(backend)
    with console.status("Reading the run, embedding its images ..."):
        trees = runs.read_trees(run, split and str(split))
    for learned in trees.values():
        _print_tree(learned)
    with console.status("Drawing ..."):
        paths = runs.write_trees(trees, output or run)
    for path in paths:
        console.print(str(path), markup=False, soft_wrap=True)


@zoo_app.command("list")
def zoo_list(
    recipes: Annotated[
        bool, _option("Recipes instead of presets.", "--recipes")
    ] = False,
):
    """Lists the shipped presets, or recipes.

    Presets are trained embedders: names for `hierproxy evaluate`, `hierproxy embed`,
    `hierproxy train --preset` and, in Python, `ImageEmbedder.from_preset`. Recipes are
    training runs that state every setting, for `hierproxy zoo train`.

    Examples:

        hierproxy zoo list
        hierproxy zoo list --recipes
    """
    zoo = _import_zoo()
    if recipes:
        _print_recipes(zoo)
    else:
        _print_presets(zoo)


@zoo_app.command("show")
def zoo_show(
    name: Annotated[str, typer.Argument(help="Of a preset or a recipe.")],
    recipe: Annotated[
        bool,
        _option("The recipe, where a preset has the same name.", "--recipe"),
    ] = False,
):
    """Shows a preset's card, or a recipe's settings with their sources.

    Examples:

        hierproxy zoo show hierproxy_cnn_glyphs
        hierproxy zoo show hierproxy_cnn_glyphs --recipe
        hierproxy zoo show hier_resnet50_cub
    """
    zoo = _import_zoo()
    if not recipe and zoo.describe(name)["kind"] == "preset":
        console.print(Markdown(zoo.card(name)))
    else:
        _print_settings(zoo.load_recipe(name).model_dump(exclude_unset=True))


@zoo_app.command(
    "train",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def zoo_train(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Of a preset or a recipe.")],
    backend: BackendOption = None,
):
    """Trains a preset anew, or what a recipe says: `train --recipe`.

    Options are those of `hierproxy train`, such as --root, --seed, --set, --dry-run
    and --output.

    Examples:

        hierproxy zoo train hierproxy_cnn_glyphs --seed 1
        hierproxy zoo train hier_resnet50_cub --root data/ --dry-run
    """
    _import_runs(backend)
    known = _import_zoo().describe(name)
    recipe = known["recipe"] if known["kind"] == "preset" else name
    arguments = ["--recipe", recipe, *context.args]
    get_command(app).commands["train"].main(
        arguments, prog_name="hierproxy zoo train", standalone_mode=False
    )


def main():
    """Runs the command; what the user can mend ends in a message, not a traceback."""
    # TensorFlow's notes: what goes wrong is raised anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.formatwarning = lambda message, *_: f"Warning: {message}\n"
    try:
        app()
    except (ValueError, OSError, ImportError) as error:
        # Not as markup: errors hold brackets.
        Console(stderr=True).print(
            f"Error: {error}", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(2)


def _import_runs(backend):
    """Imports what needs Keras, which reads the backend at that moment."""
    if backend is not None:
        os.environ["KERAS_BACKEND"] = backend
    with console.status("Starting Keras ..."), _quiet_stderr():
        from keras_hierproxy import runs
    if backend not in (None, runs.backend()):
        raise ValueError(
            f"--backend {backend} comes too late: in this process Keras already runs "
            f"on {runs.backend()}."
        )
    return runs


def _import_zoo():
    with console.status("Starting Keras ..."), _quiet_stderr():
        from keras_hierproxy import zoo
    return zoo


@contextlib.contextmanager
def _quiet_stderr():
    """Swallows what C++ libraries write, as TensorFlow does when it is imported."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _data_options(context):
    """What was given besides the data set's name, for its settings."""
    names = ("root", "train_groups", "test_groups", "test_split", "skip_bad")
    return {name: context.params[name] for name in names if _is_given(context, name)}


def _is_given(context, name):
    return context.get_parameter_source(name).name != "DEFAULT"


def _print_presets(zoo):
    """A row for each preset; test sets stand below one another."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("preset", no_wrap=True)
    for header in ("method", "data"):
        table.add_column(header, min_width=6)
    for header in ("params", "size", "images/s"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("Recall@1", min_width=8)
    for name in zoo.list_presets():
        known = zoo.describe(name)
        recall = [
            f"{entry['value']:.3f} {entry['test_set']}" for entry in known["recall@1"]
        ]
        cells = (
            name,
            known["method"],
            known["data"],
            f"{known['parameters'] / 1e6:.2f} M",
            f"{known['size'] / 1e6:.1f} MB",
            f"{known['images_per_second']['value']:,}",
            "\n".join(recall),
        )
        table.add_row(*map(escape, cells))
    console.print(table if table.row_count else "No presets are shipped.")


def _print_recipes(zoo):
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    for header in ("description", "data"):
        table.add_column(header, overflow="fold")
    table.add_column("reported Recall@1", justify="right")
    for name in zoo.list_recipes():
        recipe = zoo.load_recipe(name)
        reported = ""
        if recipe.reported is not None and 1 in recipe.reported.k:
            recall = recipe.reported.recall[recipe.reported.k.index(1)]
            reported = f"{recall:.1f}"
        cells = (name, recipe.description, recipe.data.name, reported)
        table.add_row(*map(escape, cells))
    console.print(table if table.row_count else "No recipes are shipped.")


def _print_settings(recipe):
    """A row for each setting of a recipe, and where it comes from."""
    title = f"{recipe['name']}: {recipe['description']}\nsource: {recipe['source']}"
    table = Table(title=escape(title), box=box.SIMPLE, pad_edge=False)
    for header in ("setting", "value", "from"):
        table.add_column(header, overflow="fold")
    told = ("name", "description", "source", "ours", "reported")
    rest = {name: value for name, value in recipe.items() if name not in told}
    for paths, value in _settings(rest):
        ours = any(
            f"{path}.".startswith(f"{o}.") for path in paths for o in recipe["ours"]
        )
        origin = "ours" if ours else "source"
        table.add_row(escape(paths[0]), escape(json.dumps(value)), origin)
    console.print(table)
    if "reported" in recipe:
        reported = recipe["reported"]
        recall = zip(reported["k"], reported["recall"], strict=True)
        values = ", ".join(f"Recall@{k} {value}" for k, value in recall)
        console.print(escape(f"Reported: {values} ({reported['source']})."))


def _settings(table, *paths):
    """The settings of a recipe: `(paths, value)`, all paths that --set knows of it.

    In a list of tables, such as that of the losses, a step is the name of one; the
    first can do without.
    """
    for name, value in table.items():
        steps = [[*path, name] for path in paths or [()]]
        if isinstance(value, dict):
            yield from _settings(value, *steps)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, each in enumerate(value):
                named = [[*step, each["name"]] for step in steps]
                yield from _settings(each, *named, *([] if number else steps))
        else:
            yield [".".join(step) for step in steps], value


def _print_splits(splits):
    table = Table("split")
    for header in ("images", *splits.train.level_names):
        table.add_column(header, justify="right")
    for name in ("train", "validation", "test"):
        part = getattr(splits, name)
        if part is None:
            continue
        counts = [f"{len(names):,}" for names in part.class_names]
        table.add_row(name, f"{len(part):,}", *counts)
    console.print(table)


def _print_tree(learned):
    """A row for each level, from the root down."""
    leaf = {"class": "classes", "image": "images"}[learned.kinds[0]]
    total = f"{learned.tree.num_leaves:,} {leaf}"
    table = Table("depth", "nodes", title=f"{escape(learned.title)}\n{total}")
    for header in ("number", f"{leaf} under each: fewest", "median", "most"):
        table.add_column(header, justify="right")
    for depth, (kind, *numbers) in enumerate(learned.levels()):
        table.add_row(str(depth), kind, *(f"{number:,}" for number in numbers))
    console.print(table)
    inner = learned.kinds[learned.tree.num_leaves :]
    if "latent" in inner:
        console.print(f"{inner.count('latent')} latent proxies have {leaf} under them.")


def _print_metrics(data, columns):
    """A row for each level and metric, a column for each `(results, intervals)`."""
    first, _ = next(iter(columns.values()))
    table = Table("level", "metric", title=f"{first['num_queries']:,} queries")
    for title in columns:
        table.add_column(title, no_wrap=True)
    for level, metrics in _by_level(data.level_names, first).items():
        for i, (metric, name) in enumerate(metrics.items()):
            values = [
                _with_interval(results[name], intervals.get(name))
                for results, intervals in columns.values()
            ]
            table.add_row("" if i else escape(level), metric, *values)
        table.add_section()
    console.print(table)
    excluded = first["num_excluded"]
    if excluded:
        console.print(f"{excluded:,} queries are alone in their class and left out.")


def _print_plan(plan):
    """What `--dry-run` found out."""
    recipe = plan.recipe
    data, training = recipe.data, recipe.training
    backbone = recipe.model.backbone
    table = Table("", "", title=escape(f"{recipe.name}: {recipe.description}"))
    table.show_header = False
    weights = f"weights of {backbone.preset}" if backbone.preset else "from scratch"
    table.add_row("backbone", f"{backbone.architecture}, {weights}")
    count = plan.embedder.count_params()
    trained = plan.groups()
    frozen = count - sum(number for _, number, _ in trained)
    table.add_row("parameters", f"{count:,}, of which {frozen:,} never train")
    for name, number, rate in trained:
        table.add_row(f"  {name}", f"{number:,} at a rate of {rate:g}")
    schedule = recipe.optimizer.schedule
    steps = (
        f", times {schedule.gamma:g} every {schedule.epochs} epochs"
        if schedule.name == "step"
        else ""
    )
    table.add_row("schedule", f"{schedule.name}{steps}")
    table.add_section()
    whose = "" if plan.published else " (of the made-up data)"
    table.add_row(
        "training data",
        f"{data.name}: {plan.images:,} images of {plan.classes:,} classes{whose}",
    )
    per_class = data.images_per_class
    drawn = f", {per_class} of a class" if per_class else ""
    table.add_row("batch", f"{data.batch_size} images{drawn}, {data.sampler}")
    table.add_row("steps", f"{plan.steps:,} an epoch, {training.epochs} epochs")
    table.add_row("precision", training.precision)
    table.add_section()
    most = "" if plan.scale == 1 else "at most "
    of_a_step = f"{most}about {plan.memory_of_a_step / 2**30:.1f} GiB"
    of_weights = f"{plan.memory_of_weights / 2**30:.1f}"
    table.add_row(
        "memory", f"{of_a_step}, of which weights, gradients and moments {of_weights}"
    )
    table.add_row("an epoch", f"about {_duration(plan.seconds_per_epoch)}")
    total = plan.seconds_per_epoch * training.epochs
    table.add_row("all epochs", f"about {_duration(total)}")
    table.add_row(
        "embedding",
        f"{plan.images_per_second:,.1f} images a second, the {plan.test_images:,} of "
        f"the test in {_duration(plan.seconds_per_test)}",
    )
    console.print(table)
    tried = f"Tried here with random weights and images, {plan.trial_batch} in a step"
    if plan.scale != 1:
        tried += f" instead of {data.batch_size}: times and memory are scaled up"
    if plan.trial_precision != training.precision:
        tried += f"; in {plan.trial_precision}, since processors imitate half precision"
    console.print(f"{tried}.")


def _duration(seconds):
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{datetime.timedelta(seconds=round(seconds))} (h:mm:ss)"


def _print_reported(reported):
    """What a recipe's source reports beside what the run obtained, in percent."""
    table = Table("metric", title=escape(f"Reported: {reported['source']}"))
    for title in ("reported", "obtained", "difference"):
        table.add_column(title, justify="right")
    for name, value in reported["reported"].items():
        obtained = reported["obtained"][name]
        cells = ["none", "none"]
        if obtained is not None:
            cells = [f"{100 * obtained:.1f}", f"{100 * (obtained - value):+.1f}"]
        table.add_row(name, f"{100 * value:.1f}", *cells)
    console.print(table)


def _by_level(level_names, names):
    """Of each level its metrics: their names without the level to those with it."""
    levels = {}
    for level, title in enumerate((*level_names, "all levels")):
        prefix = f"level{level}_" if 0 < level < len(level_names) else ""
        known = _GRADED if level == len(level_names) else _OF_A_LEVEL
        levels[title] = {
            name.removeprefix(prefix): name
            for name in names
            if name.startswith(prefix)
            and name.removeprefix(prefix).partition("@")[0] in known
        }
        # The same number as Recall@1.
        if "recall@1" in levels[title]:
            levels[title].pop("precision@1", None)
    return levels


def _with_interval(value, interval):
    # Of no query there is no mean: NaN, or in JSON null.
    if value is None or value != value:
        return "none"
    if interval is None:
        return f"{value:.3f}"
    low, high = interval
    return f"{value:.3f}  ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
