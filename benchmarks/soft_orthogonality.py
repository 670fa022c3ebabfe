"""The soft-orthogonality penalty against its C x C form: time and memory.

    python benchmarks/soft_orthogonality.py [--rounds 5]

One forward and backward pass over proxies of dimension 384, on each backend, by
`SoftOrthogonality` and by `|| P P^T - I ||_F^2` as the equation has it. Memory is what
the passes add to the peak of a fresh process that holds the proxies; of ours it is
shown for four times the classes, too.
"""

import argparse

import numpy as np
from side_by_side import compare, peak_megabytes, process

CLASSES, DIMENSION = 11_318, 384
MANY_CLASSES = 4 * CLASSES
BACKENDS = ("torch", "jax", "tensorflow")
BAR = 0.1


def by_definition(proxies):
    """`|| P P^T - I ||_F^2` of normalised proxies, through the C x C matrix."""
    from keras import ops

    directions = ops.normalize(proxies)
    gram = ops.matmul(directions, ops.transpose(directions))
    return ops.sum(ops.square(gram - ops.eye(proxies.shape[0])))


def by_regularizer(proxies):
    import keras_hierproxy as khp

    return khp.regularizers.SoftOrthogonality(1.0)(proxies)


def make_step(penalty, classes):
    """A forward and backward pass on the backend of this process."""
    import keras

    rng = np.random.default_rng(0)
    proxies = rng.standard_normal((classes, DIMENSION), dtype="float32")
    return {
        "torch": torch_step,
        "jax": jax_step,
        "tensorflow": tensorflow_step,
    }[keras.backend.backend()](penalty, proxies)


def torch_step(penalty, proxies):
    import torch

    proxies = torch.tensor(proxies, requires_grad=True)

    def step():
        value = penalty(proxies)
        return value.detach(), *torch.autograd.grad(value, [proxies])

    return step


def jax_step(penalty, proxies):
    import jax

    value_and_gradient = jax.jit(jax.value_and_grad(penalty))
    proxies = jax.numpy.asarray(proxies)
    return lambda: jax.block_until_ready(value_and_gradient(proxies))


def tensorflow_step(penalty, proxies):
    import tensorflow as tf

    proxies = tf.constant(proxies)

    @tf.function
    def value_and_gradient(proxies):
        with tf.GradientTape() as tape:
            tape.watch(proxies)
            value = penalty(proxies)
        return value, tape.gradient(value, proxies)

    return lambda: value_and_gradient(proxies)


def added_megabytes(penalty, classes):
    """What a few passes add to the peak memory of this process."""
    make_step(penalty, 2 * DIMENSION)()  # imports, thread pools
    step = make_step(penalty, classes)
    before = peak_megabytes()
    for _ in range(3):
        step()
    return peak_megabytes() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    print(f"Penalty of {CLASSES:,} proxies of dimension {DIMENSION}: ours / C x C form")
    print(f"bar: time <= {BAR}\n")
    print(f"| backend | time | ratio | added memory | at {MANY_CLASSES:,} classes |")
    print("|---|---|---|---|---|")
    for backend in BACKENDS:
        with (
            process(backend) as mine,
            process(backend) as theirs,
            process(backend) as grown,
        ):
            memory = [
                worker.submit(added_megabytes, penalty, classes).result()
                for worker, penalty, classes in (
                    (mine, by_regularizer, CLASSES),
                    (theirs, by_definition, CLASSES),
                    (grown, by_regularizer, MANY_CLASSES),
                )
            ]
            seconds = compare(
                {"ours": mine, "C x C": theirs},
                {
                    "ours": (make_step, by_regularizer, CLASSES),
                    "C x C": (make_step, by_definition, CLASSES),
                },
                args.rounds,
            )
        a, b = seconds.values()
        print(
            f"| {backend} | {a * 1e3:.0f} / {b * 1e3:.0f} ms | {a / b:.3f}x "
            f"| {memory[0]:.0f} / {memory[1]:.0f} MB | {memory[2]:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
