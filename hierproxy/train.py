"""`hierproxy train`."""

import pathlib
import shlex
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hierproxy.application import Command, app, console
from hierproxy.methods import LOSSES, METHODS
from hierproxy.options import (
    LARGEST_EMBEDDING,
    LARGEST_SEED,
    LARGEST_SIDE,
    BackendOption,
    Root,
    SkipBad,
    TestGroups,
    TestSplit,
    TrainGroups,
    choice,
    is_given,
    option,
    positive_integers,
    rate,
    whole,
)
from hierproxy.plan import print_plan
from hierproxy.start import import_runs
from hierproxy.tables import print_metrics, print_splits


@app.command(cls=Command)
def train(
    context: typer.Context,
    data: Annotated[
        str,
        option(
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
        option(
            "Side in pixels to which images are brought. By default 32 for letters, "
            "64 for a folder, 96 for other photos, and 224 with --preset. Time grows "
            "with its square.",
            panel="Data",
            metavar="N",
            parser=whole(16, LARGEST_SIDE),
        ),
    ] = None,
    skip_bad: SkipBad = False,
    loss: Annotated[
        object,
        option(
            "Over proxies at each level: `hpl` (learns a hierarchy), `hpl-taxonomy` "
            "(takes that of the labels). In hyperbolic space: `hier` (Proxy-Anchor "
            "with HIER), `hpl-hier`, `hyp` (SupCon by distance). One loss alone: "
            + ", ".join(f"`{name}`" for name in LOSSES if name not in METHODS)
            + ".",
            parser=choice(*LOSSES),
            panel="Model",
            metavar="NAME",
        ),
    ] = "hpl",
    level_sizes: Annotated[
        object | None,
        option(
            "Sizes of the coarse levels of `hpl` and `hpl-hier`, such as `50` or "
            "`50,8`; by default one level of the square root of the number of classes.",
            panel="Model",
            parser=positive_integers,
            metavar="SIZES",
        ),
    ] = None,
    latent_proxies: Annotated[
        int | None,
        option(
            "How many latent proxies `hier` and `hpl-hier` have; 512.",
            panel="Model",
            metavar="N",
            parser=whole(2),
        ),
    ] = None,
    max_triplets: Annotated[
        int | None,
        option(
            "How many triplets `hier` and `hpl-hier` draw at most for each of HIER's "
            "two terms; by default 50 for each image and each latent proxy. Fewer are "
            "faster and noisier.",
            panel="Training",
            metavar="N",
            parser=whole(1),
        ),
    ] = None,
    preset: Annotated[
        str | None,
        option(
            "Start from a pretrained model instead of from scratch: a shipped preset "
            "(`hierproxy zoo list`), a preset's folder, or a keras-hub name or handle.",
            panel="Model",
            metavar="NAME",
        ),
    ] = None,
    embedding_dim: Annotated[
        int | None,
        option(
            "Dimensions of an embedding; 128.",
            panel="Model",
            metavar="N",
            parser=whole(2, LARGEST_EMBEDDING),
        ),
    ] = None,
    epochs: Annotated[
        int,
        option(
            "Passes over the images.",
            panel="Training",
            metavar="N",
            parser=whole(1),
        ),
    ] = 10,
    batch_size: Annotated[
        int,
        option("Images in a step.", panel="Training", metavar="N", parser=whole(2)),
    ] = 128,
    images_per_class: Annotated[
        int | None,
        option(
            "Draw batches class by class, with so many images of each. By default 4 "
            "for the losses over pairs and 2 for those in hyperbolic space; the others "
            "take images as they come.",
            panel="Training",
            metavar="N",
            parser=whole(2),
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        option(
            "Of the network; 1e-3. With --preset by default 1e-5 for its backbone "
            "and 1e-4 for the rest.",
            panel="Training",
            metavar="RATE",
            parser=rate,
        ),
    ] = None,
    proxy_learning_rate: Annotated[
        float,
        option("Of the proxies.", panel="Training", metavar="RATE", parser=rate),
    ] = 1e-2,
    augment: Annotated[
        object | None,
        option(
            "`affine` turns, stretches and shifts images a little; `crop` cuts random "
            "parts out of them and mirrors every other one; or `none`. By default "
            "`affine` for `glyphs`, `omniglot` and `letters`, `crop` for photos.",
            parser=choice("affine", "crop", "none"),
            panel="Training",
            metavar="NAME",
        ),
    ] = None,
    seed: Annotated[
        int,
        option(
            "The same seed, the same run.",
            panel="Training",
            metavar="N",
            parser=whole(0, LARGEST_SEED),
        ),
    ] = 0,
    recipe: Annotated[
        str | None,
        option(
            "A recipe, which states every setting: a shipped one, as `hierproxy zoo` "
            "lists them, or a .toml file. Beside it go --root, --skip-bad, --seed, "
            "--epochs and the options of the run.",
            panel="Recipe",
            metavar="NAME",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        option(
            "Changes a setting of the recipe, such as `loss.margin=0.2`; the value as "
            "in TOML. May be repeated.",
            "--set",
            panel="Recipe",
            metavar="PATH=VALUE",
        ),
    ] = None,
    is_dry_run: Annotated[
        bool,
        option(
            "Builds the recipe's model with random weights, runs two steps on random "
            "images, and tells the plan, the memory and the time of an epoch. It needs "
            "neither the data nor the network.",
            "--dry-run",
            panel="Recipe",
        ),
    ] = False,
    output: Annotated[
        pathlib.Path | None,
        option(
            "The run's folder; by default runs/DATA-LOSS-SEED or runs/RECIPE-SEED.",
            "--output",
            "-o",
            metavar="FOLDER",
        ),
    ] = None,
    resume: Annotated[
        bool,
        option(
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
    for flag, is_there in (("--set", changes), ("--dry-run", is_dry_run)):
        if is_there and recipe is None:
            raise ValueError(f"{flag} is for recipes. Name one with --recipe.")
    runs = import_runs(backend)
    options = [name for name in runs.SETTINGS if name in context.params]
    options.remove("recipe")
    given = {n: context.params[n] for n in options if is_given(context, n)}
    if recipe is not None:
        settings = runs.recipe_settings(recipe, changes or [], given)
        name, seed = settings["recipe"]["name"], settings["seed"]
        if is_dry_run:
            with console.status("Building the model, running two steps ..."):
                plan = runs.dry_run(runs.Settings(**settings))
            print_plan(plan)
            return
    else:
        settings = given if resume else {n: context.params[n] for n in options}
        name = f"{pathlib.Path(data).resolve().name.removesuffix('.csv')}-{loss}"
    if output is None:
        output = pathlib.Path("runs", f"{name}-{seed}")
    go_on = f"hierproxy train --resume --output {shlex.quote(str(output))}"
    run = (runs.resume_run if resume else runs.new_run)(output, settings)

    with run:
        with console.status(f"Reading {run.settings.data} ..."):
            splits = runs.load_data(run.settings)
        print_splits(splits)
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

    print_metrics(
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
        print_reported(metrics["reported"])
    selected = f"Epoch {metrics['selected_epoch']} of {metrics['epochs']}"
    if run.recipe is not None and run.recipe.training.selection == "last":
        chosen = f"{selected}, the last, as the recipe says."
    else:
        chosen = f"{selected} was best on the validation classes."
    console.print(f"{chosen} Model, pictures and report.html:")
    console.print(str(output), markup=False, soft_wrap=True)


def print_reported(reported):
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
