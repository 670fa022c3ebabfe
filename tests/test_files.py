"""Files are written whole or not at all, and CSV runs nothing in a spreadsheet."""

import errno
import os
import subprocess
import sys

import pytest

from keras_hierproxy import files

pytestmark = pytest.mark.host

CELLS = [
    "=1+1",
    "'=1+1",
    "''=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "＝1+1",
    "\t=1",
    "\r=1",
    "\n=1",
    "'",
    "'a",
    "",
    "plain",
    "a=b",
    'quo"ted',
    "com,ma",
    "two\nlines",
    "two\r\nlines",
    "old\rline",
    "not utf-8 \udcff",
    "ümlaut",
]


def read_back(folder, rows):
    path = folder / "table.csv"
    files.write(path, files.csv_text(rows))
    with path.open(newline="", **files.ENCODING) as file:
        return path.read_bytes(), list(files.csv_rows(file))


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_cells_come_back_as_they_were(cell, tmp_path):
    _, rows = read_back(tmp_path, [[cell, cell], ["x", cell]])
    assert rows == [[cell, cell], ["x", cell]]


@pytest.mark.parametrize(
    "cell", [c for c in CELLS if c.strip("'")[:1] in "=+-@\t\r\n＝"]
)
def test_a_spreadsheet_finds_no_formula(cell, tmp_path):
    content, _ = read_back(tmp_path, [[cell]])
    if cell.strip("'"):
        assert content.lstrip(b'"').startswith(b"'")


def test_numbers_stay_numbers(tmp_path):
    content, rows = read_back(tmp_path, [[-0.5, 3, 1e-300]])
    assert content == b"-0.5,3,1e-300\r\n"
    assert [float(cell) for cell in rows[0]] == [-0.5, 3, 1e-300]


def test_tables_of_before_are_read(tmp_path):
    lines = ["row,path,class\n", "0,a/0.png,=x\n", "1,b/0.png,'tis\n"]
    assert list(files.csv_rows(lines))[1:] == [
        ["0", "a/0.png", "=x"],
        ["1", "b/0.png", "'tis"],
    ]


def test_what_is_no_csv_is_refused():
    with pytest.raises(ValueError, match="no CSV"):
        list(files.csv_rows(["a\rb,c\n"]))


def listing(folder):
    return sorted(os.listdir(folder))


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    files.write(path, "before")
    with pytest.raises(KeyError), files.replacing(path) as unfinished:
        unfinished.write_text("half")
        raise KeyError
    assert path.read_text() == "before" and listing(tmp_path) == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_what_was_there(call, number, tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write(path, "before")

    def full(*args):
        raise OSError(number, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        message = "Cannot write .*a.json: .* Make room on the disk"
        with pytest.raises(OSError, match=message) as caught:
            files.write(path, "after")
    assert caught.value.errno == number
    assert path.read_text() == "before" and listing(tmp_path) == ["a.json"]


def test_without_room_nothing_is_begun(tmp_path):
    with pytest.raises(OSError, match="Make room on the disk"):
        with files.replacing(tmp_path / "a", num_bytes=2**50):
            raise AssertionError("begun")
    assert not listing(tmp_path)


def test_a_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Cannot write .*gone.a.json.*folder"):
        files.write(tmp_path / "gone/a.json", "x")


def test_rights_and_links_stay(tmp_path):
    path = tmp_path / "a.json"
    path.touch(mode=0o640)
    (tmp_path / "link").symlink_to(path)
    files.write(tmp_path / "link", "x")
    assert path.read_text() == "x" and path.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "link").is_symlink()


def fill(folder, content):
    with files.replacing_folder(folder, last="main") as unfinished:
        for name in ("a", "main", "z"):
            (unfinished / name).write_text(content)


def test_a_folder_keeps_its_other_files(tmp_path):
    for content in ("first", "second"):
        fill(tmp_path / "out", content)
        (tmp_path / "out/README.md").write_text("mine")
    assert listing(tmp_path / "out") == ["README.md", "a", "main", "z"]
    assert (tmp_path / "out/z").read_text() == "second"
    assert (tmp_path / "out/README.md").read_text() == "mine"


def test_a_folder_is_never_a_mixture(tmp_path, monkeypatch):
    plain = os.replace
    for moves in range(4):
        folder = tmp_path / str(moves)
        fill(folder, "first")
        left = [moves]

        def die(*args, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            plain(*args)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", die)
            try:
                fill(folder, "second")
            except KeyboardInterrupt:
                pass
        found = {path.name: path.read_text() for path in folder.iterdir()}
        assert "main" not in found or set(found.values()) == {"second"}


HOLD = """
import os, signal, sys
from keras_hierproxy import files
with files.locked(sys.argv[1], "working in"):
    files.os.close(files.os.open(sys.argv[1] + "/.0123abcd.part-x", os.O_CREAT))
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.host(on="jax")
def test_one_process_at_a_time_and_a_kill_ends_it(tmp_path):
    folder = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(ValueError, match="Another process is working in .*out"):
                with files.locked(folder, "working in"):
                    pass
        finally:
            holder.kill()
    assert len(listing(folder)) == 2 and not files.names_in(folder)
    with files.locked(folder, "working in"):
        assert listing(folder) == [files.LOCK]
        (folder / "result").touch()
    assert listing(folder) == ["result"]


def test_a_lock_leaves_no_empty_folder(tmp_path):
    with files.locked(tmp_path / "out", "working in"):
        pass
    assert not listing(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Cannot write .*file.out"):
        with files.locked(tmp_path / "file/out", "working in"):
            pass


@pytest.mark.skipif(sys.platform == "win32", reason="shows what Windows is asked")
@pytest.mark.parametrize("platform, writable", [("win32", True), ("linux", False)])
def test_what_is_synced_is_open_as_the_system_wants_it(
    platform, writable, tmp_path, monkeypatch
):
    """Windows syncs no file that was opened to be read."""
    import fcntl

    found = []
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(
        os, "fsync", lambda file: found.append(fcntl.fcntl(file, fcntl.F_GETFL))
    )
    files.write(tmp_path / "file", "x")
    assert bool(found[0] & os.O_RDWR) == writable
