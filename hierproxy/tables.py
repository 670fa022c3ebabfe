"""Tables of numbers that several commands print."""

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from hierproxy.application import console


def print_whole(table):
    """Prints a table as wide as it is: a narrow window breaks lines, not numbers."""
    # A console never prints beyond its own width.
    boundless = Console(highlight=False, width=1000)
    needed = Measurement.get(boundless, boundless.options, table).maximum
    Console(highlight=False, width=max(console.width, needed)).print(table)


def print_splits(splits):
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


def print_metrics(data, columns):
    """A row for each level and metric, a column for each `(results, intervals)`."""
    first, _ = next(iter(columns.values()))
    title = f"{data.name}: {first['num_queries']:,} queries"
    table = Table(title=escape(title))
    table.add_column("level", overflow="fold")
    # In a narrow window numbers take two lines; names are never cut off.
    table.add_column("metric", no_wrap=True)
    for title in columns:
        table.add_column(title)
    for level, metrics in by_level(data.level_names, first).items():
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
        why = "alone in their class"
        if data.is_query is not None:
            why = "without an image of their class in the gallery"
        if data.groups is not None:
            why += ", outside their own group"
        console.print(f"Queries left out, {why}: {excluded:,}.")


def print_training(test, metrics, last):
    """What a run has reached.

    Args:
        test: the test classes.
        metrics: dict, those of the run.
        last: bool, whether the last epoch is selected.
    """
    before = (metrics["test_before"], {})
    after = (metrics["test"], metrics["intervals"])
    print_metrics(test, {"before": before, "after": after})
    if "reported" in metrics:
        print_reported(metrics["reported"])
    selected = f"Epoch {metrics['selected_epoch']} of {metrics['epochs']}"
    if last:
        selected += ", the last, as the recipe says."
    elif metrics["selected_epoch"]:
        selected += " was best on the validation classes."
    else:
        selected = (
            "No epoch beat the model before training on the validation classes; its "
            "weights are kept."
        )
    console.print(selected)


def by_level(level_names, names):
    """Of each level its metrics: their names without the level to those with it."""
    from keras_hierproxy.retrieval.catalog import METRICS  # Keras runs by now
    from keras_hierproxy.retrieval.result_names import ResultName

    levels = {title: {} for title in (*level_names, "all levels")}
    for name in names:
        result = ResultName.read(name)
        if result.metric in METRICS and result.level < len(level_names):
            graded = METRICS[result.metric].graded
            title = "all levels" if graded else level_names[result.level]
            levels[title][str(result.at(0))] = name
    for metrics in levels.values():
        # The same number as Recall@1.
        if "recall@1" in metrics:
            metrics.pop("precision@1", None)
    return levels


def _with_interval(value, interval):
    # Of no query there is no mean: NaN, or in JSON null.
    if value is None or value != value:
        return "none"
    if interval is None:
        return f"{value:.3f}"
    low, high = interval
    return f"{value:.3f}  ({low:.3f} to {high:.3f})"


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
