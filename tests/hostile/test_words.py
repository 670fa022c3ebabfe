"""What the command line says to what was typed by mistake."""

import ast
import contextlib
import io
import re
import sys

import pytest
from typer.main import get_command

import hierproxy
from hierproxy.spoken import _ARGUMENTS, _MENTION, options_of, settings_of, spoken
from keras_hierproxy import recipes
from keras_hierproxy.recipes import Recipe
from tests.command_line import PROJECT
from tests.hostile.cases import refused, right

pytestmark = pytest.mark.host

COMMANDS = get_command(hierproxy.app).commands
TRAIN = options_of(COMMANDS["train"])
SETTINGS = settings_of(Recipe)


def typed(line):
    """Runs a command that must be refused; raises what it says, on one line."""

    def action(folder):
        (folder / "empty").mkdir(exist_ok=True)
        (folder / "file").write_text("text")
        stdout, stderr = io.StringIO(), io.StringIO()
        argv, sys.argv = sys.argv, ["hierproxy", *line.split()]
        try:
            with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
                hierproxy.main()
        except SystemExit as end:
            assert end.code == 2, end.code
        finally:
            sys.argv = argv
        raise ValueError(" ".join(re.sub("[│╭╮╰╯─]", " ", stderr.getvalue()).split()))

    return action


def said(text, settings=None):
    return lambda: spoken(text, TRAIN, settings)


def refused_number(option, *values):
    message = f"'{option}'.*is not"
    return [
        refused(f"{option} {value}", typed(f"train {option} {value}"), message)
        for value in values
    ]


WHOLE = ("0", "-1", "1.5", "nan", "inf", "1e3", "1_0", "True", "9" * 40, "x")
CASES = [
    *refused_number("--epochs", *WHOLE),
    *refused_number("--batch-size", *WHOLE, "1"),
    *refused_number("--image-size", *WHOLE, "15", "10000000"),
    *refused_number("--embedding-dim", *WHOLE, "1000000000"),
    *refused_number("--images-per-class", *WHOLE),
    *refused_number("--latent-proxies", *WHOLE),
    *refused_number("--max-triplets", *WHOLE),
    *refused_number("--seed", "-1", "1.5", "nan", "4294967296"),
    *refused_number("--level-sizes", "0", "5,", "a", "nan", "2,-1"),
    *refused_number("--learning-rate", "nan", "inf", "-inf", "1e400", "-1", "x", "1e4"),
    *refused_number("--proxy-learning-rate", "nan", "inf", "1e400", "-0.1"),
    refused("loss", typed("train --loss proxy_anchor"), "Did you mean proxy-anchor?"),
    refused("Loss", typed("train --loss HPL"), "Did you mean hpl?"),
    refused("backend", typed("train --backend jaxx"), "Did you mean jax?"),
    refused("split", typed("evaluate m --split tset"), "Did you mean test?"),
    refused("dtype", typed("embed d m -o e --dtype float"), "Did you mean float"),
    refused("data", typed("train --data glyhps"), "Did you mean 'glyphs'?"),
    refused(
        "no folder", typed("train --data none"), "neither a data set.*nor a folder"
    ),
    refused("a file", typed("train --data file"), "neither a data set.*nor a folder"),
    refused("empty data", typed("train --data empty"), "holds no images"),
    refused("output", typed("train --output file"), "file is not a folder"),
    refused("no run", typed("train --resume -o empty"), "no run to resume"),
    refused("model", typed("evaluate nosuch"), "There is no model at nosuch"),
    refused("tree", typed("tree file"), "not the folder of a run"),
    refused("compare", typed("compare empty empty"), "holds no evaluation"),
    refused("preset", typed("zoo show so_cnn_leters"), "Did you mean 'so_cnn_letters'"),
    refused("recipe", typed("train --recipe so_deit_glyph"), "Did you mean so_deit_gl"),
    refused("not downloaded", typed("train --data cub"), "pass --root, the folder"),
    refused(
        "cleared, misspelt",
        typed("train --recipe hierproxy_cnn_glyphs --set data.image_sise="),
        "data.image_sise: is unknown. Did you mean image_size",
    ),
    refused(
        "cleared, needed",
        lambda: recipes.load("hierproxy_cnn_glyphs", ["data.batch_size="]),
        "data.batch_size: is missing",
    ),
    right(
        "cleared",
        lambda: recipes.load("hier_resnet50_cub", ["data.image_size="]).data.image_size,
        None,
    ),
    right("an option", said("Pass `batch_size`."), "Pass --batch-size."),
    right("a flag", said("Pass skip_bad=True to."), "Pass --skip-bad to."),
    right("a value", said("Use level_sizes=(50, 8)."), "Use --level-sizes 50,8."),
    right("a square", said("Use `image_size=(16, 16)`."), "Use --image-size 16."),
    right("none", said("It is. Use image_size=(16, 8)."), "It is."),
    right("no value", said("Pass root=, the folder."), "Pass --root, the folder."),
    right("no option", said("It is small. Pass min_images=1."), "It is small."),
    right("code", said("It is off. Use `f(x=1)`."), "It is off."),
    right(
        "received",
        said("Too many. Received: num_classes=4."),
        "Too many. Received: num classes 4.",
    ),
    right("a path", said("No model at lr=0.1."), "No model at lr=0.1."),
    right("a folder", said("No runs/split=1."), "No runs/split=1."),
    right("quoted", said("No 'batch_size'."), "No 'batch_size'."),
    right(
        "a recipe's setting",
        said("Pass batch_size=8, or other images_per_class.", SETTINGS),
        "Pass --set data.batch_size=8, or other data.images_per_class.",
    ),
    right("beside a recipe", said("Pass root=.", SETTINGS), "Pass --root."),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_words(case, judge):
    judge("words", case)


def messages():
    """The texts of all errors and warnings in the package, `…` for what is put in."""
    kind = re.compile("Error$|^warn$|Image$|File$|damaged$|^_error$")
    for path in sorted((PROJECT / "keras_hierproxy").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if kind.search(name):
                    yield " ".join(filter(None, map(_text, node.args)))


def _text(node):
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _text(part) if isinstance(part, ast.Constant) else "…"
            for part in node.values
        )
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return ""


@pytest.mark.parametrize("settings", [None, SETTINGS], ids=["options", "recipe"])
def test_no_message_advises_an_argument(settings):
    texts = list(messages())
    assert len(texts) > 300
    for text in texts:
        for mention in _MENTION.finditer(re.sub("`[^`]*`", "", text)):
            # Of functions in code, which no command comes to.
            known = {None, "axis", "training"} | _ARGUMENTS
            assert mention["name"] in known, text
        for options in map(options_of, COMMANDS.values()):
            if options:
                for sentence in spoken(text, options, settings).split(". ")[1:]:
                    found = [
                        m["ticked"] or m["name"] for m in _MENTION.finditer(sentence)
                    ]
                    assert not set(filter(None, found)) & _ARGUMENTS, sentence
