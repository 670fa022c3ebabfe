"""Losses are known by their export alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from hierproxy import known
from keras_hierproxy import losses, recipes
from keras_hierproxy.losses import registry

pytestmark = pytest.mark.host(on="jax")

PROJECT = Path(losses.__file__).resolve().parents[2]
BASES = ("EmbeddingLoss", "BoundLoss", "ProxyLoss")
OF_LOSSES = ("SumLoss", "HierProxyLoss")


def test_every_export_has_a_name_of_its_own():
    exported = {name for name in vars(losses) if name.endswith("Loss")}
    there = [each.__name__ for each in registry.losses().values()]
    assert sorted(there) == sorted(exported - {*BASES, *OF_LOSSES})


@pytest.mark.parametrize("name", registry.losses())
def test_every_argument_is_in_the_configuration(name):
    """Also that each is one that a file can state, a layer or a geometry."""
    loss = registry.losses()[name]
    config = loss().get_config()
    assert config["name"] == f"{name}_loss"
    defaults = {n: default for n, (_, default) in registry.arguments(loss).items()}
    assert {n: config[n] for n in defaults} == defaults
    assert set(config) - set(defaults) <= {"name", "geometry"}


def test_the_command_line_reads_the_same_off_the_sources():
    names = {name.replace("_", "-") for name in registry.losses()}
    assert set(known.LOSSES) == {*known.METHODS, *names}


def test_what_only_the_constructor_knows_is_told_by_its_path():
    change = "loss=[{name='arcface',margin=180.0,scale=64.0}]"
    with pytest.raises(ValueError, match=r"loss.arcface.margin: must be a .* 180\.0$"):
        recipes.load("hierproxy_cnn_glyphs", [change])


TRIAL = '''"""A loss for a trial."""

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.losses.base import ProxyLoss
from keras_hierproxy.ops import at_own, cosine_similarity


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class TrialLoss(ProxyLoss):
    """1 - s."""

    def __init__(self, strength=3.0, proxies=None, name="trial_loss"):
        super().__init__(proxies, name)
        self.strength = checks.real("strength", strength, above=0)

    def value(self, labels, embeddings, weights, proxies):
        similarity = at_own(cosine_similarity(embeddings, proxies), labels)
        return self.strength * ops.mean(1.0 - similarity)

    def get_config(self):
        return {**super().get_config(), "strength": self.strength}
'''
USE = """
from hierproxy import known
from keras_hierproxy import losses, recipes
from tests.small_run import make_data

print(losses.HierProxyLoss(base="trial").base.strength)
assert "trial" in known.LOSSES
for change in (",strength=2.0", ",strength=0.0", ""):
    change = "loss=[{name='trial'" + change + "}]"
    try:
        recipe = recipes.load("hierproxy_cnn_glyphs", [change])
    except ValueError as error:
        print(error)
    else:
        embedder = recipes.build_embedder(recipe, make_data().train, 0, 1)
        print(embedder.loss.base.strength)
"""


def test_a_new_loss_needs_its_file_and_its_export_alone(tmp_path):
    for room in ("keras_hierproxy", "hierproxy", "zoo"):
        # The first: what another process is about to write.
        ignored = shutil.ignore_patterns("*.pyc.*", "*.h5", "presets")
        shutil.copytree(PROJECT / room, tmp_path / room, ignore=ignored)
    room = tmp_path / "keras_hierproxy" / "losses"
    (room / "trial.py").write_text(TRIAL, encoding="utf-8")
    with open(room / "__init__.py", "a", encoding="utf-8") as file:
        file.write("from keras_hierproxy.losses.trial import TrialLoss as TrialLoss\n")
    environment = {
        **os.environ,
        "KERAS_BACKEND": keras.backend.backend(),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]),
    }
    said = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    base, stated, refused, absent = said.stdout.splitlines()
    assert (base, stated) == ("3.0", "2.0")
    assert "loss.trial.strength: must be a positive number. Received: 0.0" in refused
    assert "loss.trial.strength: is missing." in absent
