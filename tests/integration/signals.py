"""Signals at random moments of the installed command: is anything lost?

    python -m tests.integration.signals FOLDER [--count 10] [--seed 0]
        [--commands train zoo evaluate embed] [--signals KILL TERM INT STOP]

Each command runs once undisturbed. Then, `count` times for each signal, it is begun,
gets the signal at a random moment, and is begun again, as its own words say, until it
is done (after STOP comes CONT). What it leaves must be the same, to the byte, where the
format allows: `.keras` files hold the time, so of those the weights are compared.
Prints a line for each case; the exit code is the number of those that went wrong.
"""

import argparse
import io
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
from PIL import Image

COMMANDS = ("train", "zoo", "evaluate", "embed")
SIGNALS = ("KILL", "TERM", "INT", "STOP")
# Beginning again more often than that is no progress.
MOST_STARTS = 4
_SMALL = ["--from-scratch", "--epochs", "3", "--batch-size", "18"]
_SMALL += ["--image-size", "32"]
_ZOO = ["hierproxy_cnn_glyphs", "--epochs", "2"]


def write_photos(folder):
    rng = np.random.default_rng(0)
    for number in range(12):
        (folder / f"class{number}").mkdir(parents=True)
        pattern = rng.uniform(0, 255, (32, 32, 3))
        for image in range(6):
            pixels = pattern + rng.normal(scale=90, size=pattern.shape)
            picture = Image.fromarray(pixels.clip(0, 255).astype("uint8"))
            picture.save(folder / f"class{number}" / f"{image}.png")


class Command:
    """A command that writes into `folder / "out"`."""

    def __init__(self, name, photos, model):
        self.name = name
        self.begin = {
            "train": ["train", "--data", photos, *_SMALL],
            "zoo": ["zoo", "train", *_ZOO],
            "evaluate": ["evaluate", model, "--data", photos, "--split", "all"],
            "embed": ["embed", photos, model],
        }[name]

    def start(self, folder):
        arguments = self.begin
        if self.name in ("train", "zoo") and (folder / "out/run.json").exists():
            arguments = ["train", "--resume"]
        return subprocess.Popen(
            [find_command(), *map(str, arguments), "-o", "out"],
            cwd=folder,
            # A kill would leave half a file in what other tests read, too.
            env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def is_done(self, folder):
        last = "embeddings.json" if self.name == "embed" else "metrics.json"
        if not (folder / "out" / last).exists():
            return False
        # Of a run that Ctrl-C ended there are metrics, too.
        return not json.loads((folder / "out" / last).read_text()).get("interrupted")


def find_command():
    return shutil.which("hierproxy", path=os.path.dirname(sys.executable))


def state(folder):
    """What the files of a folder say, by name."""
    found = {}
    for path in sorted((folder / "out").rglob("*")):
        if path.is_file():
            name = str(path.relative_to(folder))
            found[name] = _content(path)
    return found


def _content(path):
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return _arrays(io.BytesIO(archive.read("model.weights.h5")))
    return _arrays(path) if path.suffix == ".h5" else path.read_bytes()


def _arrays(file):
    arrays = []
    with h5py.File(file) as weights:
        weights.visititems(
            lambda name, item: (
                arrays.append((name, item[()].tobytes()))
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return arrays


def try_once(command, folder, number, moment):
    """Disturbs a command once; returns what it leaves, and in how many starts."""
    folder.mkdir()
    process = command.start(folder)
    time.sleep(moment)
    process.send_signal(number)
    if number == signal.SIGSTOP:
        time.sleep(0.3)
        process.send_signal(signal.SIGCONT)
    output, _ = process.communicate()
    starts = 1
    while not command.is_done(folder):
        if starts == MOST_STARTS:
            raise AssertionError(output.decode(errors="replace")[-500:])
        output, _ = command.start(folder).communicate()
        starts += 1
    return state(folder), starts


def run(folder, commands, signals, count, seed):
    """The number of cases that went wrong; those that went right lose their files."""
    draw = random.Random(seed)
    write_photos(folder / "photos")
    photos = folder / "photos"
    model = folder / "expected-train" / "out"
    wrong = 0
    for name in dict.fromkeys(["train", *commands]):
        command = Command(name, photos, model)
        undisturbed = folder / f"expected-{name}"
        undisturbed.mkdir()
        began = time.monotonic()
        output, _ = command.start(undisturbed).communicate()
        seconds = time.monotonic() - began
        if not command.is_done(undisturbed):
            raise SystemExit(output.decode(errors="replace"))
        expected = state(undisturbed)
        for which in signals if name in commands else ():
            for attempt in range(count):
                moment = draw.uniform(0, seconds)
                place = folder / f"{name}-{which}-{attempt}"
                title = f"{name:<9}{which:<5}after {moment:5.1f} of {seconds:.1f} s: "
                number = getattr(signal, f"SIG{which}")
                try:
                    found, starts = try_once(command, place, number, moment)
                    differ = [
                        key
                        for key in {**expected, **found}
                        if expected.get(key) != found.get(key)
                    ]
                    assert not differ, f"other files: {', '.join(differ)}"
                except AssertionError as error:
                    wrong += 1
                    print(f"{title}WRONG, {error}", flush=True)
                else:
                    print(f"{title}the same after {starts} starts", flush=True)
                    shutil.rmtree(place)
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", default=COMMANDS, choices=COMMANDS)
    parser.add_argument("--signals", nargs="+", default=SIGNALS, choices=SIGNALS)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    sys.exit(
        run(
            options.folder.resolve(),
            options.commands,
            options.signals,
            options.count,
            options.seed,
        )
    )
