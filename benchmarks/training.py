"""Training from end to end against plain PyTorch and PyTorch Metric Learning.

    python benchmarks/training.py [--rounds 5]

The network of the demo on the same images of the glyph set: Conv-4, 64 dimensions,
Proxy-Anchor, AdamW, batch 128. Ours is an `ImageEmbedder` and its `fit`, data
pipeline, metrics and callbacks included; the peer a bare loop over a `DataLoader`.
"""

import argparse
from contextlib import ExitStack

import numpy as np
from side_by_side import compare, process

BATCH, BATCHES, DIMENSION = 128, 20, 64
PEER = "PyTorch + PyTorch Metric Learning"


def training_data():
    """A random part of the glyph set's training split, and its number of classes."""
    from keras_hierproxy import datasets

    train = datasets.load("glyphs").train
    rows = np.random.default_rng(0).permutation(len(train))[: BATCH * BATCHES]
    return train.images[rows], train.labels[rows, 0], train.num_classes


def our_epoch():
    import keras

    import keras_hierproxy as khp

    images, labels, num_classes = training_data()
    embedder = khp.models.ImageEmbedder(
        khp.models.conv4(),
        proxies=khp.layers.Proxies(num_classes),
        embedding_dim=DIMENSION,
    )
    embedder.compile(keras.optimizers.AdamW(1e-3), loss=khp.losses.ProxyAnchorLoss())

    def epoch():
        embedder.fit(images, labels, batch_size=BATCH, verbose=0)
        return ()

    return epoch


def peer_epoch():
    import torch
    from pytorch_metric_learning.losses import ProxyAnchorLoss
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    images, labels, num_classes = training_data()
    images = torch.tensor(images).permute(0, 3, 1, 2).contiguous()
    data = TensorDataset(images, torch.tensor(labels, dtype=torch.int64))
    loader = DataLoader(data, BATCH, shuffle=True)

    blocks = [
        (
            nn.Conv2d(channels, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        for channels in (images.shape[1], 64, 64, 64)
    ]
    network = nn.Sequential(
        *(layer for block in blocks for layer in block),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, DIMENSION),
    )
    criterion = ProxyAnchorLoss(num_classes, DIMENSION)
    parameters = [*network.parameters(), *criterion.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)

    def epoch():
        for images, labels in loader:
            optimizer.zero_grad()
            criterion(network(images.float() / 255), labels).backward()
            optimizer.step()
        return ()

    return epoch


# Name, backend of its process, and what builds an epoch.
CONTENDERS = {
    PEER: ("torch", peer_epoch),
    "torch": ("torch", our_epoch),
    "jax": ("jax", our_epoch),
    "tensorflow": ("tensorflow", our_epoch),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(process(backend))
            for name, (backend, _) in CONTENDERS.items()
        }
        builders = {name: (epoch,) for name, (_, epoch) in CONTENDERS.items()}
        seconds = compare(processes, builders, args.rounds)

    print(f"Training on {BATCH * BATCHES:,} glyphs, batch {BATCH}\n")
    print("| | images/s | of the peer's |")
    print("|---|---|---|")
    for name in CONTENDERS:
        speed = BATCH * BATCHES / seconds[name]
        print(f"| {name} | {speed:.0f} | {seconds[PEER] / seconds[name]:.2f}x |")


if __name__ == "__main__":
    main()
