"""What helps to read handwriting never seen? Ablation of the recipe `so_cnn_letters`.

    python benchmarks/handwriting.py --root FOLDER [--variants ...] [--seeds 0]

FOLDER holds Omniglot's `images_background_small1.zip`. Trains on printed letters and on
the drawn ones of Latin and Greek, and tests on Korean, so that the alphabets that the
preset is tested on have no say. The network is narrower and the run shorter than the
preset's: 16 to 128 filters, some 1,080 steps of 128 images. Every variant changes one
thing.

Each run is one of `hierproxy train`, kept in `runs/handwriting/`: a killed script
repeats the run that it was in, and no other.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np

FOLDER = pathlib.Path("runs/handwriting")
BASE = (
    'data.train_groups=["Latin","Greek"]',
    'data.test_groups=["Korean"]',
    "model.backbone.arguments.filters=[16,32,64,128]",
    "training.epochs=6",
)
AFFINE = '{name="RandomAffine",rotation=15,scale=0.2,shear=15,translation=0.05,fill=0}'
VARIANTS = {
    "all of it": (),
    "not cut to the ink": ("model.fit_to_ink=",),
    "no elastic distortion, no stroke width": (f"data.augment=[{AFFINE}]",),
    "no turned drawings": ("data.quarter_turns=false", "training.epochs=7"),
    "drawings alone": ('data.name="omniglot"', "training.epochs=35"),
    "no orthogonality": ("proxies.orthogonality.strength=0.0",),
    "32 to 256 filters": ("model.backbone.arguments.filters=[32,64,128,256]",),
}


def run(variant, seed, root):
    """What the run measured on the test set; trained if it is not there yet."""
    folder = FOLDER / f"{variant.replace(',', '').replace(' ', '_')}-{seed}"
    record = folder / "metrics.json"
    if not record.exists():
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "hierproxy", "train"]
        command += ["--recipe", "so_cnn_letters", "--root", root]
        command += ["--seed", str(seed), "--output", str(folder)]
        for setting in (*BASE, *VARIANTS[variant]):
            command += ["--set", setting]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(record.read_text())["test"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", required=True)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    args = parser.parse_args()
    rows = []
    for variant in args.variants:
        tests = [run(variant, seed, args.root) for seed in args.seeds]
        values = [[test[name] for test in tests] for name in ("recall@1", "map@r")]
        rows.append(f"| {variant} | {' | '.join(map(with_range, values))} |")
        print(rows[-1], flush=True)
    print("\n| | Recall@1 | MAP@R |\n|---|---|---|", *rows, sep="\n")


def with_range(values):
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
