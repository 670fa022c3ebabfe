"""Names of files and classes: of any bytes, of one letter in two forms, of two ways."""

import os
import pathlib

import pytest
from PIL import Image

from keras_hierproxy.datasets import from_csv, from_directory
from tests.hostile.cases import refused, right

pytestmark = pytest.mark.host

ONE, TWO = "caf\u00e9", "cafe\u0301"  # an accented letter in one character, and in two
HANGUL, JAMO = "\ud55c", "\u1112\u1161\u11ab"
BYTES = [
    b"plain",
    b"not\xffutf8",
    b"\xff\xfe",
    b"old\rline",
    b"new\nline",
    b"both\r\nlines",
    b"ends in \r",
    b" starts with a space",
    b"ends with a space ",
    b"tab\tand more\t",
    b'quo"te',
    b"com,ma",
    b"'=apostrophe",
    b"=1+1",
    b"-dash",
    b"back\\slash",
    b"%41",
    b"~",
    b"$HOME",
    b"*",
    b"[a]",
    "☃".encode(),
    "e\u0301".encode(),
    b"C:",
    b"x" * 200,
]


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, "PNG")
    return path


def listed(folder, *lines, root=None, **options):
    """The data set of a CSV file of these paths and classes."""
    file = folder / "items.csv"
    rows = [["path", "class"], *lines]
    quoted = "\n".join(
        ",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows
    )
    file.write_bytes(quoted.encode("utf-8", "surrogateescape"))
    return from_csv(file, 4, root=root, split=None, **options)


def in_folder(name, memory_limit):
    def action(folder):
        name_ = os.fsdecode(name)
        paths = [save(folder / "x" / name_ / f"{name_}{i}.png") for i in range(2)]
        save(folder / "x" / "other" / "0.png")
        data = from_directory(
            folder / "x", 4, split=None, min_images=1, memory_limit=memory_limit
        )
        data.images[:]
        found = [path for path in data.paths if path.endswith(("0.png", "1.png"))]
        return set(map(str, paths)) <= set(found)

    return action


def in_csv(name, memory_limit):
    def action(folder):
        names = [f"{i}{os.fsdecode(name)}" for i in range(2)]
        names.append(os.fsdecode(name))
        for each in names:
            save(folder / each)
        lines = [(each, str(i)) for i, each in enumerate(names)]
        data = listed(folder, *lines, memory_limit=memory_limit)
        data.images[:]
        return list(data.paths) == [str(folder / each) for each in names]

    return action


def one_class(*folders):
    def action(folder):
        for i, name in enumerate(folders):
            save(folder / name / f"{i}.png")
            save(folder / name.replace(ONE, "b").replace(TWO, "b") / f"b{i}.png")
        return from_directory(folder, 4, split=None).class_names

    return action


def found_as(on_disk, in_file):
    """A file is there by one name, and listed by another."""

    def action(folder):
        path = save(folder / on_disk)
        save(folder / "other.png")
        data = listed(folder, (in_file, "a"), ("other.png", "b"))
        return data.paths[0] == str(path)

    return action


def twice(first, second):
    def action(folder):
        for name in ("a", "b"):
            save(folder / name / "0.png")
        os.symlink("a", folder / "link")
        return listed(folder, (first, "x"), (second, "y"))

    return action


def two_links(folder):
    """Of stores that keep the same bytes once."""
    save(folder / "store")
    for name in ("0.png", "1.png"):
        os.symlink("store", folder / name)
    return len(listed(folder, ("0.png", "x"), ("1.png", "y")))


def both_forms(folder):
    """Two files, where a disk keeps both: each is the one that is listed."""
    paths = [save(folder / f"{name}.png") for name in (ONE, TWO)]
    return listed(folder, (f"{TWO}.png", "a"), (f"{ONE}.png", "b")).paths == tuple(
        map(str, reversed(paths))
    )


def labels(*names):
    def action(folder):
        for i in range(len(names)):
            save(folder / f"{i}.png")
        lines = [(f"{i}.png", name) for i, name in enumerate(names)]
        return listed(folder, *lines).class_names[0]

    return action


def looped(folder):
    save(folder / "a" / "0.png")
    os.symlink("..", folder / "a" / "up")
    return from_directory(folder, 4, split=None)


def table(content):
    def action(folder):
        save(folder / "0.png")
        (folder / "items.csv").write_bytes(content)
        return from_csv(folder / "items.csv", 4, split=None)

    return action


def pipe(folder):
    save(folder / "0.png")
    os.mkfifo(folder / "1.png")
    return listed(folder, ("0.png", "a"), ("1.png", "b"))


def many(folder):
    """A long list from a system that writes letters in the other form."""
    save(folder / f"{TWO}0.png")
    for i in range(1, 3000):
        os.link(folder / f"{TWO}0.png", folder / f"{TWO}{i}.png")
    lines = [(f"{ONE}{i}.png", str(i % 2)) for i in range(3000)]
    return len(listed(folder, *lines, memory_limit=2**30))


CASES = [
    *(
        right(f"{place} {name!r:.30}, {limit}", make(name, limit), True)
        for place, make in (("a folder", in_folder), ("a list", in_csv))
        for name in BYTES
        for limit in (0, 2**30)
    ),
    right("one class", one_class(ONE, TWO), (("b", ONE),)),
    right(
        "one class on two levels",
        one_class(f"{ONE}/{TWO}", f"{TWO}/{ONE}"),
        (("b/b", f"{ONE}/{ONE}"), ("b", ONE)),
    ),
    right("one label", labels(ONE, TWO, "b"), ("b", ONE)),
    right("labels of other scripts", labels(HANGUL, JAMO, "b"), ("b", HANGUL)),
    right("found in two characters", found_as(f"{TWO}.png", f"{ONE}.png"), True),
    right("found in one character", found_as(f"{ONE}.png", f"{TWO}.png"), True),
    right("found in jamo", found_as(f"{JAMO}.png", f"{HANGUL}.png"), True),
    right("found below", found_as(f"{TWO}/{TWO}/0.png", f"{ONE}/{ONE}/0.png"), True),
    right("found in a mixture", found_as(f"{ONE}/{TWO}.png", f"{TWO}/{ONE}.png"), True),
    right("spaces around", found_as("a.png", " a.png\t"), True),
    right("both forms", both_forms, True),
    right("two links", two_links, 2),
    right("3,000 in the other form", many, 3000),
    refused("a way round", twice("a/0.png", "b/../a/0.png"), "line 3.*line 2"),
    refused("a dot", twice("a/0.png", "./a/./0.png"), "line 3.*line 2"),
    refused("two slashes", twice("a/0.png", "a//0.png"), "line 3.*line 2"),
    refused("a link to a folder", twice("a/0.png", "link/0.png"), "line 3.*line 2"),
    right("two files of a name", lambda d: len(twice("a/0.png", "b/0.png")(d)), 2),
    refused("none in either form", found_as("a.png", f"{ONE}.png"), "not there.*caf"),
    refused("a folder in a loop", looped, "up is a link.*no end"),
    refused("Latin-1 labels", table(b"path,x\n0.png,caf\xe9\n"), "UTF-8: line 2.*xe9"),
    refused("Latin-1 paths", table(b"path,x\ncaf\xe9.png,a\n"), "UTF-8: line 2.*xe9"),
    refused("Latin-1 columns", table(b"path,caf\xe9\n0.png,a\n"), "UTF-8: line 1.*xe9"),
    refused("UTF-16", table("path,x\n0.png,a\n".encode("utf-16")), "UTF-8|columns"),
    refused("NUL", table(b"path,x\n0.png\0,a\n"), "CSV|not there|NUL|null"),
    refused("a folder as an image", table(b"path,x\n.,a\n"), "is not a readable image"),
]
if hasattr(os, "mkfifo"):
    CASES.append(refused("a pipe in a list", pipe, "1.png is not.*pipe"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_names(case, judge):
    judge("names", case)


def test_unreadable_folders_are_not_left_out(tmp_path, monkeypatch):
    save(tmp_path / "a" / "0.png")
    save(tmp_path / "b" / "0.png")
    scan = os.scandir

    def refuse(path):
        if pathlib.Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="b'"):
        from_directory(tmp_path, 4, split=None)
