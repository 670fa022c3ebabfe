"""Which files are images: their formats, their names, and what only lies about."""

import os
import pathlib
import stat
import unicodedata
import warnings

# Raster formats that Pillow reads by itself: no PostScript, for which it would start
# another program, nothing without a mark of its own in the first bytes, and no video.
FORMATS = (
    "AVIF",
    "BMP",
    "GIF",
    "HEIF",
    "JPEG",
    "JPEG2000",
    "MPO",
    "PNG",
    "PPM",
    "QOI",
    "TIFF",
    "WEBP",
)
# What systems and tools leave beside the user's files, in lower case.
_CLUTTER = {
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
    "system volume information",
    "thumbs.db",
}


def formats():
    """Those of `FORMATS` that the installed Pillow, with its plugins, can open."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def suffixes():
    """The suffixes of files in these formats, in lower case, sorted."""
    from PIL import Image

    known = Image.registered_extensions()
    return sorted(suffix for suffix, name in known.items() if name in formats())


def is_clutter(path):
    """Whether a part of a relative path is hidden, or what a system leaves there."""
    return any(
        (part.startswith(".") and part not in (".", "..")) or part.lower() in _CLUTTER
        for part in pathlib.PurePath(path).parts
    )


def names_of_images(names):
    """Sorts files' names into those of images, by their suffix, and others.

    Args:
        names: iterable of str. Clutter is left out of both.

    Returns:
        Two sorted lists.
    """
    ends = tuple(suffixes())
    images, others = [], []
    for name in sorted(names):
        if not is_clutter(name):
            (images if name.lower().endswith(ends) else others).append(name)
    return images, others


def warn_of_passed_over(paths):
    """One warning that counts files which are no images by their suffix."""
    if paths:
        warnings.warn(
            f"Passed over {len(paths):,} files that are no images by their suffix: "
            + ", ".join(map(str, paths[:3]))
            + (", ..." if len(paths) > 3 else "")
            + f". Images end in {', '.join(suffixes())}.",
            stacklevel=3,
        )


def open_regular(path):
    """Opens a file to read its bytes, if it is one, and no pipe or device.

    Args:
        path: str or path of a file, or a `zipfile.Path`.

    Raises:
        OSError: it is missing, or no regular file.
    """
    if not isinstance(path, str | os.PathLike):
        return path.open("rb")
    # Else opening a pipe waits for somebody to write to it.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is a folder, a pipe or a device, and no file")
    return os.fdopen(handle, "rb")


_BINARY = getattr(os, "O_BINARY", 0)


def same_name(name):
    """A name in Unicode's composed form: two names that look alike are one.

    macOS writes an accented letter as two characters, others as one.
    """
    return unicodedata.normalize("NFC", name)


def locate(path):
    """The path of a file whose name may be written in another form of Unicode.

    Args:
        path: `pathlib.Path`, or `zipfile.Path`.

    Returns:
        The path as it is on the disk; `path` itself where there is none.
    """
    if path.exists() or not isinstance(path, pathlib.Path) or not path.name:
        return path
    parent = locate(path.parent)
    if (parent / path.name).exists() or not parent.is_dir():
        return parent / path.name
    wanted = same_name(path.name)
    for name in os.listdir(parent):
        if same_name(name) == wanted:
            return parent / name
    return path
