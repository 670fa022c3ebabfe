"""Commands in poor surroundings: closed streams, narrow windows, no home, few files."""

import concurrent.futures
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from keras_hierproxy.datasets.cache import cached_arrays
from tests.hostile.cases import right

pytestmark = pytest.mark.host(on="jax")


def result(line, folder, setup=None, **environment):
    """Exit code, stdout and stderr of the command in a shell."""
    command = f"{sys.executable} -m hierproxy"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.replace('hierproxy', command)}"],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        preexec_fn=setup,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def few_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def cache_of(write):
    def action(folder):
        path = folder / "numbers.npz"
        write(path)
        with pytest.warns(UserWarning):
            return cached_arrays(path, ["x"], lambda: (np.arange(3),))[0].tolist()

    return action


def cache_of_many(folder):
    """What eight at once get, and what is there afterwards."""
    path = folder / "numbers.npz"

    def load(_):
        return cached_arrays(path, ["x"], lambda: (np.arange(3),))[0].tolist()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(load, range(32)))
    with np.load(path) as file:
        return found == 32 * [[0, 1, 2]], file["x"].tolist(), os.listdir(folder)


# What cannot reach Keras is quick; two start it.
CASES = [
    right(
        "a cache of eight at once", cache_of_many, (True, [0, 1, 2], ["numbers.npz"])
    ),
    right("stdin closed", lambda d: result("hierproxy zoo -h <&-", d)[0], 0),
    right("stdout closed", lambda d: result("hierproxy zoo -h >&-", d)[0], 0),
    right("stderr closed", lambda d: result("hierproxy x 2>&-", d)[0], 2),
    right("all closed", lambda d: result("hierproxy x <&- >&- 2>&-", d)[0], 2),
    right(
        "head",
        lambda d: result("hierproxy train -h | head -1", d),
        lambda r: r[0] in (0, 1) and r[2] == "",
    ),
    right(
        "no colour",
        lambda d: result("hierproxy train -h", d, NO_COLOR="1"),
        lambda r: r[0] == 0 and "\x1b[3" not in r[1],
    ),
    right(
        "40 columns",
        lambda d: result("hierproxy train --epochs 0", d, COLUMNS="40"),
        lambda r: (
            r[0] == 2 and "whole" in r[2] and max(map(len, r[2].split("\n"))) < 41
        ),
    ),
    right(
        "ASCII",
        lambda d: result(
            "hierproxy train --epochs ü",
            d,
            LC_ALL="C",
            PYTHONUTF8="0",
            PYTHONCOERCECLOCALE="0",
        )[0],
        2,
    ),
    right(
        "no home, few files, 40 columns",
        lambda d: result(
            "hierproxy zoo list", d, few_files, HOME="/proc/none", COLUMNS="40"
        ),
        lambda r: r[0] == 0 and "hierproxy_cnn_glyphs" in r[1] and "…" not in r[1],
    ),
    right(
        "stderr closed, an error of the package",
        lambda d: result("hierproxy evaluate nosuch 2>&-", d)[0],
        2,
    ),
    right("cache cut", cache_of(lambda p: p.write_bytes(b"PK\x03\x04")), [0, 1, 2]),
    right("cache empty", cache_of(lambda p: p.write_bytes(b"")), [0, 1, 2]),
    right("cache a folder", cache_of(lambda p: p.mkdir()), [0, 1, 2]),
    right("cache of others", cache_of(lambda p: np.savez(p, y=1)), [0, 1, 2]),
    right("cache a pickle", cache_of(lambda p: np.savez(p, x=[{}])), [0, 1, 2]),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_environment(case, judge):
    judge("environment", case)
