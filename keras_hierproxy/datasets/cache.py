"""A folder of arrays that are costly to make again."""

import os
import pathlib
import warnings
import zipfile
import zlib

import numpy as np

from keras_hierproxy.files import replacing

_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def cache_folder():
    """The folder of the cache.

    Returns:
        A `pathlib.Path`: the environment variable `KERAS_HIERPROXY_CACHE` where
        set, else `keras_hierproxy` in `XDG_CACHE_HOME`, else in `~/.cache`.

    Example:

    >>> import os
    >>> os.environ["KERAS_HIERPROXY_CACHE"] = "/tmp/hierproxy"
    >>> khp.datasets.cache.cache_folder()
    PosixPath('/tmp/hierproxy')
    """
    if folder := os.environ.get("KERAS_HIERPROXY_CACHE"):
        return pathlib.Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(base).expanduser() / "keras_hierproxy"


def cached_arrays(path, names, build):
    """Arrays from the file at `path`, built and kept there when it has none.

    A damaged file is built again, and a folder that cannot be written costs only
    the time of the next build: both are warnings.

    Args:
        path: `pathlib.Path` of an `.npz` file.
        names: names of the arrays.
        build: function of no arguments that returns the arrays, in the order of
            `names`.

    Returns:
        Tuple of arrays, in the order of `names`.

    Example:

    >>> import pathlib
    >>> path = pathlib.Path("/tmp/hierproxy/squares.npz")
    >>> (squares,) = khp.datasets.cache.cached_arrays(
    ...     path, ["squares"], lambda: (np.arange(9) ** 2,)
    ... )
    """
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as file:
                return tuple(file[name] for name in names)
        except _DAMAGE as error:
            warnings.warn(
                f"The cached file {path} is damaged ({error}); it is built again.",
                stacklevel=2,
            )
    arrays = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            with unfinished.open("wb") as file:
                np.savez_compressed(file, **dict(zip(names, arrays, strict=True)))
    except OSError as error:
        warnings.warn(
            f"{error} The cache {path} will be built again next time. Set "
            "the environment variable KERAS_HIERPROXY_CACHE to a writable folder.",
            stacklevel=2,
        )
    return arrays
