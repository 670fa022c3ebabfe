"""What `train --dry-run` prints."""

from rich.markup import escape
from rich.table import Table

from hierproxy.application import console


def print_plan(plan):
    """What `--dry-run` found out."""
    recipe = plan.recipe
    data, training = recipe.data, recipe.training
    backbone = recipe.model.backbone
    table = Table("", "", title=escape(f"{recipe.name}: {recipe.description}"))
    table.show_header = False
    weights = f"weights of {backbone.preset}" if backbone.preset else "from scratch"
    architecture = backbone.architecture or plan.embedder.backbone.name
    table.add_row("backbone", f"{architecture}, {weights}")
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
    speed = plan.images_per_second
    table.add_row(
        "embedding",
        f"{speed:,.{0 if speed >= 10 else 1}f} images a second, the "
        f"{plan.test_images:,} of the test in {_duration(plan.seconds_per_test)}",
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
    minutes = round(seconds / 60)
    days, hours = minutes // (24 * 60), minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
