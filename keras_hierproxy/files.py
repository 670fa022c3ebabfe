"""How files of ours are written: whole or not at all, and harmless to spreadsheets."""

import contextlib
import csv
import io
import os
import pathlib
import re
import secrets

# Names of files are bytes on some systems, and need not be text.
ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}
# What a spreadsheet takes for a formula, behind any quotes of our own.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


@contextlib.contextmanager
def replacing(path):
    """Gives a path to write to, whose file then takes the place of `path` in one step.

    Killed, or out of space, at any moment: `path` is what it was, or the new file,
    which is on the disk before it is moved. What was written is removed on an error.

    Args:
        path: of the file.

    Example:

    ```python
    import pathlib
    from keras_hierproxy.files import replacing

    with replacing("notes.txt") as unfinished:
        unfinished.write_text("whole")
    pathlib.Path("notes.txt").read_text()  # "whole"
    ```
    """
    path = pathlib.Path(path)
    # The end of its name stays: some writers choose the format by it.
    unfinished = path.with_name(f".{secrets.token_hex(4)}.part-{path.name[-40:]}")
    try:
        unfinished.touch(exist_ok=False)
        yield unfinished
        with contextlib.suppress(FileNotFoundError):
            unfinished.chmod(path.stat().st_mode & 0o7777)
        _sync(unfinished)
        os.replace(unfinished, path)
        _sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


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


def csv_text(rows):
    """Rows as CSV, such that a spreadsheet runs no cell, and `csv_rows` reads it back.

    Text that begins like a formula gets a `'` before it, as spreadsheets know it;
    numbers are left as they are.

    Args:
        rows: iterable of sequences of cells.

    Returns:
        str; encode it with `ENCODING`.

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

    Example:

    >>> list(csv_rows(["'=1+1,-0.5\\r\\n"]))
    [['=1+1', '-0.5']]
    """
    for row in csv.reader(lines):
        yield [_plain(cell) for cell in row]


def _harmless(cell):
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _plain(cell):
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _sync(path):
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
