"""The application: what its commands are added to, and how it ends."""

import os
import sys
import warnings

import typer
from rich.console import Console

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


@app.callback()
def _about():
    """Trains embedders of images by hierarchical proxies, and measures retrieval.

    Start with `hierproxy train`: it needs no files and takes a few minutes.
    """


def main():
    """Runs the command; what the user can mend ends in a message, not a traceback."""
    # TensorFlow's notes: what goes wrong is raised anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for stream in (sys.stdout, sys.stderr):
        # Names of files may hold bytes that are no text.
        if getattr(stream, "errors", "") == "strict":
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = lambda message, *_: f"Warning: {message}\n"
    try:
        app()
    except (ValueError, OSError, ImportError) as error:
        # Not as markup: errors hold brackets.
        Console(stderr=True).print(
            f"Error: {error}", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(2)
