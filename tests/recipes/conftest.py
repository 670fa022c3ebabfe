import tomllib
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "golden"
# A recipe that is trained in seconds, on the photos of a folder.
TINY = """\
description = "Proxy-Anchor on a few photos"
source = "this test"
ours = ["loss.margin"]

[data]
name = "photos/"
image_size = 16
batch_size = 12
sampler = "balanced"
images_per_class = 2

[[data.augment]]
name = "RandomResizedCrop"
scale = [0.5, 1.0]

[model]
embedding_dim = 8
pooling = "avg"
last_norm = false
head_initializer = "orthogonal"

[model.backbone]
architecture = "conv4"
arguments = { filters = 4 }

[model.geometry]
name = "sphere"

[[loss]]
name = "proxy_anchor"
margin = 0.1
alpha = 32.0

[optimizer]
name = "adamw"
weight_decay = 1e-4
epsilon = 1e-7
warmup_epochs = 0

[optimizer.learning_rate]
backbone = 1e-3
head = 1e-3
proxies = 1e-2

[optimizer.schedule]
name = "constant"

[training]
epochs = 2
seeds = [3]
precision = "float32"
selection = "best"
"""


@pytest.fixture
def tiny_recipe(tmp_path):
    """The path of a TOML file."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def golden():
    """A function of a name that reads a TOML file from outside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the facts in {SHARED}")
    return lambda name: tomllib.loads((SHARED / f"{name}.toml").read_text())
