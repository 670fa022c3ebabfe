"""How many clients the service answers, and how fast, each answer checked.

    python benchmarks/serve.py --items 2000 200000 --clients 1 8 64 --seconds 10

The service runs in a process of its own, on loopback, with Conv-4 at 32 pixels. Clients
are threads of this process with a connection each, that send the next image when they
have the answer to the last. Images are known ones, and the answer must be that of the
gallery in this process: no other client's.
"""

import argparse
import http.client
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

K = 5


def gallery_in(folder, num_items):
    """Writes a gallery of random points, and of some images that are asked for."""
    import keras

    import keras_hierproxy as khp

    keras.utils.set_random_seed(0)
    embedder = khp.models.ImageEmbedder(
        khp.models.conv4((32, 32, 3)), embedding_dim=128
    )
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (64, 8, 8, 3), "uint8").repeat(4, 1).repeat(4, 2)
    gallery = khp.Gallery(embedder)
    points = random.normal(size=(num_items - len(images), 128)).astype("float32")
    labels = [(f"class {i % 1000}", f"kind {i % 10}") for i in range(num_items)]
    gallery.add(points=points, labels=labels[len(images) :])
    gallery.add(images, labels=labels[: len(images)])
    gallery.save(folder)
    hits = gallery.search(images, k=K)
    return images, hits


def bodies_of(images):
    """Requests, each a form with one PNG file."""
    import io

    from PIL import Image

    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "png")
        head = (
            '--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"'
            "\r\nContent-Type: image/png\r\n\r\n"
        )
        yield head.encode() + file.getvalue() + b"\r\n--x--\r\n"


def start(folder):
    words = ("-m", "hierproxy", "serve", folder, "--port", "0", "--no-page")
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if found := re.search(r"http://127.0.0.1:(\d+)/", line):
            return process, int(found[1])
    raise RuntimeError("The service did not start.")


def load(port, bodies, expected, num_clients, seconds):
    """Times of all requests; raises where an answer is wrong."""
    end = time.perf_counter() + seconds
    times, failures = [], []

    def client(number):
        random = np.random.default_rng(number)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        while time.perf_counter() < end:
            i = int(random.integers(len(bodies)))
            begun = time.perf_counter()
            connection.request("POST", f"/search?k={K}", bodies[i], headers)
            response = connection.getresponse()
            content = response.read()
            times.append(time.perf_counter() - begun)
            ids = [hit["id"] for hit in json.loads(content)["results"][0]]
            if response.status != 200 or ids != expected[i]:
                failures.append((response.status, i, ids))

    clients = [threading.Thread(target=client, args=(n,)) for n in range(num_clients)]
    begun = time.perf_counter()
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    if failures:
        raise AssertionError(f"{len(failures)} wrong answers: {failures[:3]}")
    return np.array(times), time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, nargs="+", default=[2000, 200_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    print("| items | clients | requests | requests/s | p50 | p95 | p99 |")
    print("|---|---|---|---|---|---|---|")
    for num_items in arguments.items:
        with tempfile.TemporaryDirectory() as folder:
            folder = str(pathlib.Path(folder) / "gallery")
            images, hits = gallery_in(folder, num_items)
            process, port = start(folder)
            bodies, expected = list(bodies_of(images)), hits.ids.tolist()
            for num_clients in arguments.clients:
                times, took = load(
                    port, bodies, expected, num_clients, arguments.seconds
                )
                shares = np.percentile(times, [50, 95, 99])
                cells = [f"{num_items:,}", num_clients, f"{len(times):,}"]
                cells += [f"{len(times) / took:,.0f}"]
                cells += [f"{1000 * share:,.0f} ms" for share in shares]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)
            process.terminate()
            assert process.wait(60) == 0


if __name__ == "__main__":
    main()
