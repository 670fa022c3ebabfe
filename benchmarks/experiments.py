"""Ten methods side by side, on printed and on drawn letters.

    python benchmarks/experiments.py --root FOLDER [--data ...] [--methods ...]
                                     [--seeds 0 1 2] [--table]

FOLDER holds Omniglot's `images_background_small1.zip`; `glyphs` needs nothing. Every
method trains the same Conv-4 (16 to 128 filters) from scratch. Within a data set and a
seed all have the same start, the same batches (64 classes, 2 images of each), the same
augmentation and the same number of steps. The last epoch is evaluated, once, on the
test classes; settings are the library's defaults, except for those that stand here.

Each run leaves a file in `runs/experiments/`: a killed script repeats the run that it
was in, and no other. `--table` only prints what is there.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np
from scipy import stats

import keras_hierproxy as khp
from keras_hierproxy import files

FOLDER = pathlib.Path("runs/experiments")
# Some 57,000 images, 440 steps, each.
EPOCHS = {"glyphs": 4, "drawings": 40}
FILTERS = (16, 32, 64, 128)
BASE = "Proxy-Anchor"
SHOWN = ("recall@1", "recall@4", "map@r")


def orthogonal():
    return khp.regularizers.SoftOrthogonality(1e-3)


def hier():
    return 0.5 * khp.losses.HIERLoss(max_triplets=1024)


# Of each method its loss, and what it asks of the proxies: a regularizer, the labels'
# own taxonomy, the Poincare ball.
METHODS = {
    "NormalizedSoftmax": (khp.losses.NormalizedSoftmaxLoss, {}),
    "ArcFace": (khp.losses.ArcFaceLoss, {}),
    BASE: (khp.losses.ProxyAnchorLoss, {}),
    "Proxy-Anchor + SO": (khp.losses.ProxyAnchorLoss, {"orthogonal": True}),
    "HPL, learned": (khp.losses.HierProxyLoss, {}),
    "HPL, taxonomy": (khp.losses.HierProxyLoss, {"taxonomy": True}),
    "HPL, learned + SO": (khp.losses.HierProxyLoss, {"orthogonal": True}),
    "HIER": (lambda: khp.losses.ProxyAnchorLoss() + hier(), {"ball": True}),
    "HPL + HIER": (lambda: khp.losses.HierProxyLoss() + hier(), {"ball": True}),
    "Hyp": (
        lambda: khp.losses.SupConLoss(0.2, geometry=khp.geometry.PoincareBall()),
        {"ball": True, "latent": None},
    ),
}


def load(name, root):
    if name == "drawings":
        return khp.datasets.load("omniglot", root=root)
    return khp.datasets.load(name)


def build(method, train, seed):
    keras.utils.set_random_seed(seed)
    loss, wants = METHODS[method]
    embedder = khp.models.ImageEmbedder(
        khp.models.conv4(train.images.shape[1:], FILTERS),
        proxies=khp.layers.HierProxies(
            train.num_classes,
            taxonomy=train.taxonomy if "taxonomy" in wants else None,
            regularizer=orthogonal() if "orthogonal" in wants else None,
            name="proxies",
        ),
        geometry=khp.geometry.PoincareBall() if "ball" in wants else None,
        latent=wants.get("latent", "auto"),
    )
    embedder.compile(loss=loss())
    return embedder


def recall(embedder, data):
    points = embedder.embed(data.images)
    return khp.retrieval.evaluate(points, data.labels, geometry=embedder.geometry)


def run(method, seed, data, epochs):
    keras.backend.clear_session()
    embedder = build(method, data.train, seed)
    batches = data.train.batches(
        128,
        sampler="balanced",
        images_per_class=2,
        seed=seed,
        augment=khp.datasets.RandomAffine(),
    )
    began = time.monotonic()
    embedder.fit(batches, epochs=epochs, verbose=0)
    seconds = time.monotonic() - began
    return {
        "test": recall(embedder, data.test),
        "validation": recall(embedder, data.validation),
        "seconds": seconds,
        "epochs": epochs,
        "backend": keras.backend.backend(),
    }


def train_what_is_missing(args):
    for name in args.data:
        data = load(name, args.root)
        for seed in args.seeds:
            for method in args.methods:
                path = path_of(name, method, seed)
                if path.exists():
                    continue
                result = run(method, seed, data, EPOCHS[name])
                path.parent.mkdir(parents=True, exist_ok=True)
                files.write(path, json.dumps(result))
                print(
                    f"{name}, {method}, seed {seed}: Recall@1 "
                    f"{result['test']['recall@1']:.3f}, {result['seconds']:.0f} s",
                    flush=True,
                )


def path_of(data, method, seed):
    name = method.lower().replace(", ", "-").replace(" + ", "-and-")
    return FOLDER / data / f"{name}-{seed}.json"


def print_table(data, methods, seeds):
    """Means over the seeds; differences to Proxy-Anchor seed by seed."""
    found = {
        method: [
            json.loads(path.read_text())
            for seed in seeds
            if (path := path_of(data, method, seed)).exists()
        ]
        for method in methods
    }
    base = found.get(BASE, [])
    print(f"\n{data}, {len(seeds)} seeds\n")
    print("| | Recall@1 | less Proxy-Anchor's | Recall@4 | MAP@R | s |")
    print("|---" * 6 + "|")
    for method, runs in found.items():
        if len(runs) < len(seeds):
            continue
        values = {name: [r["test"][name] for r in runs] for name in SHOWN}
        cells = [with_spread(values["recall@1"])]
        paired = method != BASE and len(base) == len(runs) > 1
        cells.append(difference(runs, base) if paired else "")
        cells += [f"{np.mean(values[name]):.3f}" for name in SHOWN[1:]]
        cells.append(f"{np.mean([r['seconds'] for r in runs]):.0f}")
        print(f"| {method} |", " | ".join(cells), "|")


def with_spread(values):
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def difference(runs, base):
    """The mean paired difference with its 95% interval, by Student's t."""
    gaps = [
        a["test"]["recall@1"] - b["test"]["recall@1"]
        for a, b in zip(runs, base, strict=True)
    ]
    half = stats.t.ppf(0.975, len(gaps) - 1) * stats.sem(gaps)
    return f"{np.mean(gaps):+.3f} ± {half:.3f}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root")
    parser.add_argument("--data", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if "drawings" in args.data and args.root is None and not args.table:
        parser.error("drawings need --root, the folder with Omniglot's files")
    if not args.table:
        train_what_is_missing(args)
    for name in args.data:
        print_table(name, args.methods, args.seeds)


if __name__ == "__main__":
    main()
