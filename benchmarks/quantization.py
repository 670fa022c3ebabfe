"""What int8 saves and what it costs: `embedder.quantize("int8")`.

    python benchmarks/quantization.py MODEL [--data glyphs omniglot] [--root FOLDER]

MODEL is a shipped preset's name, a preset's folder, a run's folder or a `.keras` file.
Keras quantizes dense layers, those of attention among them, and not convolutions.

    int8 weights    share of the weights, proxies left out, that are stored in int8
    file            the weights without proxies, as `save_weights` writes them
    cosine          of int8 embeddings with float ones: the mean, and the least
    Recall@1        on each data set's test split, each image among all others
    images/s        embedding the first data set, in memory; the better of two times

Runs on the Keras backend of KERAS_BACKEND.
"""

import argparse
import math
import pathlib
import tempfile
import time
import warnings

import keras
import numpy as np

import keras_hierproxy as khp
from keras_hierproxy.models.export import served_network
from keras_hierproxy.runs.trained import load_embedder

BATCH = 128


def share_of_int8(embedder):
    """The share of the network's weights that are stored in int8."""
    weights = served_network(embedder).weights
    sizes = np.array([math.prod(each.shape) for each in weights])
    quantized = [each.dtype == "int8" for each in weights]
    return sizes[quantized].sum() / sizes.sum()


def file_size(embedder):
    """Bytes of the network's weights in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "network.weights.h5")
        served_network(embedder).save_weights(path)
        return path.stat().st_size


def measure(embedder, splits):
    """Its row of the table, and its points of each data set."""
    points, recalls = [], []
    for name, test in splits.items():
        points.append(embedder.embed(test.images, BATCH))
        found = khp.retrieval.evaluate(
            points[-1], test.labels, geometry=embedder.geometry
        )
        recalls.append(f"{name} {found['recall@1']:.4f}")
    images = next(iter(splits.values())).images
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        embedder.embed(images, BATCH)
        seconds.append(time.perf_counter() - start)
    row = [
        f"{share_of_int8(embedder):.1%}",
        f"{file_size(embedder) / 2**20:.2f} MB",
        ", ".join(recalls),
        f"{len(images) / min(seconds):,.0f}",
    ]
    return row, np.concatenate(points)


def cosines(x, y):
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return (x * y).sum(axis=1) / norms


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a preset, a run's folder, a .keras file")
    parser.add_argument("--data", nargs="+", default=["glyphs"], help="data sets")
    parser.add_argument("--root", help="folder of the data sets' files")
    args = parser.parse_args()

    roots = {name: None if name == "glyphs" else args.root for name in args.data}
    splits = {name: khp.datasets.load(name, root).test for name, root in roots.items()}
    embedder = load_embedder(args.model)
    whole, float_points = measure(embedder, splits)
    with warnings.catch_warnings():
        # Keras warns of each layer that it leaves as it is.
        warnings.simplefilter("ignore")
        embedder.quantize("int8")
    quantized, int8_points = measure(embedder, splits)
    cosine = cosines(float_points, int8_points)

    print(f"{args.model}, {keras.config.backend()}\n")
    print("| weights | int8 weights | file | Recall@1 | images/s | cosine |")
    print("|---|---|---|---|---|---|")
    print("| float32 |", " | ".join(whole), "| 1 |")
    print(
        "| int8 |",
        " | ".join(quantized),
        f"| {cosine.mean():.5f}, {cosine.min():.5f} |",
    )


if __name__ == "__main__":
    main()
