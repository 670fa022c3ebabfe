"""Images a second from JPEG files, against a plain loop over Pillow.

    python benchmarks/decoding.py [--rounds 3] [--images 1000] [--size 224]

The loop is `Image.open(path).convert("RGB").resize(size)` into an array that is there
already. Ours are whole batches of `ImageFiles`, with more and more workers, as they are
evaluated on (the centre) and as they are trained on (`RandomResizedCrop`, with its
flip). Ours resize the centre alone; the second loop, with `ImageOps.fit`, does too.

The files are smooth random noise of 300 to 500 pixels, written for this run, and stay
in the cache of the system. Turn by turn in one process; the least of the rounds counts.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from keras_hierproxy.datasets import ImageFiles, RandomResizedCrop, RetrievalDataset

BAR = 0.9
BATCH_SIZE = 50


def write_photos(folder, count):
    """JPEG files of smooth noise with some grain, as large as web photos: 30 KB."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.jpg" for i in range(count)]
    for path in paths:
        width, height = rng.integers(300, 501, 2).tolist()
        coarse = rng.integers(0, 256, (height // 16, width // 16, 3), "uint8")
        photo = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
        grain = rng.normal(scale=4, size=(height, width, 1))
        photo = (np.asarray(photo) + grain).clip(0, 255).astype("uint8")
        Image.fromarray(photo).save(path, quality=90)
    return paths


def plain(paths, size, row=None):
    """The plain loop; `row` is called on each image instead of resizing it."""
    images = np.empty((len(paths), size, size, 3), "uint8")
    for i, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        images[i] = row(image) if row else image.resize((size, size))


def plain_on_threads(paths, size, threads):
    """The plain loop on as many threads: what the machine can do."""
    with ThreadPoolExecutor(threads) as pool:
        parts = [paths[i::threads] for i in range(threads)]
        list(pool.map(plain, parts, [size] * threads))


def ours(data, workers, augment=None):
    batches = data.batches(BATCH_SIZE, workers=workers, augment=augment)
    for index in range(len(batches)):
        batches[index]


def contenders(paths, size, workers):
    """Dict from a name to a function without arguments."""
    files = ImageFiles(paths, (size, size))
    data = RetrievalDataset(files, np.arange(len(paths)) // 2)
    found = {
        "Pillow": lambda: plain(paths, size),
        "Pillow, the centre": lambda: plain(
            paths, size, lambda image: ImageOps.fit(image, (size, size))
        ),
    }
    for count in workers[1:]:
        found[f"Pillow, {count} threads"] = lambda count=count: plain_on_threads(
            paths, size, count
        )
    for name, augment in (("centre", None), ("random crop", RandomResizedCrop())):
        for count in [0, *workers]:
            found[f"ours, {name}, {count} workers"] = (
                lambda count=count, augment=augment: ours(data, count, augment)
            )
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=224)
    args = parser.parse_args()

    cores = len(os.sched_getaffinity(0))
    workers = [2**i for i in range(cores.bit_length())]
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(Path(folder), args.images)
        steps = contenders(paths, args.size, workers)
        seconds = {name: [] for name in steps}
        for _ in range(1 + args.rounds):  # the first one fills the system's cache
            for name, step in steps.items():
                start = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - start)

    least = {name: min(turns[1:]) for name, turns in seconds.items()}
    print(f"{args.images} JPEG files to {args.size} pixels, {cores} cores")
    print(f"bar: {BAR}x of Pillow with 1 worker\n")
    print("| | images/s | of Pillow's | of its centre's |\n|---|---|---|---|")
    for name, time_taken in least.items():
        print(
            f"| {name} | {args.images / time_taken:.0f} | "
            f"{least['Pillow'] / time_taken:.2f}x | "
            f"{least['Pillow, the centre'] / time_taken:.2f}x |"
        )


if __name__ == "__main__":
    main()
