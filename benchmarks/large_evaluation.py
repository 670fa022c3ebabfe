"""Retrieval evaluation of large data: time and peak memory beside a peer.

    python benchmarks/large_evaluation.py [--cases products million rankings half]

products   60,502 x 512, the test split of Online Products in size: Recall@K,
           R-Precision and MAP@R beside PyTorch Metric Learning.
million    10,000 queries against 1,000,000 x 128 in a memory-mapped file, Recall@K,
           beside a bare faiss index, which holds no duplicates' or ties' promise.
rankings   MAP, MRR, NDCG, ASI and H-AP of 8,000 x 512, which sort every ranking,
           beside MAP and MRR of PyTorch Metric Learning with k=None, which at 20,000
           rows takes more than 24 GB.
half       the same embeddings stored as float16: what changes.

Each measurement has a process of its own, for its peak memory; both sides run once.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from evaluation import labels_of, ours, peer, write_problem
from side_by_side import peak_megabytes, process

WHOLE = ("map", "mrr", "ndcg", "asi", "h_ap")


def search_ours(embeddings, labels):
    from keras_hierproxy.retrieval import evaluate

    queries = embeddings[:10_000], labels[:10_000]
    results = evaluate(*queries, embeddings, labels, k=(2, 10), metrics=["recall"])
    return results["recall@2"], results["recall@10"]


def search_faiss(embeddings, labels):
    import faiss

    index = faiss.IndexFlatIP(embeddings.shape[1])
    index.add(np.ascontiguousarray(embeddings))
    _, found = index.search(np.ascontiguousarray(embeddings[:10_000]), 10)
    hits = labels[found] == labels[:10_000, None]
    return tuple(hits[:, :k].any(axis=1).mean() for k in (2, 10))


def rankings_ours(embeddings, labels):
    from keras_hierproxy.retrieval import evaluate

    levels = np.stack([labels, labels // 20, labels // 400], axis=1)
    results = evaluate(embeddings, levels, metrics=WHOLE)
    return results["map"], results["mrr"]


def rankings_peer(embeddings, labels):
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    names = "mean_average_precision", "mean_reciprocal_rank"
    calculator = AccuracyCalculator(include=names, k=None, device=torch.device("cpu"))
    results = calculator.get_accuracy(embeddings, labels)
    return tuple(results[name] for name in names)


# Rows, dimensions, our side, the peer's.
CASES = {
    "products": (60_502, 512, ours, peer),
    "million": (1_000_000, 128, search_ours, search_faiss),
    "rankings": (8_000, 512, rankings_ours, rankings_peer),
}


def measure(side, folder):
    """Seconds, peak MB, MB added to imports and mapped data, and the metrics."""
    embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npy")
    side(np.array(embeddings[:256]), np.arange(256) // 2)  # imports, thread pools
    before = peak_megabytes()
    start = time.perf_counter()
    metrics = side(embeddings, labels)
    return (
        time.perf_counter() - start,
        peak_megabytes(),
        peak_megabytes() - before,
        metrics,
    )


def compare(name, folder):
    rows, dim, mine, theirs = CASES[name]
    write_problem(folder, labels_of([5], rows), dim)
    measured = []
    for side in (mine, theirs):
        with process("torch") as worker:
            measured.append(worker.submit(measure, side, folder).result())
    (*numbers, our_metrics), (*peer_numbers, peer_metrics) = measured
    np.testing.assert_allclose(our_metrics, peer_metrics, atol=2e-5)
    columns = [
        f"{a:,.{digits}f} / {b:,.{digits}f} {unit} | {a / b:.2f}x"
        for a, b, digits, unit in zip(
            numbers, peer_numbers, (1, 0, 0), ("s", "MB", "MB"), strict=True
        )
    ]
    print(f"| {name}, {rows:,} x {dim} |", " | ".join(columns), "|", flush=True)


def half(folder):
    """What float16 storage changes in numbers and in first neighbours."""
    from keras_hierproxy.retrieval import evaluate, knn

    write_problem(folder, labels_of([5], 20_000), 128)
    whole, labels = np.load(folder / "embeddings.npy"), np.load(folder / "labels.npy")
    stored = whole.astype("float16")
    changed = (knn(whole, k=1)[0] != knn(stored, k=1)[0]).mean()
    print(
        f"\nfloat16: {stored.nbytes / whole.nbytes:.1f}x the bytes, another first "
        f"neighbour for {changed:.2%} of 20,000 queries\n"
    )
    print("| metric | float32 | float16 |")
    print("|---|---|---|")
    pairs = [evaluate(x, labels) for x in (whole, stored)]
    for name in ("recall@1", "recall@8", "r_precision", "map@r"):
        print(f"| {name} | {pairs[0][name]:.5f} | {pairs[1][name]:.5f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = (*CASES, "half")
    parser.add_argument("--cases", nargs="+", choices=names, default=names)
    chosen = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as folder:
        print("| case | time | ratio | peak memory | ratio | of it, added | ratio |")
        print("|---|---|---|---|---|---|---|")
        for name in chosen:
            if name in CASES:
                compare(name, Path(folder))
        if "half" in chosen:
            half(Path(folder))


if __name__ == "__main__":
    main()
