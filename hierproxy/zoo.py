"""`hierproxy zoo list`, `show` and `train`."""

import json
from typing import Annotated

import typer
from rich import box
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table
from typer.main import get_command

from hierproxy.application import Command, app, console, zoo_app
from hierproxy.options import BackendOption, option
from hierproxy.start import import_runs, import_zoo
from hierproxy.tables import print_whole


@zoo_app.command("list", cls=Command)
def zoo_list(
    recipes: Annotated[
        bool, option("Recipes instead of presets.", "--recipes")
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
    zoo = import_zoo()
    if recipes:
        _print_recipes(zoo)
    else:
        _print_presets(zoo)


@zoo_app.command("show", cls=Command)
def zoo_show(
    name: Annotated[str, typer.Argument(help="Of a preset or a recipe.")],
    recipe: Annotated[
        bool,
        option("The recipe, where a preset has the same name.", "--recipe"),
    ] = False,
):
    """Shows a preset's card, or a recipe's settings with their sources.

    A card says how the preset was trained, what it scores on which test sets, and
    what it is not good for.

    Examples:

        hierproxy zoo show hierproxy_cnn_glyphs
        hierproxy zoo show hierproxy_cnn_glyphs --recipe
        hierproxy zoo show hier_resnet50_cub
    """
    zoo = import_zoo()
    if not recipe and zoo.describe(name)["kind"] == "preset":
        console.print(Markdown(zoo.card(name)))
    else:
        _print_settings(zoo.load_recipe(name).model_dump(exclude_unset=True))


@zoo_app.command(
    "train",
    cls=Command,
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
    import_runs(backend)
    known = import_zoo().describe(name)
    recipe = known.get("recipe") if known["kind"] == "preset" else name
    if recipe is None:
        raise ValueError(
            f"{name} has no recipe: others trained it, as `hierproxy zoo show {name}` "
            f"tells. To train it further: hierproxy train --preset {name}."
        )
    arguments = ["--recipe", recipe, *context.args]
    code = (
        get_command(app)
        .commands["train"]
        .main(arguments, prog_name="hierproxy zoo train", standalone_mode=False)
    )
    raise typer.Exit(code or 0)


def _print_presets(zoo):
    """A row for each preset, below its name method and data; 80 columns."""
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("preset\n[dim]  method and data[/dim]", no_wrap=True)
    for header in ("params", "size", "images/s"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("Recall@1", no_wrap=True)
    for name in zoo.list_presets():
        known = zoo.describe(name)
        # The cards tell more of a test set than its name.
        recall = [
            f"{entry['value']:.3f} {entry['test_set'].partition(':')[0]}"
            for entry in known["recall@1"]
        ]
        cells = (
            f"{known['parameters'] / 1e6:.2f} M",
            f"{known['size'] / 1e6:.1f} MB",
            f"{known['images_per_second']['value']:,}",
            "\n".join(recall),
        )
        method = escape(f"{known['method']} on {known['data']}")
        first = f"{escape(name)}\n[dim]  {method}[/dim]"
        table.add_row(first, *map(escape, cells))
    if not table.row_count:
        console.print("No presets are shipped.")
    else:
        print_whole(table)


def _print_recipes(zoo):
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("recipe\n[dim]  description[/dim]", overflow="fold")
    table.add_column("reported\nRecall@1, %", justify="right", no_wrap=True)
    for name in zoo.list_recipes():
        recipe = zoo.load_recipe(name)
        reported = ""
        if recipe.reported is not None and 1 in recipe.reported.k:
            recall = recipe.reported.recall[recipe.reported.k.index(1)]
            reported = f"{recall:.1f}"
        description = escape(recipe.description)
        table.add_row(f"{escape(name)}\n[dim]  {description}[/dim]", reported)
    console.print(table if table.row_count else "No recipes are shipped.")


def _print_settings(recipe):
    """A row for each setting of a recipe, and where it comes from."""
    from keras_hierproxy.recipes.paths import settings  # imported by now

    title = f"{recipe['name']}: {recipe['description']}\nsource: {recipe['source']}"
    table = Table(title=escape(title), box=box.SIMPLE, pad_edge=False)
    for header in ("setting", "value", "from"):
        table.add_column(header, overflow="fold")
    told = ("name", "description", "source", "ours", "reported")
    rest = {name: value for name, value in recipe.items() if name not in told}
    for paths, value in settings(rest):
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
