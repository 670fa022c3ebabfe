"""Embedding of images end to end against a bare `predict`, and what float16 costs.

    python benchmarks/embedding.py [--rounds 3] [--images 1024] [--backends jax ...]
                                   [--epochs 1] [--ray]

Throughput: the peer is `keras.Model.predict` on images that are in memory already; ours
is what `hierproxy embed` does after it has loaded the model, from the same arrays, and
from a folder of JPEG files of 256 pixels, which it lists, checks, decodes, and writes
embeddings and their labels to disk; and what a worker of Ray Data does with the same
files, `khp.embeddings.BatchEmbedder`. All come to the same embeddings. With `--ray`,
also a pipeline of Ray Data from these files to Parquet, on one worker and on two, each
with one thread, the start of the workers included.

Float16: embedders of glyphs, trained for an epoch, on the sphere and in the ball;
the same embeddings of the test split, stored in either way.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from side_by_side import THREADS, compare, process

BATCH, SIDE_OF_FILES, CLASSES = 128, 256, 16
BACKENDS = ("torch", "jax", "tensorflow")
PEER, ARRAYS, FILES = "predict on arrays", "embed, arrays", "embed, JPEG files"
BATCHES = "BatchEmbedder, JPEG files"


def write_files(folder, images):
    """Pictures with coarse and fine structure, in a folder a class."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(images):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3)).astype("uint8"))
        pixels = np.asarray(
            coarse.resize((SIDE_OF_FILES,) * 2, Image.Resampling.BICUBIC)
        )
        pixels = pixels + rng.normal(scale=8, size=pixels.shape)
        path = folder / f"{i % CLASSES:02d}" / f"{i:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(path, quality=90)


def conv4():
    from keras_hierproxy import models

    return models.conv4((64, 64, 3))


def mobilenet():
    import keras

    inputs = keras.Input((96, 96, 3))
    network = keras.applications.MobileNetV2(
        (96, 96, 3), include_top=False, weights=None
    )
    return keras.Model(inputs, network(keras.layers.Rescaling(1 / 127.5, -1)(inputs)))


NETWORKS = {
    "Conv-4, 64 pixels": (conv4, 64),
    "MobileNetV2, 96 pixels": (mobilenet, 96),
}


def read(folder, side, memory_limit):
    from keras_hierproxy import datasets

    return datasets.from_directory(
        folder, side, split=None, min_images=1, memory_limit=memory_limit
    )


def embedder_of(network):
    import keras

    from keras_hierproxy import models

    keras.utils.set_random_seed(0)
    return models.ImageEmbedder(network())


def predict(network, folder, side):
    import keras

    embedder, images = embedder_of(network), read(folder, side, 2**34).images

    def step():
        return [keras.Model.predict(embedder, images, batch_size=BATCH, verbose=0)]

    return step


def embed_arrays(network, folder, side):
    embedder, data = embedder_of(network), read(folder, side, 2**34)
    return lambda: embed(embedder, data)


def embed_files(network, folder, side):
    embedder = embedder_of(network)
    return lambda: embed(embedder, read(folder, side, 0))


def embed(embedder, data):
    """What is in the folder that a data set is embedded into."""
    from keras_hierproxy import embeddings, runs

    with tempfile.TemporaryDirectory() as folder:
        identity = {"model": {}, "data": {"name": data.name}}
        dimension = embedder.output_shape[-1]
        writer = embeddings.EmbeddingWriter(
            folder, data, embedder.geometry, dimension, identity=identity
        )
        runs.EmbeddingJob(embedder, data, writer, BATCH).run()
        return [np.array(embeddings.load(folder).points)]


def embed_batches(network, folder, side):
    from keras_hierproxy import embeddings

    embed = embeddings.BatchEmbedder(embedder_of(network), "path", batch_size=BATCH)

    def step():
        paths = np.array(sorted(map(str, folder.rglob("*.jpg"))))
        batches = np.split(paths, range(BATCH, len(paths), BATCH))
        return [np.concatenate([embed({"path": each})["points"] for each in batches])]

    return step


CONTENDERS = {
    PEER: predict,
    ARRAYS: embed_arrays,
    FILES: embed_files,
    BATCHES: embed_batches,
}


def with_ray(network, folder, workers):
    """Images a second of a pipeline, in which workers start and load the model."""
    import time

    import ray

    from keras_hierproxy import embeddings

    paths = sorted(map(str, folder.rglob("*.jpg")))
    times = []
    with tempfile.TemporaryDirectory() as place:
        model = str(Path(place, "model.keras"))
        embedder_of(network).save(model)
        environment = {"env_vars": {"OMP_NUM_THREADS": "1"}}
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env=environment,
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        try:
            for count in (BATCH, len(paths)):  # Ray itself is warm at the second
                start = time.perf_counter()
                table = ray.data.from_items([{"path": path} for path in paths[:count]])
                table = table.map_batches(
                    embeddings.BatchEmbedder,
                    fn_constructor_args=(model, "path"),
                    concurrency=workers,
                    batch_size=BATCH,
                )
                table.write_parquet(str(Path(place, str(count))))
                times.append(time.perf_counter() - start)
        finally:
            ray.shutdown()
    return len(paths) / times[1]


def throughput(backend, name, folder, rounds):
    """Images a second of each contender."""
    network, side = NETWORKS[name]
    with ExitStack() as stack:
        processes = {
            contender: stack.enter_context(process(backend)) for contender in CONTENDERS
        }
        builders = {
            contender: (build, network, folder, side)
            for contender, build in CONTENDERS.items()
        }
        seconds = compare(processes, builders, rounds)
    images = sum(1 for _ in folder.rglob("*.jpg"))
    return {contender: images / least for contender, least in seconds.items()}


def decoding(folder, side):
    """Images a second that threads decode, without a model."""
    import time

    from keras_hierproxy.runs.read_ahead import read_ahead

    images = read(folder, side, 0).images
    start = time.perf_counter()
    for _ in read_ahead(images, BATCH):
        pass
    return len(images) / (time.perf_counter() - start)


def float16(geometry_name, epochs):
    """Metrics of the same embeddings in float32 and float16.

    Returns:
        Dict from the dtype to `(bytes, Recall@1, MAP@R, share of queries whose nearest
        neighbour is another one)`.
    """
    import keras

    from keras_hierproxy import datasets, geometry, layers, losses, models, retrieval

    keras.utils.set_random_seed(0)
    data = datasets.load("glyphs")
    space = getattr(geometry, geometry_name)()
    embedder = models.ImageEmbedder(
        models.conv4(),
        proxies=layers.Proxies(data.train.num_classes),
        geometry=space,
    )
    embedder.compile(loss=losses.ProxyAnchorLoss())
    embedder.fit(data.train.batches(BATCH), epochs=epochs, verbose=0)
    points = embedder.embed(data.test.images)
    results, nearest = {}, None
    for dtype in ("float32", "float16"):
        stored = points.astype(dtype)
        found = retrieval.evaluate(stored, data.test.labels, geometry=space)
        first = retrieval.knn(stored, k=1, geometry=space)[0][:, 0]
        nearest = first if nearest is None else nearest
        changed = float(np.mean(first != nearest))
        results[dtype] = stored.nbytes, found["recall@1"], found["map@r"], changed
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--epochs", type=int, default=1, help="0: no float16")
    parser.add_argument("--ray", action="store_true")
    args = parser.parse_args()

    print(f"Images a second of {args.images:,}, batch {BATCH}, {THREADS} cores\n")
    print(f"| backend | network | {' | '.join(CONTENDERS)} | decoding alone |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder, "photos")
        write_files(folder, args.images)
        for backend in args.backends:
            for name, (_, side) in NETWORKS.items():
                speeds = throughput(backend, name, folder, args.rounds)
                with process(backend) as worker:
                    alone = worker.submit(decoding, folder, side).result()
                columns = [
                    f"{speed:,.0f}, {speed / speeds[PEER]:.2f}x"
                    for speed in speeds.values()
                ]
                print(
                    f"| {backend} | {name} |",
                    " | ".join(columns),
                    f"| {alone:,.0f} |",
                    flush=True,
                )
                for workers in (1, 2) if args.ray else ():
                    with process(backend) as worker:
                        job = worker.submit(
                            with_ray, NETWORKS[name][0], folder, workers
                        )
                        speed = job.result()
                    print(
                        f"Ray, {workers} worker(s): {speed:,.0f} images/s, "
                        f"{speed / speeds[FILES]:.2f}x of {FILES}",
                        flush=True,
                    )

    if not args.epochs:
        return
    print(f"\nFloat16: glyphs, Conv-4, epochs: {args.epochs}; 128 dimensions\n")
    print("| space | dtype | size | Recall@1 | MAP@R | another nearest neighbour |")
    print("|---|---|---|---|---|---|")
    for space in ("Sphere", "PoincareBall"):
        with process(args.backends[-1]) as worker:
            results = worker.submit(float16, space, args.epochs).result()
        for dtype, (size, recall, map_at_r, changed) in results.items():
            print(
                f"| {space} | {dtype} | {size / 2**20:.1f} MB | {recall:.4f} | "
                f"{map_at_r:.4f} | {changed:.2%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
