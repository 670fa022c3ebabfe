"""Is the tree of latent proxies meaningful? It is set beside scripts and base letters.

    python benchmarks/latent_tree.py [--seeds 0 1 2] [--epochs 5] [--split test]

Trains an embedder on the glyph set, Proxy-Anchor + 0.5 HIER on the Poincare ball, and
hangs the letters of a split that it has never seen under the latent proxies. Beside the
tree stand k-means on the same embeddings, with as many clusters, and the tree of
recursive 2-means; by chance, the same latent tree with its letters shuffled.

    AMI      adjusted mutual information of clusters and labels: 1 if the same,
             0 by chance. "lowest": each latent proxy with letters under it is a
             cluster. "cut": the largest cluster is split into its children until
             there are as many as labels.
    purity   dendrogram purity: of two letters of one label, the share of that label
             under their lowest common ancestor; the mean over all such pairs.

Runs on the Keras backend of KERAS_BACKEND. Each finished seed is kept in
runs/latent_tree/ and is not trained again.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score

import keras_hierproxy as khp
from keras_hierproxy import files
from keras_hierproxy.trees import Tree

FOLDER = pathlib.Path("runs/latent_tree")
LEVELS = {"script": 2, "base letter": 1, "character": 0}


def train(data, seed, epochs, latent_rate, hier_weight):
    """An embedder, its Recall@1 on the validation characters, and the seconds."""
    keras.utils.set_random_seed(seed)
    embedder = khp.models.ImageEmbedder(
        khp.models.conv4(),
        num_classes=data.train.num_classes,
        geometry=khp.geometry.PoincareBall(),
    )
    optimizer = khp.optimizers.grouped(
        embedder, backbone=1e-3, head=1e-3, latent=latent_rate
    )
    hier = khp.losses.HIERLoss(max_triplets=2048)
    embedder.compile(optimizer, loss=khp.losses.ProxyAnchorLoss() + hier_weight * hier)
    batches = data.train.batches(
        128,
        "balanced",
        images_per_class=2,
        augment=khp.datasets.RandomAffine(),
        seed=seed,
    )
    start = time.time()
    embedder.fit(batches, epochs=epochs, verbose=0)
    seconds = time.time() - start
    evaluation = khp.callbacks.RetrievalEvaluation(data.validation, k=1)
    evaluation.set_model(embedder)
    return embedder, evaluation.compute()["val_recall@1"], seconds


def two_means_tree(points, smallest=8):
    """A tree by 2-means of all, of each half, and so on."""
    parents = np.full(len(points), -1)
    inner = []  # the parent of each inner node

    def split(rows, parent):
        node = len(points) + len(inner)
        inner.append(parent)
        side = np.zeros(len(rows), int)
        if len(rows) > smallest:
            side = KMeans(2, n_init=2, random_state=0).fit_predict(points[rows])
        if side.min() == side.max():
            parents[rows] = node
            return
        for half in (0, 1):
            split(rows[side == half], node)

    split(np.arange(len(points)), -1)
    return Tree(np.concatenate([parents, inner]), len(points))


def purity(tree, labels):
    """Dendrogram purity, from the labels' counts below each node."""
    counts = np.zeros((len(tree), labels.max() + 1))
    counts[np.arange(tree.num_leaves), labels] = 1
    pairs = np.zeros_like(counts)  # of one label, that meet here
    for node in tree.order[::-1]:
        children = tree.children[node]
        if len(children):
            below = counts[children]
            counts[node] = below.sum(0)
            pairs[node] = (counts[node] ** 2 - (below**2).sum(0)) / 2
    shares = counts / counts.sum(1, keepdims=True)
    return float((pairs * shares).sum() / pairs.sum())


def cut(tree, count):
    """Clusters of the leaves: the largest is split until there are `count`."""
    sizes = tree.sizes()
    nodes = [tree.root]
    while len(nodes) < count:
        inner = [node for node in nodes if node >= tree.num_leaves]
        if not inner:
            break
        largest = max(inner, key=lambda node: sizes[node])
        nodes.remove(largest)
        nodes.extend(tree.children[largest].tolist())
    clusters = np.empty(tree.num_leaves, int)
    for number, node in enumerate(nodes):
        clusters[tree.leaves(node)] = number
    return clusters


def ami_of_kmeans(points, labels, count):
    clusters = KMeans(count, n_init=3, random_state=0).fit_predict(points)
    return adjusted_mutual_info_score(labels, clusters)


def assess(embedder, split):
    points = embedder.embed(split.images)
    tree = embedder.latent.tree(points)
    by_chance = Tree(
        np.concatenate(
            [
                np.random.default_rng(0).permutation(tree.parents[: len(points)]),
                tree.parents[len(points) :],
            ]
        ),
        len(points),
    )
    two_means = two_means_tree(points)
    lowest = np.unique(tree.parents[: len(points)], return_inverse=True)[1]
    used = int(lowest.max()) + 1
    found = {
        "latent proxies used": len(tree) - len(points),
        "with letters": used,
        "depth": int(tree.depth.max()),
    }
    results = khp.retrieval.evaluate(
        points, split.labels, k=1, metrics=["recall"], geometry=embedder.geometry
    )
    found["Recall@1"] = results["recall@1"]
    for name, level in LEVELS.items():
        labels = split.labels[:, level]
        count = len(np.unique(labels))
        clusters = cut(tree, count)
        found |= {
            f"{name}: AMI lowest": adjusted_mutual_info_score(labels, lowest),
            f"{name}: AMI k-means, as many": ami_of_kmeans(points, labels, used),
            f"{name}: AMI cut": adjusted_mutual_info_score(labels, clusters),
            f"{name}: AMI k-means, {count}": ami_of_kmeans(points, labels, count),
            f"{name}: purity": purity(tree, labels),
            f"{name}: purity 2-means": purity(two_means, labels),
            f"{name}: purity by chance": purity(by_chance, labels),
        }
    return {key: float(value) for key, value in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--latent-rate", type=float, default=1e-2)
    parser.add_argument("--hier-weight", type=float, default=0.5)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    args = parser.parse_args()

    data = khp.datasets.load("glyphs")
    split = getattr(data, args.split)
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in args.seeds:
        settings = f"{args.epochs}-{args.latent_rate}-{args.hier_weight}"
        path = FOLDER / f"{args.split}-{settings}-{seed}.json"
        if not path.exists():
            embedder, recall, seconds = train(
                data, seed, args.epochs, args.latent_rate, args.hier_weight
            )
            found = {"seconds": seconds, "validation Recall@1": recall}
            found |= assess(embedder, split)
            files.write_json(path, found)
        rows.append(json.loads(path.read_text()))
        print(f"seed {seed}: {rows[-1]['seconds']:.0f} s of training", flush=True)
    print(f"\n{args.split} letters, {len(rows)} seeds, {args.epochs} epochs\n")
    print("| | mean | least | most |\n|---|---|---|---|")
    for name in rows[0]:
        values = [row[name] for row in rows]
        cells = [np.mean(values), min(values), max(values)]
        print(f"| {name} |", " | ".join(f"{value:.3f}" for value in cells), "|")


if __name__ == "__main__":
    main()
