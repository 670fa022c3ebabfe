"""Times contenders turn by turn, each in a process of its own.

A process a contender: backends do not share thread pools, and Keras takes one backend
a process. Turn by turn: a slow moment of the machine hits all alike. All get the same
number of threads, one a core.
"""

import os
import re
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

THREADS = str(len(os.sched_getaffinity(0)))

# Work that takes less is repeated until a turn has lasted this long.
TURN_SECONDS = 0.1


def process(backend):
    """A process with one Keras backend; `submit(f, ...).result()` calls f there."""
    environment = {
        "KERAS_BACKEND": backend,
        "OMP_NUM_THREADS": THREADS,
        "MKL_NUM_THREADS": THREADS,
        "TF_NUM_INTRAOP_THREADS": THREADS,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return ProcessPoolExecutor(
        max_workers=1,
        mp_context=get_context("spawn"),
        initializer=_set_environment,
        initargs=(environment,),
    )


def _set_environment(environment):
    os.environ.update(environment)


def compare(processes, builders, rounds, tolerance=1e-3, summarize=min):
    """Times what each builder builds.

    Args:
        processes: dict from a contender's name to its `process`.
        builders: dict from a contender's name to `(function, *arguments)`. Called in
            the contender's process, it returns the step to time: a function without
            arguments that returns arrays. The contenders must agree on the sum of
            each one's absolute values.
        rounds: how many turns each contender gets.
        tolerance: how far the sums may be apart, relative to the first contender's.
        summarize: function of a contender's turns, by default the least.

    Returns:
        Dict from a contender's name to the summary of the seconds of its steps.
    """
    sums = {
        name: processes[name].submit(_build, *builder).result()
        for name, builder in builders.items()
    }
    for name, actual in sums.items():
        expected = next(iter(sums.values()))
        np.testing.assert_allclose(actual, expected, rtol=tolerance, err_msg=name)
    seconds = {name: [] for name in builders}
    for _ in range(rounds):
        for name, turns in seconds.items():
            turns.append(processes[name].submit(_take_turn).result())
    return {name: summarize(turns) for name, turns in seconds.items()}


_step = None  # of this process


def _build(function, *arguments):
    global _step
    _step = None  # the last one's arrays are free before the next one's are made
    _step = function(*arguments)
    _step()  # compiles
    return [np.abs(np.asarray(array)).sum(dtype="float64") for array in _step()]


def _take_turn():
    start = time.perf_counter()
    least = float("inf")
    while time.perf_counter() - start < TURN_SECONDS:
        before = time.perf_counter()
        _step()
        least = min(least, time.perf_counter() - before)
    return least


def peak_megabytes():
    """High-water mark of this process alone; getrusage would inherit the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
