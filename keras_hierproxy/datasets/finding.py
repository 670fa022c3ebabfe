"""Which files are images: their formats, their names, and what only lies about."""

import io
import os
import pathlib
import stat
import unicodedata
import warnings
import zipfile

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
# Of a file; more than any picture takes that is small enough to be decoded.
MAX_BYTES = 2**29
_BINARY = getattr(os, "O_BINARY", 0)
# What systems and tools leave beside the user's files, in lower case.
_CLUTTER = {
    "#recycle",
    "$recycle.bin",
    "@eadir",
    "@recycle",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
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
            f"Files passed over, as no images by their suffix: {len(paths):,}, "
            + ", ".join(map(str, paths[:3]))
            + (", ..." if len(paths) > 3 else "")
            + f". Images end in {', '.join(suffixes())}.",
            stacklevel=3,
        )


def open_regular(path):
    """Opens a file to read its bytes, if it is one, and no pipe or device.

    Args:
        path: str or path of a file, a `zipfile.Path`, an open file, as of an upload, or
            what a file holds, bytes.

    Raises:
        OSError: it is missing, no regular file, or larger than any image.
    """
    if isinstance(path, io.IOBase):
        return path
    if isinstance(path, bytes):
        _check_bytes(len(path))
        return io.BytesIO(path)
    if isinstance(path, zipfile.Path):
        _check_bytes(path.root.getinfo(path.at).file_size)
        return path.open("rb")
    # Else opening a pipe waits for somebody to write to it.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is a folder, a pipe or a device, and no file")
        _check_bytes(status.st_size)
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def _check_bytes(size):
    # Some formats are read as a whole before they are looked at.
    if size > MAX_BYTES:
        raise OSError(f"it has {size:,} bytes, and at most {MAX_BYTES:,} are read")


def same_name(name):
    """A name in Unicode's composed form: two names that look alike are one.

    macOS writes an accented letter as two characters, others as one.
    """
    return unicodedata.normalize("NFC", name)


class Locator:
    """Finds files whose names may be written in another form of Unicode.

    What it has seen of folders it keeps, so that a list of many files is quick.
    """

    def __init__(self):
        self._names = {}
        self._folders = {}

    def find(self, path):
        """The path of a file as it is on the disk; `path` itself where there is none.

        Args:
            path: `pathlib.Path`.
        """
        if path.exists():
            return path
        # Other forms are of letters beyond ASCII.
        if str(path).isascii() or path == path.parent:
            return path
        folder = self.find(path.parent)
        if folder not in self._names:
            names = os.listdir(folder) if folder.is_dir() else ()
            self._names[folder] = {same_name(name): name for name in names}
        return folder / self._names[folder].get(same_name(path.name), path.name)

    def place(self, path):
        """One str for all ways to say where a file lies.

        Two links to a file are two, as they have names of their own.

        Args:
            path: `pathlib.Path`.
        """
        folder = path.parent
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.join(self._folders[folder], path.name)
