"""What needs keras-hub, the extra `hub`: imported here alone, when it is asked for."""

import importlib

import keras


def keras_hub(wanted):
    """The package keras-hub, which takes seconds to import.

    Args:
        wanted: str, what needs it, the beginning of the error where it is missing.

    Raises:
        ImportError: it is not installed, or does not fit this Keras.
    """
    try:
        return importlib.import_module("keras_hub")
    except ModuleNotFoundError as error:
        if error.name != "keras_hub":
            raise _broken(wanted, error) from error
        raise ImportError(
            f"{wanted} needs keras-hub, which is not installed. Install it with "
            "`pip install 'keras-hierproxy[hub]'`."
        ) from error
    except Exception as error:  # of whatever of Keras it does not find
        raise _broken(wanted, error) from error


def _broken(wanted, error):
    return ImportError(
        f"{wanted} needs keras-hub, which cannot be imported with keras "
        f"{keras.__version__} ({type(error).__name__}: {error}). Install one that "
        "fits, with `pip install -U 'keras-hierproxy[hub]'`."
    )
