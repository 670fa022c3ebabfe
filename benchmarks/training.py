"""Training from end to end against plain PyTorch and PyTorch Metric Learning.

    python benchmarks/training.py [--rounds 5] [--backends torch] [--networks Conv-4]

Conv-4 on the glyphs of the demo, and EfficientNet-Lite0 on them at 64 pixels in colour:
64 dimensions, Proxy-Anchor, AdamW. Ours is an `ImageEmbedder` and its `fit`, data
pipeline, metrics and callbacks included; the peer a bare loop over a `DataLoader`.

The ratio is the median of the rounds', in each of which all take a turn: on a machine
that others use, too, the least times of two contenders need not belong together.
"""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
from side_by_side import compare, process

DIMENSION = 64
PEER = "PyTorch + PyTorch Metric Learning"


def training_data(network):
    """A random part of the glyph set's training split, and its number of classes."""
    from keras_hierproxy import datasets

    train = datasets.load("glyphs").train
    num_images = network.batch * network.batches
    rows = np.random.default_rng(0).permutation(len(train))[:num_images]
    images = train.images[rows]
    if network.is_of_photos:  # 64 pixels, in colour
        images = images.repeat(2, 1).repeat(2, 2).repeat(3, 3)
    return images, train.labels[rows, 0], train.num_classes


def our_epoch(network):
    import keras

    import keras_hierproxy as khp

    images, labels, num_classes = training_data(network)
    embedder = khp.models.ImageEmbedder(
        network.ours(images.shape[1:]),
        proxies=khp.layers.Proxies(num_classes),
        embedding_dim=DIMENSION,
    )
    embedder.compile(keras.optimizers.AdamW(1e-3), loss=khp.losses.ProxyAnchorLoss())

    def epoch():
        embedder.fit(images, labels, batch_size=network.batch, verbose=0)
        return ()

    return epoch


def peer_conv4():
    from torch import nn

    blocks = [
        (
            nn.Conv2d(channels, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        for channels in (1, 64, 64, 64)
    ]
    return nn.Sequential(*(layer for block in blocks for layer in block)), 64


def peer_efficientnet_lite():
    """EfficientNet-Lite0; pads both sides alike, as networks of PyTorch do."""
    from torch import nn

    from keras_hierproxy.models.efficientnet_lite import STAGES

    def convolution(channels, filters, kernel, stride=1, groups=1, activate=True):
        padding = kernel // 2
        layers = [
            nn.Conv2d(
                channels, filters, kernel, stride, padding, groups=groups, bias=False
            ),
            nn.BatchNorm2d(filters),
        ]
        return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if activate else []))

    class Block(nn.Module):
        def __init__(self, channels, filters, kernel, stride, expansion):
            super().__init__()
            inner = channels * expansion
            widen = [convolution(channels, inner, 1)] if expansion > 1 else []
            self.layers = nn.Sequential(
                *widen,
                convolution(inner, inner, kernel, stride, groups=inner),
                convolution(inner, filters, 1, activate=False),
            )
            self.adds = stride == 1 and channels == filters

        def forward(self, x):
            return x + self.layers(x) if self.adds else self.layers(x)

    layers, channels = [convolution(3, 32, 3, 2)], 32
    for count, kernel, stride, expansion, filters in STAGES:
        for block in range(count):
            step = stride if block == 0 else 1
            layers.append(Block(channels, filters, kernel, step, expansion))
            channels = filters
    return nn.Sequential(*layers, convolution(channels, 1280, 1)), 1280


def peer_epoch(network):
    import torch
    from pytorch_metric_learning.losses import ProxyAnchorLoss
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    images, labels, num_classes = training_data(network)
    images = torch.tensor(images).permute(0, 3, 1, 2).contiguous()
    data = TensorDataset(images, torch.tensor(labels, dtype=torch.int64))
    loader = DataLoader(data, network.batch, shuffle=True)

    backbone, channels = network.peer()
    model = nn.Sequential(
        backbone,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, DIMENSION),
    )
    criterion = ProxyAnchorLoss(num_classes, DIMENSION)
    parameters = [*model.parameters(), *criterion.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)

    def epoch():
        for images, labels in loader:
            optimizer.zero_grad()
            criterion(model(images.float() / 255), labels).backward()
            optimizer.step()
        return ()

    return epoch


def our_conv4(image_shape):
    import keras_hierproxy as khp

    return khp.models.conv4(image_shape)


def our_efficientnet_lite(image_shape):
    import keras_hierproxy as khp

    return khp.models.efficientnet_lite(image_shape=image_shape)


class Network(NamedTuple):
    ours: Callable
    peer: Callable
    batch: int
    batches: int
    is_of_photos: bool


NETWORKS = {
    "Conv-4": Network(our_conv4, peer_conv4, 128, 20, False),
    "EfficientNet-Lite0": Network(
        our_efficientnet_lite, peer_efficientnet_lite, 64, 4, True
    ),
}

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
    parser.add_argument("--backends", nargs="*", default=["torch", "jax", "tensorflow"])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    args = parser.parse_args()

    for name in args.networks:
        measure(name, [PEER, *args.backends], args.rounds)


def measure(name, contenders, rounds):
    network = NETWORKS[name]
    num_images = network.batch * network.batches
    with ExitStack() as stack:
        processes = {
            each: stack.enter_context(process(CONTENDERS[each][0]))
            for each in contenders
        }
        builders = {each: (CONTENDERS[each][1], network) for each in contenders}
        turns = compare(processes, builders, rounds, summarize=list)

    print(f"{name} on {num_images:,} glyphs, batch {network.batch}\n")
    print("| | images/s | of the peer's | in each round |")
    print("|---|---|---|---|")
    for each in contenders:
        ratios = np.divide(turns[PEER], turns[each])
        print(
            f"| {each} | {num_images / min(turns[each]):.0f} "
            f"| {np.median(ratios):.2f}x | {ratios.min():.2f}x to {ratios.max():.2f}x |"
        )
    print()


if __name__ == "__main__":
    main()
