#!/usr/bin/env bash
# Uses a built wheel as a stranger would: a fresh environment, an empty folder, a new
# home. First with PyTorch alone, which must bring no TensorFlow, then with all backends.
#
#   [PYTHON=python3.11] tests/check_wheel.sh dist/keras_hierproxy-*.whl
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
wheel=$(realpath "${1:?usage: tests/check_wheel.sh WHEEL}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/home" "$folder/empty"
bin=$folder/venv/bin
export TF_CPP_MIN_LOG_LEVEL=3
# What is imported is compiled once, and not all that is installed.
unset PYTHONDONTWRITEBYTECODE

step() { printf '\n-- %s\n' "$*"; }
pip() { "$bin/python" -m pip --disable-pip-version-check "$@"; }
install() { pip install --quiet --no-compile --constraint "$root/constraints.txt" "$@"; }
stranger() { env -u KERAS_BACKEND -u PYTHONPATH HOME="$folder/home" "$@"; }
hierproxy() { stranger "$bin/hierproxy" "$@"; }
# Each preset's reference embeddings; with a folder to write to also Recall@1 on the
# test sets that need no files.
check_presets() {
  stranger env KERAS_BACKEND="$1" "$bin/python" - "$bin/hierproxy" "${@:2}" <<'PYTHON'
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

import keras_hierproxy as khp
from keras_hierproxy import shipped

hierproxy, *folder = sys.argv[1:]
for name in khp.zoo.list_presets():
    reference = np.load(shipped.preset_folder(name) / "reference.npz")
    embedder = khp.models.ImageEmbedder.from_preset(name)
    off = np.abs(embedder.embed(reference["images"]) - reference["embeddings"]).max()
    print(f"{name}: embeddings differ by {off:.1e}")
    assert off < 1e-4, name
    for entry in khp.zoo.describe(name)["recall@1"] if folder else ():
        if "--root" in entry["arguments"]:
            continue
        output = Path(folder[0], f"{name}{entry['arguments'].replace(' ', '')}")
        arguments = [*shlex.split(entry["arguments"]), "--output", str(output)]
        subprocess.run([hierproxy, "evaluate", name, *arguments], check=True)
        found = json.loads((output / "metrics.json").read_text())["test"]["recall@1"]
        print(f"{name} {entry['test_set']}: {found:.4f}, card {entry['value']:.4f}")
        assert abs(found - entry["value"]) < 0.005, name
PYTHON
}
train_and_evaluate() {
  hierproxy train "${@:2}" --epochs 1 --backend "$1" --output "run-$1"
  hierproxy evaluate "run-$1" --backend "$1"
}

step "a fresh environment with $(basename "$wheel")[torch]"
"${PYTHON:-python3}" -m venv "$folder/venv"
install "$wheel[torch]"
cd "$folder/empty"

step "import"
stranger env KERAS_BACKEND=torch "$bin/python" - "$folder/venv" <<'PYTHON'
import importlib.util
import sys
from importlib.resources import files

import keras_hierproxy

assert keras_hierproxy.__file__.startswith(sys.argv[1]), keras_hierproxy.__file__
assert (files("keras_hierproxy") / "_zoo").is_dir(), "the wheel carries no zoo"
for name in ("tensorflow", "keras_hub"):
    assert importlib.util.find_spec(name) is None, f"[torch] brings {name}"
print("keras_hierproxy", keras_hierproxy.__version__)
PYTHON

step "hierproxy train and evaluate"
train_and_evaluate torch --data glyphs

step "a backend that is not installed is named, with its extra"
if hierproxy train --backend jax >"$folder/output" 2>&1; then
  echo "hierproxy train --backend jax went through without JAX" && exit 1
fi
cat "$folder/output"
grep -qF 'keras-hierproxy[jax]' "$folder/output"

step "the same with JAX, TensorFlow and keras-hub"
install "$wheel[jax,tensorflow,hub]"
# An epoch of glyphs, or of a large network, takes minutes.
PYTHONPATH=$root "$bin/python" - "$folder/photos" <<'PYTHON'
import sys
from pathlib import Path

from tests.photos import write_photos

write_photos(Path(sys.argv[1]), [f"class{number}" for number in range(12)])
PYTHON
for backend in jax tensorflow; do
  train_and_evaluate "$backend" --data "$folder/photos" --from-scratch
  hierproxy evaluate run-torch --backend "$backend"
done

step "the README's ten lines"
"$bin/python" - "$root/README.md" >"$folder/ten_lines.py" <<'PYTHON'
import re
import sys
from pathlib import Path

block = re.search(
    r"<!-- ten-lines -->\s*```python\n(.*?)```", Path(sys.argv[1]).read_text(), re.S
)
sys.exit("README.md has no python block after <!-- ten-lines -->") if not block else None
print(block[1], end="")
PYTHON
cat "$folder/ten_lines.py"
stranger "$bin/python" "$folder/ten_lines.py"

step "the zoo"
hierproxy zoo list
hierproxy zoo list --recipes
check_presets tensorflow "$folder/evaluated"
check_presets jax
check_presets torch

step "the wheel holds"
