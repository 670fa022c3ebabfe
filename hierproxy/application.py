"""The application: what its commands are added to, and how it ends."""

import functools
import os
import sys
import warnings

import typer
from rich.console import Console
from typer.core import TyperCommand

from hierproxy.spoken import options_of, settings_of, spoken

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


def say(text):
    """Prints in one line what may hold brackets, as paths do."""
    console.print(str(text), markup=False, soft_wrap=True)


class Failed(Exception):
    """What ends a command in a message, not in a traceback."""


class Command(TyperCommand):
    """A command whose errors and warnings speak of its options."""

    def invoke(self, context):
        words = functools.partial(self._in_words, context)
        usual = warnings.formatwarning
        warnings.formatwarning = lambda message, *_: f"Warning: {words(message)}\n"
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise  # Whoever read the output has enough.
        except (ValueError, OSError, ImportError) as error:
            raise Failed(words(error)) from error
        except Exception as error:
            if not _is_of_memory(error):
                raise
            raise Failed(
                "There is not enough memory. Take fewer images at a time, smaller "
                f"ones or a smaller network. {type(error).__name__}: "
                + (str(error).strip().splitlines() or [""])[0]
            ) from error
        finally:
            warnings.formatwarning = usual

    def _in_words(self, context, message):
        settings = None
        # Not imported where Keras itself could not be.
        recipes = sys.modules.get("keras_hierproxy.recipes")
        if context.params.get("recipe") and recipes:
            settings = settings_of(recipes.Recipe)
        return spoken(str(message), options_of(self), settings)


def _is_of_memory(error):
    """Whether an error says that memory is used up, each backend in its own words."""
    words = ("not enough memory", "out of memory", "RESOURCE_EXHAUSTED", "OOM when")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def _open_what_is_closed():
    """Gives what was closed before the start, as by `2>&-`, a place to go.

    Else the next file that is opened would take the number, and what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, closefd=False))


def main():
    """Runs the command; what the user can mend ends in a message, not a traceback."""
    # TensorFlow's notes: what goes wrong is raised anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # Names of files may hold bytes that are no text.
        if getattr(stream, "errors", "") == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Failed as error:
        # Not as markup: errors hold brackets.
        Console(stderr=True).print(
            f"Error: {error}", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(2)
