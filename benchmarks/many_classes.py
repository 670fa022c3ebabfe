"""What a step costs by the number of classes: SampledProxies, and a peer that is dense.

    python benchmarks/many_classes.py [--backends torch jax tensorflow]
                                      [--classes 10000 100000 1000000]
                                      [--steps 30] [--peer 10000 100000]
                                      [--dimension 64] [--learns] [--files]

A step is forward, backward and update of `fit`: a batch of 128, 4,096 classes drawn,
Adam, the median over steps after the first five. Each case has a process of its own,
of which the peak of memory is taken. Times are of the processor, all threads together,
since other work may run beside; `--wall` shows those of the clock. The peer is PyTorch
Metric Learning with `torch.optim.Adam` over all classes.

With `--learns` it shows instead that a million classes are learned: 2,000 of them have
samples, noisy directions seen through a random map; of samples that were not trained
on, how many find their proxy first among all.

With `--files`, the peak of memory while a model of a million classes is built, saved
and loaded, over that of its table: with an optimizer that has made a step, and without.
"""

import argparse
import gc
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

BATCH, SAMPLED, SKIPPED = 128, 4096, 5
LOSSES = ("NormalizedSoftmaxLoss", "ProxyAnchorLoss")
LAYERS = ("Proxies", "HierProxies", "SampledProxies")


def batches(classes, dimension, steps):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((steps * BATCH, dimension), dtype="float32")
    return x, rng.integers(0, classes, steps * BATCH, dtype="int32")


class Clock:
    """The times between calls of `tick`: of the clock, and of the processor."""

    def __init__(self):
        self.times = []

    def tick(self):
        self.times.append((time.perf_counter(), time.process_time()))

    def medians(self):
        wall, processor = np.median(np.diff(self.times, axis=0)[SKIPPED:], axis=0)
        return {"wall": float(wall), "processor": float(processor)}


def ours(loss, classes, dimension, steps):
    import keras

    import keras_hierproxy as khp

    clock = Clock()

    class Tick(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            clock.tick()

    inputs = keras.Input((dimension,))
    hidden = keras.layers.Dense(dimension)(inputs)
    outputs = khp.layers.SampledProxies(classes, min(SAMPLED, classes))(hidden)
    model = khp.models.EmbeddingModel(inputs, outputs)
    model.compile(khp.optimizers.grouped(model), getattr(khp.losses, loss)())
    x, y = batches(classes, dimension, steps)
    history = model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=[Tick()])
    return {**clock.medians(), "loss": history.history["loss"][-1]}


def peer(loss, classes, dimension, steps):
    import torch
    from pytorch_metric_learning import losses

    clock = Clock()
    head = torch.nn.Linear(dimension, dimension)
    criterion = getattr(losses, loss)(num_classes=classes, embedding_size=dimension)
    parameters = [*head.parameters(), *criterion.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    x, y = map(torch.from_numpy, batches(classes, dimension, steps))
    y = y.long()
    for at in range(0, len(x), BATCH):
        optimizer.zero_grad()
        value = criterion(head(x[at : at + BATCH]), y[at : at + BATCH])
        value.backward()
        optimizer.step()
        clock.tick()
    return {**clock.medians(), "loss": float(value.detach())}


def learns(classes, dimension):
    """How many of 500 samples find their class first among all, before and after."""
    import keras

    import keras_hierproxy as khp

    rng = np.random.default_rng(0)
    seen = rng.choice(classes, 2000, replace=False)
    directions = rng.standard_normal((2000, dimension), dtype="float32")
    view = rng.standard_normal((dimension, dimension), dtype="float32")

    def draw(count):
        which = rng.integers(0, 2000, count)
        noise = rng.standard_normal((count, dimension), dtype="float32")
        return (directions[which] + 0.3 * noise) @ view / 8, seen[which]

    inputs = keras.Input((dimension,))
    layer = khp.layers.SampledProxies(classes, SAMPLED)
    model = khp.models.EmbeddingModel(
        inputs, layer(keras.layers.Dense(dimension)(inputs))
    )
    optimizer = khp.optimizers.grouped(model, head=1e-3)
    model.compile(optimizer, khp.losses.NormalizedSoftmaxLoss())
    train, (x, y) = draw(20_000), draw(500)

    def found_first():
        proxies = keras.ops.convert_to_numpy(layer.proxies)
        proxies = proxies / np.linalg.norm(proxies, axis=1, keepdims=True)
        return float((np.argmax(model.embed(x) @ proxies.T, 1) == y).mean())

    before = found_first()
    model.fit(*train, batch_size=BATCH, epochs=6, verbose=0)
    return {"before": before, "after": found_first()}


class Peak:
    """The most memory of this process since the last call, in MB. Linux alone."""

    def __call__(self):
        status = pathlib.Path("/proc/self/status").read_text()
        kilobytes = int(status.split("VmHWM:")[1].split()[0])
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        return kilobytes / 2**10


def in_files(layer, classes, dimension, steps):
    """Peaks of memory, over the table's, beyond what the process took before."""
    import keras

    import keras_hierproxy as khp

    peak = Peak()

    def model_of(classes):
        inputs = keras.Input((dimension,))
        outputs = getattr(khp.layers, layer)(classes)(inputs)
        model = khp.models.EmbeddingModel(inputs, outputs)
        if steps:
            model.compile(khp.optimizers.grouped(model), khp.losses.ProxyNCALoss())
            x, y = batches(classes, dimension, steps)
            model.fit(x[:8], y[:8], verbose=0)
        return model

    with tempfile.TemporaryDirectory() as folder:
        whole, weights = (os.path.join(folder, n) for n in ("m.keras", "m.weights.h5"))
        model = model_of(5000)  # imports
        model.save(whole)
        keras.models.load_model(whole)
        model.save_weights(weights)
        model.load_weights(weights)
        peak()
        before, table = peak(), classes * dimension * 4 / 2**20
        found = {}

        def note(what):
            found[what] = (peak() - before) / table

        model = model_of(classes)
        note("build")
        model.save(whole)
        note("save")
        model.save_weights(weights)
        note("save_weights")
        model.load_weights(weights)
        note("load_weights")
        del model
        gc.collect()
        peak()
        before = peak()
        keras.models.load_model(whole)
        note("load")
        found["file"] = os.path.getsize(whole) / 2**20 / table
    return found


def alone(who, *case):
    """A case in a process of its own."""
    environment = os.environ | {"KERAS_BACKEND": "torch" if who == "peer" else who}
    case = json.dumps([who, *case])
    run = subprocess.run(
        [sys.executable, __file__, "--case", case],
        env=environment,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        return {"error": run.stderr.strip().splitlines()[-1]}
    return json.loads(run.stdout.splitlines()[-1])


def measure(who, *case):
    if len(case) == 2:
        run = learns
    elif case[0] in LAYERS:
        run = in_files
    else:
        run = peer if who == "peer" else ours
    result = run(*case)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({**result, "peak": peak}))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    backends = ["torch", "jax", "tensorflow"]
    parser.add_argument("--backends", nargs="+", choices=backends, default=backends)
    sizes = [10_000, 100_000, 1_000_000]
    parser.add_argument("--classes", nargs="+", type=int, default=sizes)
    parser.add_argument("--peer", nargs="*", type=int, default=sizes[:2])
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--wall", action="store_true")
    parser.add_argument("--learns", action="store_true")
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        measure(*json.loads(args.case))
        return
    if args.learns:
        for backend in args.backends:
            print(backend, alone(backend, args.classes[-1], args.dimension), flush=True)
        return
    if args.files:
        for layer in LAYERS:
            for steps in (0, 1):
                for backend in args.backends:
                    case = layer, args.classes[-1], args.dimension, steps
                    print(backend, *case, alone(backend, *case), flush=True)
        return
    kind = "wall" if args.wall else "processor"
    print("| loss | who | classes | ms a step | over the fewest classes | peak GB |")
    print("|---|---|--:|--:|--:|--:|")
    for loss in args.losses:
        for who in [*args.backends, "peer"]:
            first = None
            for classes in args.peer if who == "peer" else args.classes:
                # The peer's are slow enough to show in a few.
                steps = SKIPPED + 4 if who == "peer" else args.steps
                case = alone(who, loss, classes, args.dimension, steps)
                if "error" in case:
                    print(f"| {loss} | {who} | {classes:,} | {case['error']} | | |")
                    continue
                first = first or case[kind]
                print(
                    f"| {loss} | {who} | {classes:,} | {1000 * case[kind]:,.1f} "
                    f"| {case[kind] / first:.2f} | {case['peak']:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
