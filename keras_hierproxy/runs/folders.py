"""The folders that commands write to."""

import pathlib

from keras_hierproxy.files import names_in


def check_empty(folder, otherwise=""):
    """Raises unless a folder is new or empty: nothing there is ever written over.

    Args:
        folder: path.
        otherwise: str, what else can be done, for the error.

    Raises:
        ValueError: it is not empty, or no folder.
    """
    folder = pathlib.Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    if folder.exists() and names_in(folder):
        raise ValueError(
            f"{folder} is not empty. Choose another folder with --output{otherwise}."
        )
