"""A gallery of a million items in each engine: time, recall and memory.

    python benchmarks/gallery.py [--items 1000000] [--engines faiss FLAT HNSW IVF_FLAT]
                                 [--geometry sphere] [--minutes 20]

`faiss` is a folder; the others are indexes of Milvus, in a file that Milvus Lite
serves. Items are points of 128 dimensions in classes of 20, from a memory-mapped file.
One process builds the gallery, another opens it, searches 100 queries twice, adds 1,000
items, searches again and removes 100: seconds of CPU time, of all threads together,
since those of the clock are the machine's as much as ours, and the most memory that
either process had. Recall is of the 10 nearest among the exact ones, of
`khp.retrieval.knn`. What takes more than `--minutes` of the clock is given up.
"""

import argparse
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
from side_by_side import peak_megabytes, process

DIMENSION, EACH, K = 128, 20, 10
BLOCK = 50_000
MORE, GONE, QUERIES = 1_000, 100, 100


def write_points(folder, count, geometry):
    """Noisy copies of centres, as embeddings of classes are."""
    random = np.random.default_rng(0)
    shape = count + MORE, DIMENSION
    path = folder / "points.npy"
    points = np.lib.format.open_memmap(path, "w+", "float32", shape)
    for start in range(0, len(points), BLOCK):
        size = min(BLOCK, len(points) - start)
        centers = random.normal(size=(-(-size // EACH), DIMENSION))
        noise = 0.7 * random.normal(size=(size, DIMENSION))
        points[start : start + size] = projected(
            np.repeat(centers, EACH, axis=0)[:size] + noise, geometry
        )
    chosen = np.linspace(0, count - 1, QUERIES).astype(int)
    shift = 0.3 * random.normal(size=(QUERIES, DIMENSION)) / DIMENSION**0.5
    np.save(folder / "queries.npy", projected(points[chosen] + shift, geometry))


def projected(vectors, geometry):
    """On the sphere; or in the ball, at the radii of trained embeddings."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if geometry == "ball":
        radii = np.random.default_rng(1).uniform(1.5, 2.5, (len(vectors), 1))
        vectors = vectors * radii
    return vectors.astype("float32")


def exact(folder, geometry):
    import keras_hierproxy as khp

    queries, points = np.load(folder / "queries.npy"), mapped(folder)
    nearest, _ = khp.retrieval.knn(queries, points, k=K, geometry=place(geometry))
    np.save(folder / "nearest.npy", nearest)


def mapped(folder):
    return np.load(folder / "points.npy", mmap_mode="r")


def place(geometry):
    import keras_hierproxy as khp

    return {"sphere": khp.geometry.Sphere, "ball": khp.geometry.PoincareBall}[
        geometry
    ]()


class Stopwatch:
    def __init__(self, seconds):
        signal.signal(signal.SIGALRM, self._give_up)
        signal.alarm(seconds)
        self.taken, self.last = {}, time.process_time()

    def note(self, name):
        now = time.process_time()
        self.taken[name], self.last = now - self.last, now

    def _give_up(self, *_):
        raise TimeoutError


def build(engine, folder, geometry, seconds):
    import keras_hierproxy as khp

    points = mapped(folder)
    points = points[: len(points) - MORE]
    labels = [f"class {i // EACH}" for i in range(len(points))]
    space, watch = place(geometry), Stopwatch(seconds)
    if engine == "faiss":
        gallery = khp.Gallery(geometry=space, dimension=DIMENSION)
    else:
        gallery = in_milvus(folder, engine, geometry=space, dimension=DIMENSION)
    gallery.add(points=points, labels=labels)
    if engine == "faiss":
        gallery.save(folder / "gallery")
    watch.note("build")
    return watch.taken, peak_megabytes()


def ask(engine, folder, geometry, seconds):
    import keras_hierproxy as khp

    queries, more = np.load(folder / "queries.npy"), np.array(mapped(folder)[-MORE:])
    watch = Stopwatch(seconds)
    if engine == "faiss":
        gallery = khp.Gallery.load(folder / "gallery")
    else:
        gallery = in_milvus(folder, engine)
    watch.note("load")
    found = gallery.search(points=queries, k=K)
    watch.note("first search")
    gallery.search(points=queries, k=K)
    watch.note("search")
    ids = gallery.add(points=more, labels=["new"] * MORE)
    watch.note("add")
    again = gallery.search(points=queries, k=K)
    watch.note("search then")
    gallery.remove(ids[:GONE])
    watch.note("remove")
    nearest = np.load(folder / "nearest.npy")
    assert gallery.search(points=more[GONE:][:1], k=1).labels[0, 0] == "new"
    recalls = [
        np.mean([np.isin(a, b).mean() for a, b in zip(nearest, hits.ids, strict=True)])
        for hits in (found, again)
    ]
    watch.taken["recall"] = min(recalls)
    return watch.taken, peak_megabytes()


def in_milvus(folder, index, **options):
    import keras_hierproxy as khp

    uri = f"{folder}/{index}.db"
    return khp.Gallery(engine="milvus", uri=uri, index=index, **options)


def run(folder, engine, geometry, minutes):
    taken, memory = {}, 0
    for step in (build, ask):
        with process("torch") as worker:
            job = worker.submit(step, engine, folder, geometry, int(60 * minutes))
            try:
                more, peak = job.result()
            except TimeoutError:
                print(f"| {engine} | {step.__name__}: more than {minutes} minutes |")
                return
        taken, memory = taken | more, max(memory, peak)
    recall = taken.pop("recall")
    columns = [f"{seconds:,.2f} s" for seconds in taken.values()]
    print(
        f"| {engine} |",
        " | ".join(columns),
        f"| {recall:.3f} | {memory:,.0f} MB |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    engines = ("faiss", "FLAT", "HNSW", "IVF_FLAT")
    parser.add_argument("--engines", nargs="+", choices=engines, default=engines)
    parser.add_argument("--geometry", choices=("sphere", "ball"), default="sphere")
    parser.add_argument("--minutes", type=float, default=20)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_points(folder, chosen.items, chosen.geometry)
        with process("torch") as worker:
            worker.submit(exact, folder, chosen.geometry).result()
        print(f"{chosen.items:,} x {DIMENSION}, {chosen.geometry}\n")
        print(
            f"| engine | build | load | first search of {QUERIES} | search | "
            f"add {MORE:,} | search then | remove {GONE} | recall@10 | peak memory |"
        )
        print("|" + "---|" * 10, flush=True)
        for engine in chosen.engines:
            if (engine, chosen.geometry) == ("HNSW", "ball"):
                continue  # refused
            run(folder, engine, chosen.geometry, chosen.minutes)


if __name__ == "__main__":
    main()
