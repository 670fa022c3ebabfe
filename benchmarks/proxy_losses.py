"""Losses over proxies against PyTorch Metric Learning: one forward and backward pass.

    python benchmarks/proxy_losses.py [--rounds 7] [--only ProxyAnchorLoss ...]

Gradients go to the embeddings and to the proxies, batch 180, dimension 512. As `fit`
runs them: PyTorch eager, JAX jitted, TensorFlow in a graph, which Keras does not
compile with XLA on a CPU; shown beside it is what `jit_compile=True` makes of that.
All contenders must come to the same loss and gradients.
"""

import argparse
from contextlib import ExitStack

import numpy as np
from side_by_side import compare, process

BATCH, DIMENSION = 180, 512
CLASSES = (100, 11_318)  # CUB and Cars; Stanford Online Products
MANY_CLASSES = 100_000

# Of all arguments only the number of centers a class is not a default, and has a name
# of its own in each loss of PyTorch Metric Learning.
CENTERS = {"SoftTripleLoss": 3, "SubCenterArcFaceLoss": 3}
PEER_CENTERS = {
    "SoftTripleLoss": {"centers_per_class": 3},
    "SubCenterArcFaceLoss": {"sub_centers": 3},
}
LOSSES = (
    "ProxyAnchorLoss",
    "NormalizedSoftmaxLoss",
    "ProxyNCALoss",
    "CosFaceLoss",
    "ArcFaceLoss",
    "SubCenterArcFaceLoss",
    "SoftTripleLoss",
)
CASES = [(loss, classes) for loss in LOSSES for classes in CLASSES]
CASES += [("ProxyAnchorLoss", MANY_CLASSES), ("NormalizedSoftmaxLoss", MANY_CLASSES)]

BARS = {"torch": 1.0, "jax": 0.5, "tensorflow": 0.4}  # Proxy-Anchor, many classes


def batch(loss, classes):
    """Embeddings, proxies (class-major) and labels."""
    rng = np.random.default_rng(0)
    rows = classes * CENTERS.get(loss, 1)
    embeddings = rng.standard_normal((BATCH, DIMENSION), dtype="float32")
    proxies = rng.standard_normal((rows, DIMENSION), dtype="float32")
    return embeddings, proxies, rng.integers(0, classes, BATCH, dtype="int32")


def peer_step(loss, classes):
    import torch
    from pytorch_metric_learning import losses

    embeddings, proxies, labels = batch(loss, classes)
    criterion = getattr(losses, loss)(
        num_classes=classes, embedding_size=DIMENSION, **PEER_CENTERS.get(loss, {})
    )
    (parameter,) = criterion.parameters()
    by_rows = parameter.shape[0] == len(proxies)
    parameter.data = torch.tensor(proxies if by_rows else proxies.T.copy())
    embeddings = torch.tensor(embeddings, requires_grad=True)
    labels = torch.tensor(labels, dtype=torch.int64)

    def step():
        value = criterion(embeddings, labels)
        gradients = torch.autograd.grad(value, [embeddings, parameter])
        return value.detach(), *gradients

    return step


def our_loss(loss, proxies):
    """The loss, bound to a layer that holds the proxies."""
    import keras_hierproxy as khp

    centers = CENTERS.get(loss, 1)
    layer = khp.layers.Proxies(len(proxies) // centers, centers)
    layer.build((None, DIMENSION))
    layer.proxies.assign(proxies)
    return getattr(khp.losses, loss)(proxies=layer), layer.proxies


def torch_step(loss, classes):
    import torch

    embeddings, proxies, labels = batch(loss, classes)
    criterion, variable = our_loss(loss, proxies)
    embeddings = torch.tensor(embeddings, requires_grad=True)
    labels = torch.tensor(labels)

    def step():
        value = criterion(labels, embeddings)
        gradients = torch.autograd.grad(value, [embeddings, variable.value])
        return value.detach(), *gradients

    return step


def jax_step(loss, classes):
    import jax
    import keras

    embeddings, proxies, labels = map(jax.numpy.asarray, batch(loss, classes))
    criterion, variable = our_loss(loss, proxies)

    def value(embeddings, proxies):
        with keras.StatelessScope(state_mapping=[(variable, proxies)]):
            return criterion(labels, embeddings)

    value_and_gradients = jax.jit(jax.value_and_grad(value, argnums=(0, 1)))

    def step():
        value, gradients = value_and_gradients(embeddings, proxies)
        return jax.block_until_ready((value, *gradients))

    return step


def tensorflow_step(loss, classes, jit_compile):
    import tensorflow as tf

    embeddings, proxies, labels = batch(loss, classes)
    criterion, variable = our_loss(loss, proxies)
    embeddings, labels = tf.constant(embeddings), tf.constant(labels)

    @tf.function(jit_compile=jit_compile)
    def value_and_gradients(embeddings, labels):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = criterion(labels, embeddings)
        return value, *tape.gradient(value, [embeddings, variable.value])

    return lambda: value_and_gradients(embeddings, labels)


# Name, backend of its process, and what builds its step.
CONTENDERS = {
    "PyTorch Metric Learning": ("torch", peer_step),
    "torch": ("torch", torch_step),
    "jax": ("jax", jax_step),
    "tensorflow": ("tensorflow", tensorflow_step, False),
    "tensorflow, XLA": ("tensorflow", tensorflow_step, True),
}
PEER = "PyTorch Metric Learning"


def cell(name, classes, seconds):
    """Milliseconds, and how they compare with the peer's and with the bar."""
    text = f"{seconds[name] * 1e3:.1f} ms"
    if name == PEER:
        return text
    ratio = seconds[name] / seconds[PEER]
    return f"{text}, {ratio:.2f}x"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", choices=LOSSES, default=LOSSES)
    args = parser.parse_args()

    print(f"Forward and backward pass, batch {BATCH}, dimension {DIMENSION}\n")
    print("| loss | classes |", " | ".join(CONTENDERS), "|")
    print("|---|---|" + "---|" * len(CONTENDERS))
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(process(backend))
            for name, (backend, *_) in CONTENDERS.items()
        }
        for loss, classes in CASES:
            if loss not in args.only:
                continue
            builders = {
                name: (function, loss, classes, *arguments)
                for name, (_, function, *arguments) in CONTENDERS.items()
            }
            seconds = compare(processes, builders, args.rounds)
            cells = [cell(name, classes, seconds) for name in CONTENDERS]
            print(f"| {loss} | {classes:,} |", " | ".join(cells), "|", flush=True)
    print(f"\nBars for ProxyAnchorLoss at {CLASSES[1]:,} classes and more: ", BARS)


if __name__ == "__main__":
    main()
