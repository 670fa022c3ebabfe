"""Serves a gallery of letters: draw one, and see what it is taken for.

    python examples/serve_demo.py            # as `make serve-demo`
    python examples/serve_demo.py --no-open  # without a browser

The letters are those of the glyph set's test split: the preset was trained on others.
Half of their images make the gallery. The other half calibrates it, with letters and
whole scripts that the gallery does not have. All goes to `runs/serve-demo/`; nothing is
downloaded.
"""

import argparse
import csv
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image
from rich.console import Console

import keras_hierproxy as khp

PRESET = "so_cnn_letters"
OUTPUT = pathlib.Path("runs/serve-demo")
# Which the gallery does not have: scripts, and a share of the characters of others.
NEW_SCRIPTS = ("Lisu", "Old Italic")
NEW_CHARACTERS = 0.15


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-open", action="store_true", help="open no browser")
    parser.add_argument("--port", default="8000")
    arguments = parser.parse_args()
    gallery = OUTPUT / "gallery"
    if not (gallery / "embeddings.json").exists():
        with Console().status("Rendering the glyph set (once; cached afterwards) ..."):
            write_letters(khp.datasets.load("glyphs").test)
        run("embed", OUTPUT / "letters.csv", PRESET, "--output", gallery)
        run("calibrate", gallery, OUTPUT / "held_out.csv", "--precision", "0.9")
    open_page = [] if arguments.no_open else ["--open"]
    run("serve", gallery, "--port", arguments.port, *open_page)


def write_letters(data):
    """Writes images, and CSV files of those in the gallery and of those held out."""
    (OUTPUT / "images").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    new = random.random(data.num_classes) < NEW_CHARACTERS
    scripts = np.array(data.class_names[2])[data.labels[:, 2]]
    new = new[data.labels[:, 0]] | np.isin(scripts, NEW_SCRIPTS)
    held_out = new | (random.random(len(data)) < 0.5)
    for name, rows in ("letters", ~held_out), ("held_out", held_out):
        with (OUTPUT / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", *data.level_names])
            for row in np.flatnonzero(rows):
                path = f"images/{row}.png"
                Image.fromarray(data.images[row].squeeze(-1)).save(OUTPUT / path)
                label = zip(data.class_names, data.labels[row], strict=True)
                table.writerow([path, *(names[i] for names, i in label)])


def run(*words):
    words = [*map(str, words)]
    print("\nhierproxy", *words, flush=True)
    code = subprocess.call([sys.executable, "-m", "hierproxy", *words])
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
