"""How files of ours are written: whole or not at all, and harmless to spreadsheets."""

import contextlib
import csv
import errno
import io
import json
import os
import pathlib
import re
import secrets
import shutil
import sys
import time

# Names of files are bytes on some systems, and need not be text.
ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}
# In a folder that a process is writing to.
LOCK = ".lock"
# What is being written, or was when the process was killed.
_UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.part-")
# What a spreadsheet takes for a formula, behind any quotes of our own.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path, num_bytes=0):
    """Gives a path to write to, whose file then takes the place of `path` in one step.

    Killed, or out of space, at any moment: `path` is what it was, or the new file,
    which is on the disk before it is moved. What was written is removed on an error.

    Args:
        path: of the file.
        num_bytes: int, the most that are to be written, for writers that a full disk
            kills, as it does HDF5's; without room for them nothing is begun.

    Raises:
        OSError: the file can't be written; it says which, and what to do.

    Example:

    >>> import pathlib
    >>> with khp.files.replacing("notes.txt") as unfinished:
    ...     unfinished.write_text("whole")
    ...
    5
    >>> pathlib.Path("notes.txt").read_text()
    'whole'
    """
    # Not a link itself, but what it leads to.
    place = pathlib.Path(os.path.realpath(path))
    unfinished = _beside(place)
    with naming(path):
        try:
            unfinished.touch(exist_ok=False)
            _check_room(unfinished, num_bytes)
            yield unfinished
            with contextlib.suppress(FileNotFoundError):
                unfinished.chmod(place.stat().st_mode & 0o7777)
            _sync(unfinished)
            os.replace(unfinished, place)
            _sync_folder(place.parent)
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink()


@contextlib.contextmanager
def replacing_folder(path, last):
    """As `replacing`, for what consists of several files in a folder.

    A folder that is there already keeps its other files. Killed at any moment, it has
    all files of before, or all new ones, or no file `last`: never a mixture of both
    that could be taken for either. One file alone is replaced in one step.

    Args:
        path: of the folder.
        last: str, name of the file without which nobody reads the others.

    Raises:
        OSError: as of `replacing`.
    """
    place = pathlib.Path(os.path.realpath(path))
    # Where it can be moved from without copying.
    unfinished = _beside(place / "new" if place.exists() else place)
    with naming(path):
        try:
            unfinished.mkdir(parents=True)
            yield unfinished
            files = [file for file in unfinished.rglob("*") if file.is_file()]
            for file in files:
                _sync(file)
            if not place.exists():
                os.replace(unfinished, place)
            else:
                if len(files) > 1:
                    (place / last).unlink(missing_ok=True)
                files.sort(key=lambda file: file == unfinished / last)
                for file in files:
                    target = place / file.relative_to(unfinished)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(file, target)
            _sync_folder(place.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def write(path, content):
    """Writes a file whole or not at all.

    Args:
        path: of the file.
        content: str or bytes.
    """
    if isinstance(content, str):
        content = content.encode(**ENCODING)
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


def write_json(path, content):
    """Writes JSON, indented, whole or not at all."""
    write(path, json.dumps(content, indent=2))


def names_in(folder):
    """Names of what is in a folder, without what a killed process left unfinished."""
    names = os.listdir(folder)
    return [name for name in names if name != LOCK and not _UNFINISHED.match(name)]


@contextlib.contextmanager
def locked(folder, doing, seconds=0):
    """Keeps other processes from writing to a folder, which is made if need be.

    The system ends the lock when the process ends, however it does. What a killed
    process has left unfinished in the folder is removed.

    Args:
        folder: path.
        doing: str, what a second process is told that the first is doing there.
        seconds: number, how long to wait for another process to end.

    Raises:
        ValueError: another process holds the lock.
        OSError: the folder can't be made, or not be written to.
    """
    folder = pathlib.Path(folder)
    path = folder / LOCK
    made = [part for part in (folder, *folder.parents) if not part.exists()]
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = _acquire(path, seconds)
    if lock is None:
        raise ValueError(
            f"Another process is {doing} {folder}. Wait for it, or choose another "
            "folder (--output)."
        )
    try:
        for left in [*folder.glob(".*.part-*"), *folder.glob("*/.*.part-*")]:
            if _UNFINISHED.match(left.name) and left.is_file():
                left.unlink(missing_ok=True)
        yield
    finally:
        # While it is held: nobody else takes a file that is about to go.
        with contextlib.suppress(OSError):  # Windows removes no open files
            path.unlink()
        lock.release()
        with contextlib.suppress(OSError):  # it is not empty
            for part in made:
                part.rmdir()


def _acquire(path, seconds):
    """The lock on a file, or None where another process holds it for too long."""
    import filelock

    end = time.monotonic() + seconds
    while True:
        path.touch()
        file = _inode(path)
        lock = filelock.FileLock(path, blocking=False)
        with contextlib.suppress(filelock.Timeout):
            lock.acquire()
            # Else it is of a file that the one who held it has removed at its end, and
            # a third may hold the one that is there now.
            if file is not None and file == _inode(path):
                return lock
            lock.release()
        if time.monotonic() >= end:
            return None
        time.sleep(0.02)


def _inode(path):
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino


def csv_text(rows):
    """Rows as CSV, such that a spreadsheet runs no cell, and `csv_rows` reads it back.

    Text that begins like a formula gets a `'` before it, as spreadsheets know it;
    numbers are left as they are.

    Args:
        rows: iterable of sequences of cells.

    Returns:
        str; encode it with `ENCODING`.

    Raises:
        ValueError: a cell is too long to be read back.

    Example:

    >>> csv_text([["name", "score"], ["=1+1", -0.5]])
    "name,score\\r\\n'=1+1,-0.5\\r\\n"
    """
    text = io.StringIO()
    # Ends lines with both characters: then a cell that holds either is quoted.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def csv_rows(lines):
    """Reads the rows of `csv_text`.

    Args:
        lines: iterable of str, such as a file opened with `newline=""` and `ENCODING`.

    Yields:
        Lists of str.

    Raises:
        ValueError: that is no CSV.

    Example:

    >>> list(csv_rows(["'=1+1,-0.5\\r\\n"]))
    [['=1+1', '-0.5']]
    """
    try:
        for row in csv.reader(lines):
            yield [_plain(cell) if cell[:1] == "'" else cell for cell in row]
    except csv.Error as error:
        raise ValueError(f"no CSV: {error}") from error


def _harmless(cell):
    if not isinstance(cell, str):
        return cell
    # One character may be added.
    if len(cell) >= (most := csv.field_size_limit()):
        raise ValueError(
            f"A name or a path in a CSV file may have {most - 1:,} characters. "
            f"Received: {cell[:40]!r}... of {len(cell):,}."
        )
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _plain(cell):
    return cell[1:] if _FORMULA.match(cell) else cell


def _beside(place):
    # The end of its name stays: some writers choose the format by it.
    return place.with_name(f".{secrets.token_hex(4)}.part-{place.name[-40:]}")


@contextlib.contextmanager
def naming(path):
    """Has errors of the system name the file that was meant, and say what to do."""
    try:
        yield
    except OSError as error:
        remedy = "Is its folder there, and yours to write to?"
        if error.errno in _FULL:
            remedy = "Make room on the disk, and try again."
        reason = os.strerror(error.errno) if error.errno else error
        message = f"Cannot write {path}: {reason}. {remedy}"
        # With the number it becomes a PermissionError, a FileNotFoundError ...
        raise OSError(*[n for n in [error.errno] if n], message) from error


def _check_room(path, num_bytes):
    """Raises an `OSError` unless an empty file can have so many bytes."""
    if num_bytes and hasattr(os, "posix_fallocate"):
        # Knows of quotas, too.
        handle = os.open(path, os.O_WRONLY)
        try:
            os.posix_fallocate(handle, 0, num_bytes)
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)
    elif num_bytes > shutil.disk_usage(path.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sync(path):
    # Windows syncs only what may be written to; others may have to read alone.
    flags = os.O_RDWR if sys.platform == "win32" else os.O_RDONLY
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(path):
    # The new file is there by now: this only has it stay there after a power cut.
    # Windows opens no folders, and some file systems do not sync them.
    with contextlib.suppress(OSError):
        _sync(path)
