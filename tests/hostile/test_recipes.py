"""Recipes from strangers."""

import functools
import os
import random
import re

import pytest

from keras_hierproxy import recipes
from keras_hierproxy.recipes.toml_files import find
from tests.hostile.cases import refused, right
from tests.hostile.mutations import settle

pytestmark = pytest.mark.host
NUM_MUTATIONS = int(os.environ.get("MUTATIONS", 100))
NAMES = ("hier_deit_small_cub", "hpl_resnet50_cub", "so_cnn_letters")
_VALUES = (
    *('""', '"x"', "-1", "0", "1.5", "nan", "inf", "-inf", "true", "[]", "{}", "[[]]"),
    *("1" * 25, "9" * 5000, "1e999", "2024-01-01", "[" * 10**4, "{a = 1}", "\x00"),
    *("'''", "0x7f", "[1, 'x']", "07:32:00", '"\\u0000"', '"../../etc/passwd"'),
)


@functools.cache
def text(name=NAMES[0]):
    return find(name).read_text()


def load(content, *overrides):
    def action(folder):
        path = folder / "mine.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return recipes.load(path, overrides)

    return action


def is_whole(recipe):
    return recipe.model_dump(exclude={"name"}) == recipes.load(NAMES[0]).model_dump(
        exclude={"name"}
    )


CASES = [
    right("as it was written", lambda folder: load(text())(folder), is_whole),
    right("a mark", lambda folder: load("\ufeff" + text())(folder), is_whole),
    refused("empty", load(""), "mine.toml.*data: is missing"),
    refused("no TOML", load("data"), "mine.toml is no TOML"),
    refused("latin", load(b'name = "\xe9"'), "mine.toml is no TOML.*utf-8"),
    refused("deep", load("a = " + "[" * 10**5), "mine.toml.*nested"),
    refused("deep tables", load("a = " + "{b = " * 10**5), "mine.toml.*nested"),
    refused("large", load(b"#" * 2**21), "mine.toml.*bytes"),
    refused("digits", load("a = " + "9" * 10**5), "mine.toml is no TOML"),
    refused("twice", load("a = 1\na = 2"), "mine.toml is no TOML"),
    refused("code", load('[data]\nname = {class_name = "function"}'), "data.name"),
    refused("a name", load('name = "x"'), "mine.toml: name"),
    refused(
        "a deep --set",
        lambda folder: load(text(), "loss.margin=" + "[" * 10**5)(folder),
        "loss.margin",
    ),
    refused(
        "digits in --set",
        lambda folder: load(text(), "training.epochs=" + "9" * 10**5)(folder),
        "training.epochs",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_recipes(case, judge):
    judge("recipes", case)


@pytest.mark.parametrize("seed", range(NUM_MUTATIONS))
def test_mutated_recipes(seed, judge, tmp_path):
    """One value, or one line, is another."""
    draw = random.Random(seed)
    lines = text(NAMES[seed % len(NAMES)]).splitlines()
    place = draw.choice([i for i, line in enumerate(lines) if "=" in line])
    if draw.random() < 0.2:
        del lines[place]
    else:
        key = lines[place].partition("=")[0]
        lines[place] = f"{key}= {draw.choice(_VALUES)}"
    content = "\n".join(lines)
    name = re.sub(r"\s+", " ", lines[place])[:40]
    action = functools.partial(load(content), tmp_path)
    settle(judge, "recipes", name, action, "mine.toml", _is_recipe)


def _is_recipe(recipe):
    return recipes.from_dict(recipe.model_dump(mode="json"), "again") == recipe
