"""Faults of the machine, in this process: kills and full disks at each write."""

import contextlib
import errno
import os
import pathlib
import shutil
import subprocess
import sys

# Everything that changes what is on the disk goes through one of these.
_WRITES = [
    (os, "fsync"),
    (os, "replace"),
    (pathlib.Path, "touch"),
    (pathlib.Path, "unlink"),
    (pathlib.Path, "write_bytes"),
]


@contextlib.contextmanager
def _around_writes(before, after=lambda: None, leave=()):
    writes = [each for each in _WRITES if each[1] not in leave]
    plain = [getattr(owner, name) for owner, name in writes]

    def wrapped(function):
        def write(*args, **kwargs):
            before()
            result = function(*args, **kwargs)
            after()
            return result

        return write

    for (owner, name), function in zip(writes, plain, strict=True):
        setattr(owner, name, wrapped(function))
    try:
        yield
    finally:
        for (owner, name), function in zip(writes, plain, strict=True):
            setattr(owner, name, function)


@contextlib.contextmanager
def moments(folder, copies):
    """Gives copies of a folder, in `copies`, as each write to it leaves it.

    They are what a kill at that moment leaves; of equal ones there is one.
    """
    found, seen = [], set()

    def copy():
        if not folder.exists():
            return
        state = tuple(
            (str(path.relative_to(folder))[:4], path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        )
        if state not in seen:
            seen.add(state)
            found.append(copies / f"moment{len(found)}")
            shutil.copytree(folder, found[-1])

    with _around_writes(copy, copy):
        yield found


@contextlib.contextmanager
def full_disk(after):
    """A disk that takes a number of writes, and then no more."""
    left = [after]

    def count():
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with _around_writes(count, leave=["unlink"]):
        yield


# Behind a script: imports once, and forks for each kill.
_FORKS = """
import os
import sys

def tell(what):
    os.write(1, f"{what}\\n".encode())  # in one piece, whenever it is killed

for line in sys.stdin:
    child = os.fork()
    if not child:
        write(line)
    os.waitpid(child, 0)
    tell("killed")
"""


@contextlib.contextmanager
def killed_writers(script, place):
    """Gives a process that forks another for each line it is sent, to be killed.

    Args:
        script: defines `write(line)`, which runs there, knows the place as
            `sys.argv[1]`, and says lines by `tell(what)`.
        place: path of what is written.

    Yields:
        `subprocess.Popen` with pipes of text; its line after each kill is `killed`.
    """
    command = [sys.executable, "-c", script + _FORKS, str(place)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, bufsize=1, **pipes) as writers:
        yield writers
        writers.stdin.close()
