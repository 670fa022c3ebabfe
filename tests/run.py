"""Runs the tests once per Keras backend and ends with one summary.

    python tests/run.py [--all] [--backend torch jax tensorflow] [pytest arguments]

A process holds one backend, so each gets a pytest of its own, and all run at once: on
two cores a process each keeps both busy, and imports and collects once. Each line
begins with its backend, where there are several. Where there are more cores than
backends, files of tests run side by side, too, the longest first.

Tests marked `host` do not depend on the backend: only the first runs them. So it is
with those marked `nightly`, which do but take long, unless `--all` has every backend
run them. With `on="jax"`, in either mark, the one that runs them is JAX, if it is
there. The last line is always `N passed, N failed, N skipped`, summed over backends;
errors and crashes are failures.
"""

import collections
import concurrent.futures
import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
# PyTorch first: what runs once has nothing to trace or to compile there.
BACKENDS = ["torch", "jax", "tensorflow"]
NO_TESTS_COLLECTED = 5
# Side by side by files: a file's tests share what they compiled and trained. In the
# order of tests/conftest.py; xdist's own begins with the files of the most tests.
PYTEST = [sys.executable, "-m", "pytest", "--dist", "loadfile"]
PYTEST += ["--no-loadscope-reorder"]
MOST_WORKERS = 4  # of a backend: more would have too few files each
LONGEST_SHOWN = 12


@dataclass
class Outcome:
    backend: str
    seconds: float
    passed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)
    files: collections.Counter = field(default_factory=collections.Counter)

    @property
    def failed(self):
        return len(self.failures)


def split_arguments(arguments):
    """`--backend jax torch -k anchor` to `(False, ["jax", "torch"], ["-k", "anchor"])`.

    The first is whether there was an `--all`.
    """
    everything = "--all" in arguments
    arguments = [argument for argument in arguments if argument != "--all"]
    if arguments[:1] != ["--backend"]:
        return everything, BACKENDS, arguments
    backends = list(itertools.takewhile(BACKENDS.__contains__, arguments[1:]))
    if not backends:
        sys.exit(
            f"--backend takes one or more of {', '.join(BACKENDS)}. "
            f"Received: {' '.join(arguments[1:]) or 'nothing'}"
        )
    return everything, backends, arguments[1 + len(backends) :]


def selection(backend, backends, once):
    """The expression of marks that selects a backend's tests.

    Args:
        backend: one of `backends`, the backends that run.
        once: marks of what runs on one backend alone.
    """
    if backend == backends[0]:
        others = [f"{mark}(on='{other}')" for mark in once for other in backends[1:]]
        return f"not ({' or '.join(others)})" if others else ""
    return " and ".join(f"(not {mark} or {mark}(on='{backend}'))" for mark in once)


def num_workers(num_backends):
    """Processes of a backend, so that all have one more than there are cores, or two.

    Some tests wait for a process that they started.
    """
    return min(MOST_WORKERS, -(-(os.cpu_count() + 1) // num_backends))


def run_backend(backend, pytest_arguments, report, prefix):
    started = time.monotonic()
    # Bytecode is kept, whatever the caller's shell says: workers and the many processes
    # that tests start would each compile every file of ours, and rewrite its asserts.
    environment = os.environ | {"KERAS_BACKEND": backend}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [*PYTEST, f"--junitxml={report}", *pytest_arguments]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if prefix else {}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipe) as process:
        for line in process.stdout or ():
            sys.stdout.buffer.write(prefix.encode() + line)
            sys.stdout.buffer.flush()
    exit_code = process.returncode
    outcome = Outcome(backend, time.monotonic() - started)
    if report.exists():
        count(report, outcome)
    if exit_code not in (0, NO_TESTS_COLLECTED) and not outcome.failures:
        outcome.failures.append(f"pytest ended with exit code {exit_code}")
    return outcome


def count(report, outcome):
    for case in ElementTree.parse(report).iter("testcase"):
        file = case.get("classname").replace(".", "/") + ".py"
        outcome.files[file] += float(case.get("time"))
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failures.append(f"{case.get('classname')}::{case.get('name')}")
        elif case.find("skipped") is not None:
            outcome.skipped += 1
        else:
            outcome.passed += 1


def print_summary(outcomes):
    print("\n==== summary ====")
    for outcome in outcomes:
        for failure in outcome.failures:
            print(f"FAILED on {outcome.backend}: {failure}")
    print(f"{'backend':<12}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}")
    for o in outcomes:
        counts = f"{o.passed:>8}{o.failed:>8}{o.skipped:>8}"
        print(f"{o.backend:<12}{counts}{o.seconds:>9.0f}")
    print("\nThe longest files, in seconds of their worker:")
    files = sum((outcome.files for outcome in outcomes), collections.Counter())
    for file, _ in files.most_common(LONGEST_SHOWN):
        seconds = (
            f"{o.backend} {o.files[file]:.0f}" for o in outcomes if file in o.files
        )
        print(f"{file:<48}{', '.join(seconds)}")


def main(arguments):
    if "-h" in arguments or "--help" in arguments:
        sys.exit(__doc__)
    if importlib.util.find_spec("xdist") is None:
        sys.exit("The tests need the development extras. `make dev` installs them.")
    everything, backends, pytest_arguments = split_arguments(arguments)
    once = ("host",) if everything else ("host", "nightly")
    options = ["-n", str(num_workers(len(backends)))]
    options += ["--color=yes"] if sys.stdout.isatty() else []
    several = len(backends) > 1

    def run(backend):
        return run_backend(
            backend,
            [*options, "-m", selection(backend, backends, once), *pytest_arguments],
            Path(folder) / f"{backend}.xml",
            f"{backend:<11}" if several else "",
        )

    with (
        tempfile.TemporaryDirectory() as folder,
        concurrent.futures.ThreadPoolExecutor(len(backends)) as pool,
    ):
        outcomes = list(pool.map(run, backends))
    print_summary(outcomes)
    passed, failed, skipped = (
        sum(getattr(outcome, kind) for outcome in outcomes)
        for kind in ("passed", "failed", "skipped")
    )
    if not passed + failed:
        print("No test ran.")
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
