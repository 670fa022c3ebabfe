"""What `import keras_hierproxy` adds to `import keras`.

    python benchmarks/import_time.py [--rounds 5]

Each import has a fresh interpreter. Libraries that only some features need must not be
among the modules that it adds.
"""

import argparse
import os
import subprocess
import sys

BACKENDS = ("torch", "jax", "tensorflow")
BAR = 0.3
LAZY = "sklearn scipy faiss matplotlib PIL keras_hub typer rich pydantic".split()

PROGRAM = """
import sys, time
import keras
before = set(sys.modules)
start = time.perf_counter()
import keras_hierproxy
seconds = time.perf_counter() - start
print(seconds, *{name.partition(".")[0] for name in set(sys.modules) - before})
"""


def measure(backend):
    """Seconds that the import adds, and the packages that it brings in."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    seconds, *packages = output.split()
    return float(seconds), set(packages)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    print("What `import keras_hierproxy` adds to `import keras`")
    print(f"bar: {BAR} s\n")
    print("| backend | seconds | heavy packages among what it adds |")
    print("|---|---|---|")
    for backend in BACKENDS:
        runs = [measure(backend) for _ in range(args.rounds)]
        seconds = min(seconds for seconds, _ in runs)
        heavy = ", ".join(sorted(runs[0][1].intersection(LAZY)))
        print(f"| {backend} | {seconds:.3f} | {heavy or 'none'} |", flush=True)


if __name__ == "__main__":
    main()
