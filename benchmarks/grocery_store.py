"""Does a hierarchy help on photos? Grocery Store, trained from scratch.

    python benchmarks/grocery_store.py --root FOLDER [--methods ...] [--seeds 0 1 2]

FOLDER holds `grocery_store.zip` or `GroceryStoreDataset`. Trains Conv-4 at 64 pixels on
the photos of the official train split, less the validation classes, by

    proxy-anchor    Proxy-Anchor
    hpl-taxonomy    HPL over Proxy-Anchor with the given taxonomy (coarse, department)
    hpl             HPL over Proxy-Anchor with a learned coarse level

and evaluates the last epoch on the official val split, leave-one-out. All get the same
epochs and, seed by seed, the same start and the same batches. Settings were chosen on
the validation classes. Each run is kept in its folder of `runs/grocery_store/`, as
`hierproxy compare` takes it: a killed script goes on after the last whole epoch, and
what is finished is not trained again.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

import keras_hierproxy as khp
from keras_hierproxy import files
from keras_hierproxy.runs.scoring import score

FOLDER = pathlib.Path("runs/grocery_store")
METHODS = ("proxy-anchor", "hpl-taxonomy", "hpl")
METRICS = ("recall", "r_precision", "map@r", "map", "mrr", "ndcg", "asi", "h_ap")
SHOWN = ("recall@1", "recall@4", "map@r", "level1_recall@1", "level2_recall@1")
SHOWN += ("ndcg", "asi", "h_ap")


def build(method, train, seed):
    keras.utils.set_random_seed(seed)
    taxonomy = train.taxonomy if method == "hpl-taxonomy" else None
    embedder = khp.models.ImageEmbedder(
        khp.models.conv4(train.images.shape[1:]),
        proxies=khp.layers.HierProxies(train.num_classes, taxonomy=taxonomy),
    )
    base = khp.losses.ProxyAnchorLoss()
    embedder.compile(
        loss=base if method == "proxy-anchor" else khp.losses.HierProxyLoss()
    )
    return embedder


class Stopwatch(keras.callbacks.Callback):
    """Seconds of training, kept in a file, so that they add up over kills."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    @property
    def seconds(self):
        return float(self.path.read_text()) if self.path.exists() else 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        files.write(self.path, str(self.seconds + time.monotonic() - self.began))


def run(method, seed, data, epochs, folder):
    """Trains, or goes on, and writes the evaluation."""
    embedder = build(method, data.train, seed)
    batches = data.train.batches(
        64, seed=seed, augment=khp.datasets.RandomResizedCrop(scale=(0.5, 1.0))
    )
    stopwatch = Stopwatch(folder / "seconds")
    backup = keras.callbacks.BackupAndRestore(
        folder / "backup", double_checkpoint=True, delete_checkpoint=False
    )
    embedder.fit(batches, epochs=epochs, verbose=0, callbacks=[stopwatch, backup])
    part = score(data.validation, embedder.embed(data.validation.images))
    done = score(data.test, embedder.embed(data.test.images), metrics=METRICS)
    metrics = {
        "test": done.results,
        "validation": part.results,
        "seconds": stopwatch.seconds,
        "epochs": epochs,
    }
    facts = [("method", method), ("seed", str(seed)), ("epochs", str(epochs))]
    done.write(folder, metrics, facts)


def mean_and_range(values):
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def print_table(results):
    print("\n| |", " | ".join(SHOWN), "| seconds |")
    print("|---" * (len(SHOWN) + 2) + "|")
    for method, runs in results.items():
        cells = [mean_and_range([r["test"][name] for r in runs]) for name in SHOWN]
        seconds = max(r["seconds"] for r in runs)
        print(f"| {method} |", " | ".join(cells), f"| {seconds:.0f} at most |")
    base = results.get("proxy-anchor")
    for method, runs in results.items():
        if base is None or method == "proxy-anchor" or len(runs) != len(base):
            continue
        print(f"\n{method} less proxy-anchor, seed by seed:")
        for name in SHOWN:
            gaps = [
                a["test"][name] - b["test"][name]
                for a, b in zip(runs, base, strict=True)
            ]
            print(f"  {name:<16}", *(f"{gap:+.3f}" for gap in gaps))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    data = khp.datasets.load(
        "grocery_store", root=args.root, test_split="val", image_size=64
    )
    results = {method: [] for method in args.methods}
    for seed in args.seeds:
        for method in args.methods:
            folder = FOLDER / f"{method}-{seed}-{args.epochs}"
            folder.mkdir(parents=True, exist_ok=True)
            record = folder / "metrics.json"
            if not record.exists():
                run(method, seed, data, args.epochs, folder)
            results[method].append(json.loads(record.read_text()))
            last = results[method][-1]
            print(
                f"{method}, seed {seed}: {last['seconds']:.0f} s, Recall@1 "
                f"{last['test']['recall@1']:.3f}, on validation classes "
                f"{last['validation']['recall@1']:.3f}",
                flush=True,
            )
    print_table(results)


if __name__ == "__main__":
    main()
