"""`hierproxy train`."""

import pathlib
import shlex

import typer

from hierproxy import train_options as options
from hierproxy.application import Command, app, console, say
from hierproxy.options import (
    BackendOption,
    Root,
    SkipBad,
    TestGroups,
    TestSplit,
    TrainGroups,
    is_given,
)
from hierproxy.plan import print_plan
from hierproxy.start import import_runs
from hierproxy.tables import print_splits, print_training

# Of an epoch: in so few little is learned.
FEW_STEPS = 4


@app.command(cls=Command)
def train(
    context: typer.Context,
    data: options.Data = "glyphs",
    root: Root = None,
    train_groups: TrainGroups = None,
    test_groups: TestGroups = None,
    test_split: TestSplit = None,
    image_size: options.ImageSize = None,
    skip_bad: SkipBad = False,
    loss: options.Loss = "hpl",
    level_sizes: options.LevelSizes = None,
    latent_proxies: options.LatentProxies = None,
    max_triplets: options.MaxTriplets = None,
    preset: options.Preset = None,
    from_scratch: options.FromScratch = False,
    embedding_dim: options.EmbeddingDim = None,
    epochs: options.Epochs = 10,
    batch_size: options.BatchSize = None,
    images_per_class: options.ImagesPerClass = None,
    learning_rate: options.LearningRate = None,
    proxy_learning_rate: options.ProxyLearningRate = 1e-2,
    augment: options.Augment = None,
    seed: options.Seed = 0,
    recipe: options.RecipeName = None,
    changes: options.Changes = None,
    is_dry_run: options.DryRun = False,
    output: options.Output = None,
    resume: options.Resume = False,
    backend: BackendOption = None,
):
    """Trains an embedder; reports recall on classes that it has never seen.

    The best epoch is chosen on validation classes, which are taken out of the
    training ones. The test classes are evaluated once before training and once at the
    end. **Ctrl-C** stops cleanly and keeps the best epoch so far; `--resume` goes on
    from there, or after a crash.

    What the options say becomes a recipe, which stands in the run's `run.json`:
    `--recipe runs/NAME` repeats it, with --set for changes.

    Examples:

        hierproxy train
        hierproxy train --data omniglot --root data --loss proxy-anchor --epochs 80
        hierproxy train --data photos/ --loss hpl --level-sizes 50,8
        hierproxy train --recipe hier_resnet50_cub --root data --set loss.margin=0.2
        hierproxy train --recipe runs/photos-hpl-0 --set loss.margin=0.2 --seed 1
        hierproxy train --resume --output runs/photos-hpl-0 --epochs 40
    """
    runs = import_runs(backend)
    from keras_hierproxy import recipes  # imported by now

    given = {n: v for n, v in context.params.items() if is_given(context, n)}
    told = {name: given[name] for name in recipes.DEFAULTS if name in given}
    if recipe is None:
        by = recipes.from_options(told, changes or [])
    else:
        by = recipes.load(recipe, [*(changes or []), *recipes.beside_recipe(told)])
    placed = {n: v for n, v in given.items() if n in ("root", "skip_bad", "seed")}
    place = runs.Place(**{"seed": by.training.seeds[0], **placed})
    if is_dry_run:
        with console.status("Building the model, running two steps ..."):
            plan = runs.dry_run(by, place)
        print_plan(plan)
        return
    if output is None:
        output = pathlib.Path("runs", f"{by.name}-{place.seed}")
    go_on = f"hierproxy train --resume --output {shlex.quote(str(output))}"
    if resume:
        again = by if recipe or changes or set(told) - {"epochs", "seed"} else None
        run = runs.resume_run(output, again, told.get("epochs"), **placed)
    else:
        run = runs.Run(output, by, place)

    with run:
        with console.status(f"Reading {run.recipe.data.name} ..."):
            splits = runs.load_data(run.recipe.data, run.place, run.recipe.image_shape)
        print_splits(splits)
        say(f"Training on {runs.backend()}.")
        if not resume:
            _say_what_was_chosen(runs, by, asked=recipe or "preset" in told)
        with console.status("Building the model, evaluating it untrained ..."):
            run.begin(splits)
        if len(run.batches) < FEW_STEPS:
            say(
                f"Steps in an epoch: {len(run.batches)}. Smaller batches, by "
                f"{'--set data.batch_size=N' if recipe else '--batch-size'}, make more."
            )
        if run.before is not None:
            say(f"before training  val_recall@1 {run.before:.4f}")
        with runs.EpochLines(console, run.recipe.training.epochs) as lines:
            run.fit(callbacks=[lines])
        if not run.history:
            say(
                "Stopped before the end of the first epoch: nothing to keep yet. "
                f"To begin it again: {go_on}"
            )
            raise typer.Exit(130)
        with console.status("Evaluating on the test classes ..."):
            metrics = run.finish()

    print_training(splits.test, metrics, last=run.recipe.training.selection == "last")
    if metrics["interrupted"]:
        say(f"Stopped early. To go on after the last whole epoch: {go_on}")
    console.print("Model, pictures and report.html:")
    say(output)


def _say_what_was_chosen(runs, recipe, asked):
    """Where a run starts, if nobody asked for that, and where it would be faster."""
    preset = recipe.model.backbone.preset
    if preset is not None and not asked:
        say(f"Starting from {preset}; --from-scratch trains a small network instead.")
    if faster := runs.faster_backend(recipe):
        name, times = faster
        say(
            f"On a CPU {name} trains this network about {times:.1f} times as fast, as "
            f"measured: --backend {name}, or KERAS_BACKEND={name}."
        )
