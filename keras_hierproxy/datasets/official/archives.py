"""Zip files as they were downloaded."""

import pathlib
import zipfile

from keras_hierproxy.datasets.finding import is_clutter


def open_zip(path, pattern):
    """Opens a zip file and lists its members.

    Args:
        path: of the file.
        pattern: a glob that the members' paths must end in. Clutter is passed
            over.

    Returns:
        The `zipfile.ZipFile`, and a list of its members in the order of their names.

    Raises:
        ValueError: the file is damaged or cut short.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path} is not a complete zip file ({error}). Get it again."
        ) from error
    return archive, [
        member
        for member in sorted(archive.namelist())
        if pathlib.PurePosixPath(member).match(pattern) and not is_clutter(member)
    ]
