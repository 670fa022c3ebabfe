"""Retrieval evaluation against PyTorch Metric Learning: time, memory, and its growth.

    python benchmarks/evaluation.py [--rounds 3] [--rows 20000] [--dim 512]

Recall@1, R-Precision and MAP@R, leave-one-out, of the same embeddings: `evaluate`
beside `AccuracyCalculator` with faiss and k="max_bin_count". Each measurement has a
process of its own, for its peak memory; the two sides take turns, and the least of the
rounds counts. Both must come to the same numbers.

Memory is shown as the process's peak and as what the evaluation adds to imports and
data. The first contains Keras with its backend on our side, torch alone on the other.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from side_by_side import peak_megabytes, process

BARS = {"time": 0.65, "memory": 0.5}


def labels_of(sizes, rows):
    """Shuffled labels of classes that have `sizes` (cycled) rows each."""
    repeats = np.resize(sizes, rows)
    return np.random.default_rng(0).permutation(
        np.repeat(np.arange(rows), repeats)[:rows]
    )


CASES = {
    "5 a class (Online Products)": [5],
    "60 a class (CUB, Cars)": [60],
    "1 to 200 a class (long tail)": np.geomspace(200, 1, 50).astype(int),
}


def write_problem(folder, labels, dim):
    """Noisy clusters, as `embeddings.npy` and `labels.npy`."""
    rng = np.random.default_rng(1)
    embeddings = rng.standard_normal((labels.max() + 1, dim), dtype="float32")[labels]
    embeddings += 2 * rng.standard_normal(embeddings.shape, dtype="float32")
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    np.save(folder / "embeddings.npy", embeddings)
    np.save(folder / "labels.npy", labels)


def ours(embeddings, labels):
    from keras_hierproxy.retrieval import evaluate

    results = evaluate(embeddings, labels)
    return results["precision@1"], results["r_precision"], results["map@r"]


def peer(embeddings, labels):
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    names = "precision_at_1", "r_precision", "mean_average_precision_at_r"
    calculator = AccuracyCalculator(
        include=names, k="max_bin_count", device=torch.device("cpu")
    )
    results = calculator.get_accuracy(embeddings, labels)
    return tuple(results[name] for name in names)


def measure(side, folder):
    """Runs one side once, in a fresh process.

    Returns:
        seconds, peak MB of the process, MB of it that the evaluation added to
        imports and data, and the metrics.
    """
    embeddings = np.load(folder / "embeddings.npy")
    labels = np.load(folder / "labels.npy")
    side(embeddings[:256].copy(), np.arange(256) // 2)  # imports, thread pools
    before = peak_megabytes()
    start = time.perf_counter()
    metrics = side(embeddings, labels)
    seconds = time.perf_counter() - start
    return seconds, peak_megabytes(), peak_megabytes() - before, metrics


def measured(side, folder):
    with process("torch") as worker:
        return worker.submit(measure, side, folder).result()


def compare(folder, rounds):
    """Least seconds and megabytes of both sides: (ours, peer), each (3,)."""
    runs = [(measured(ours, folder), measured(peer, folder)) for _ in range(rounds)]
    for (*_, our_metrics), (*_, peer_metrics) in runs:
        np.testing.assert_allclose(our_metrics, peer_metrics, atol=2e-6)
    return np.array([[side[:3] for side in run] for run in runs]).min(axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=512)
    args = parser.parse_args()

    print(f"Evaluation of {args.rows} x {args.dim}: ours / PyTorch Metric Learning")
    print(f"bars: time <= {BARS['time']}, memory <= {BARS['memory']}\n")
    print("| classes | time | ratio | peak memory | ratio | of it, added | ratio |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, sizes in CASES.items():
            write_problem(folder, labels_of(sizes, args.rows), args.dim)
            mine, theirs = compare(folder, args.rounds)
            columns = [
                f"{a:.{digits}f} / {b:.{digits}f} {unit} | {a / b:.2f}x"
                for a, b, digits, unit in zip(
                    mine, theirs, (2, 0, 0), ("s", "MB", "MB"), strict=True
                )
            ]
            print(f"| {name} |", " | ".join(columns), "|", flush=True)

        print("\nGrowth of ours, 5 a class, 128 dimensions\n")
        print("| rows | time | data | added memory | per row |")
        print("|---|---|---|---|---|")
        for rows in (10_000, 100_000):
            write_problem(folder, labels_of([5], rows), 128)
            seconds, _, added, _ = measured(ours, folder)
            print(
                f"| {rows:,} | {seconds:.1f} s | {rows * 512 / 2**20:.0f} MB | "
                f"{added:.0f} MB | {added * 2**20 / rows:.0f} bytes |",
                flush=True,
            )


if __name__ == "__main__":
    main()
