"""`hierproxy evaluate`."""

import pathlib
from typing import Annotated

import typer

from hierproxy.application import Command, app, console, say
from hierproxy.options import (
    BackendOption,
    Root,
    SkipBad,
    TestGroups,
    TestSplit,
    TrainGroups,
    data_options,
    names,
    option,
    positive_integers,
    splits,
)
from hierproxy.start import import_runs
from hierproxy.tables import print_metrics


@app.command(cls=Command)
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
        option(
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
        object | None,
        option(
            "`test`, `validation` or `train`, or `all` of a folder or a CSV file. By "
            "default `all` of a folder that the run was not trained on, and of a CSV "
            "file without a column `split`; else `test`.",
            panel="Data",
            parser=splits,
            metavar="NAME",
        ),
    ] = None,
    skip_bad: SkipBad = False,
    k: Annotated[
        object | None,
        option(
            "The K of Recall@K and Precision@K, such as `1,10,100`; by default 1, 2, 4 "
            "and 8.",
            parser=positive_integers,
            metavar="KS",
        ),
    ] = None,
    metrics: Annotated[
        object | None,
        option(
            "Any of `recall`, `precision@1`, `r_precision`, `map@r` (these four by "
            "default), `precision` at each K, `map`, `mrr`, `ndcg`, `asi`, `h_ap`, "
            "`nmi`, `ami`, or `all`. The last seven take longer.",
            parser=names,
            metavar="NAMES",
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        option(
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
    runs = import_runs(backend)
    changes = data_options(context)
    if output is not None:
        runs.check_empty(output)
    if runs.holds_embeddings(model):
        changes.pop("root", None)
        if changes or data is not None or split is not None:
            raise ValueError(
                f"{model} holds embeddings, which are evaluated as they are: --data, "
                "--split and their options do not go with them, but --root, the "
                "folder that holds the images which the report may show."
            )
        name = "embeddings"
        done = runs.evaluate_embeddings(model, k, metrics, console.is_terminal, root)
    else:
        source, place, usual = runs.evaluation_source(model, data, changes)
        name = split or usual
        with console.status("Reading ..."):
            embedder = runs.load_embedder(model)
            chosen = runs.load_split(source, place, name, embedder, model)
        done = runs.evaluate_split(
            embedder,
            chosen,
            k,
            metrics,
            console.is_terminal,
            runs.data_root(source, place),
        )
    print_metrics(done.data, {name: (done.results, done.intervals)})
    if output is not None:
        with console.status("Writing the report ..."):
            facts = [("model", runs.name_of(model)), ("images", f"{len(done.data):,}")]
            done.write(output, {name: done.results}, facts)
        if not done.has_images:
            console.print(
                "No report.html: the paths in items.csv are not those of image files. "
                "They lie in an archive, or were moved, or embeddings.json does not "
                "say in which folder they are: name it with --root."
            )
        console.print("Metrics, scores of every query and what there is to look at:")
        say(output)
