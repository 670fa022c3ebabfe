"""HIER against the published arithmetic: one forward and backward pass.

    python benchmarks/hier.py [--rounds 5] [--late]

Both terms, with gradients to the embeddings and to the latent proxies; batch 90 (two
images a class), dimension 128, 512 latent proxies, 50 triplets an anchor. The peer is
written here in PyTorch as the authors published it: Moebius addition for all pairs in a
tensor (n, n, d), triplets drawn in a Python loop over anchors, `gumbel_softmax`. Both
draw at random, so they must agree within 10%.

The second table is ours with `max_triplets`: what it costs and how noisy the gradient
becomes. `--late` starts from latent proxies and embeddings in tight groups, as late in
training, where all anchors have neighbours, instead of from the initial ones.
"""

import argparse
import math
from contextlib import ExitStack

import numpy as np
from side_by_side import compare, peak_megabytes, process

BATCH, DIMENSION, LATENTS = 90, 128, 512
PER_ANCHOR, NEIGHBORS = 50, 20
CURVATURE, CLIP_RADIUS, MARGIN, TEMPERATURE = 0.1, 2.3, 0.1, 0.1
BARS = {"torch": 0.6, "jax": 0.4, "tensorflow": 0.25}
CAPS = (None, 8192, 4096, 1024, 256)
REPETITIONS = 40


def arrays(late, num_latents):
    """Embeddings and latent proxies before the map to the ball, and labels."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(BATCH // 2), 2)
    vectors = rng.normal(size=(BATCH, DIMENSION))
    latents = rng.normal(size=(num_latents, DIMENSION))
    if late:
        centers = rng.normal(size=(num_latents // 16, DIMENSION))
        latents = np.repeat(centers, 16, 0) + 0.3 * latents
        vectors = centers[labels % len(centers)] + 0.5 * vectors
    latents *= 0.9 * CLIP_RADIUS / math.sqrt(DIMENSION)
    return vectors.astype("float32"), latents.astype("float32"), labels


def peer_step(late, num_latents=LATENTS):
    import torch
    from torch.nn import functional

    root = math.sqrt(CURVATURE)

    def to_ball(x):
        norm = x.norm(dim=-1, keepdim=True) + 1e-5
        x = x * torch.minimum(torch.ones_like(norm), CLIP_RADIUS / norm)
        norm = x.norm(dim=-1, keepdim=True).clamp_min(1e-5)
        return torch.tanh(root * norm) * x / (root * norm)

    def pairwise_distance(x, y):
        products = torch.einsum("ij,kj->ik", -x, y)
        x_squared = x.pow(2).sum(-1, keepdim=True)
        y_squared = y.pow(2).sum(-1, keepdim=True)
        both = 1 + 2 * CURVATURE * products
        scale = (both + CURVATURE * y_squared.T).unsqueeze(2)
        sums = scale * (-x).unsqueeze(1)
        sums = sums + (1 - CURVATURE * x_squared).unsqueeze(2) * y
        scale = both + CURVATURE**2 * x_squared @ y_squared.T
        sums = sums / (scale.unsqueeze(2) + 1e-5)
        norms = (root * sums.norm(dim=-1)).clamp(-1 + 1e-5, 1 - 1e-5)
        return 2 / root * torch.atanh(norms)

    def draw_triplets(similarity):
        nearest = torch.topk(similarity, NEIGHBORS)[1]
        chosen = torch.zeros_like(similarity).scatter_(1, nearest, 1.0)
        related = ((chosen + chosen.T) / 2).fill_diagonal_(-1)
        drawn = []
        for i, row in enumerate(related):
            positives = torch.nonzero(row == 1)[:, 0].numpy()
            if len(positives) <= 1:
                continue
            negatives = torch.nonzero((row < 1) & (row >= 0))[:, 0].numpy()
            drawn.append(
                [
                    np.full(PER_ANCHOR, i),
                    np.random.choice(positives, PER_ANCHOR),
                    np.random.choice(negatives, PER_ANCHOR),
                ]
            )
        return np.concatenate(drawn, axis=1)

    def term(distances, similarity):
        i, j, k = draw_triplets(similarity)
        pair = torch.maximum(distances[i], distances[j])
        low = functional.gumbel_softmax(-pair / TEMPERATURE, dim=1, hard=True)
        triple = torch.maximum(distances[k], pair)
        high = functional.gumbel_softmax(-triple / TEMPERATURE, dim=1, hard=True)
        losses = sum(
            torch.relu(((near - far) * distances[rows]).sum(1) + MARGIN)
            for rows, near, far in ((i, low, high), (j, low, high), (k, high, low))
        )
        return (losses * (low.argmax(1) != high.argmax(1)).float()).mean()

    np.random.seed(0)
    torch.manual_seed(0)
    vectors, latents, labels = arrays(late, num_latents)
    points = to_ball(torch.tensor(vectors)).requires_grad_()
    latents = torch.tensor(latents, requires_grad=True)
    same = torch.tensor(labels[:, None] == labels[None, :])

    def step():
        nodes = torch.cat([points, to_ball(latents)])
        distances = pairwise_distance(nodes, nodes)
        similarity = torch.exp(-distances).detach()
        data = similarity[:BATCH, :BATCH] + same.float()
        value = term(distances[:BATCH, BATCH:], data)
        value = value + term(distances[BATCH:, BATCH:], similarity[BATCH:, BATCH:])
        torch.autograd.grad(value, [points, latents])
        return [value.detach()]

    return averaged(step)


def averaged(step):
    """A step whose first two results are means over some steps, to be compared."""
    first = [np.mean([float(step()[0]) for _ in range(8)], keepdims=True)] * 2
    return lambda: first.pop() if first else step()


def our_step(late, num_latents=LATENTS, max_triplets=None, gradients=False):
    """A forward and backward pass on the backend of this process."""
    import keras

    import keras_hierproxy as khp

    keras.utils.set_random_seed(0)
    vectors, latents, labels = arrays(late, num_latents)
    ball = khp.geometry.PoincareBall(CURVATURE, CLIP_RADIUS, riemannian=False)
    layer = khp.layers.LatentHierarchy(num_latents, geometry=ball)
    layer.build(vectors.shape)
    layer.proxies.assign(latents)
    points = keras.ops.convert_to_tensor(ball.project(vectors))
    criterion = khp.losses.HIERLoss(
        MARGIN, TEMPERATURE, NEIGHBORS, PER_ANCHOR, max_triplets, proxies=layer
    )
    make = {"torch": torch_step, "jax": jax_step, "tensorflow": tensorflow_step}
    step = make[keras.backend.backend()](criterion, points, labels, layer)
    return step if gradients else averaged(lambda: step()[:1])


def torch_step(criterion, points, labels, layer):
    import torch

    points = points.detach().requires_grad_()
    labels = torch.tensor(labels)

    def step():
        value = criterion(labels, points)
        gradients = torch.autograd.grad(value, [points, layer.proxies.value])
        return value.detach(), *gradients

    return step


def jax_step(criterion, points, labels, layer):
    import jax
    import keras

    state = layer.seed_generator.state

    def value(points, latents, seed):
        mapping = [(layer.proxies, latents), (state, seed)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            return criterion(labels, points), scope.get_current_value(state)

    value_and_gradients = jax.jit(
        jax.value_and_grad(value, argnums=(0, 1), has_aux=True)
    )
    latents, seed = layer.proxies.value, state.value

    def step():
        nonlocal seed
        (value, seed), gradients = value_and_gradients(points, latents, seed)
        return jax.block_until_ready((value, *gradients))

    return step


def tensorflow_step(criterion, points, labels, layer):
    import tensorflow as tf

    @tf.function
    def value_and_gradients(points):
        with tf.GradientTape() as tape:
            tape.watch(points)
            value = criterion(labels, points)
        return value, *tape.gradient(value, [points, layer.proxies.value])

    return lambda: value_and_gradients(points)


def added_megabytes(builder, late):
    """What a few passes add to the peak memory of this process.

    That of the same step with few latent proxies: imports and compilers are there.
    """

    def run(num_latents):
        step = builder(late, num_latents)
        for _ in range(4):
            step()
        return peak_megabytes()

    before = run(32)
    return run(LATENTS) - before


def gradient_noise(late, max_triplets):
    """`|g - E g| / |E g|`, g the gradient by the latent proxies."""
    step = our_step(late, max_triplets=max_triplets, gradients=True)
    draws = np.stack([np.asarray(step()[2]).ravel() for _ in range(REPETITIONS)])
    mean = draws.mean(0)
    signal = np.square(mean).sum() - draws.var(0, ddof=1).sum() / REPETITIONS
    return math.sqrt(draws.var(0, ddof=1).sum() / signal)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--late", action="store_true")
    args = parser.parse_args()
    builders = {"published arithmetic": (peer_step, args.late)}
    builders |= dict.fromkeys(BARS, (our_step, args.late))
    backends = {name: name if name in BARS else "torch" for name in builders}

    with ExitStack() as stack:
        memory = {
            name: stack.enter_context(process(backends[name]))
            .submit(added_megabytes, *builder)
            .result()
            for name, builder in builders.items()
        }
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(process(backend))
            for name, backend in backends.items()
        }
        seconds = compare(processes, builders, args.rounds, tolerance=0.1)
        peer = next(iter(seconds))
        print("| | time | ratio | bar | added memory | ratio |")
        print("|---|---|---|---|---|---|")
        for name in seconds:
            print(
                f"| {name} | {seconds[name] * 1e3:.0f} ms "
                f"| {seconds[name] / seconds[peer]:.3f}x | {BARS.get(name, '')} "
                f"| {memory[name]:.0f} MB | {memory[name] / memory[peer]:.3f}x |",
                flush=True,
            )

        print("\n| `max_triplets` |", " | ".join(BARS), "| noise of the gradient |")
        print("|---|" + "---|" * len(BARS) + "---|")
        for cap in CAPS:
            capped = {name: (our_step, args.late, LATENTS, cap) for name in BARS}
            seconds = compare(processes, capped, args.rounds, tolerance=0.2)
            noise = processes["jax"].submit(gradient_noise, args.late, cap).result()
            cells = [f"{each * 1e3:.0f} ms" for each in seconds.values()]
            print(f"| {cap} |", " | ".join(cells), f"| {noise:.2f} |", flush=True)


if __name__ == "__main__":
    main()
