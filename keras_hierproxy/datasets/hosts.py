"""Which rows of a batch each of several hosts reads."""

import numpy as np

from keras_hierproxy import checks


def check_host(host):
    """Returns `(index, count)` as integers, or raises `ValueError`."""
    try:
        index, count = (checks.integer("host", part, least=0) for part in host)
    except (TypeError, ValueError):
        index, count = 0, 0
    if not 0 <= index < count:
        raise ValueError(
            "host must be (index, count), such as (0, 2) for the first of two. "
            f"Received: {host!r}"
        )
    return index, count


def share(size, host):
    """A host's rows of a batch.

    Hosts take consecutive shares of one size, in their order, so that these, joined,
    are the batch. One that cannot be shared equally is first filled up with copies of
    its own rows.

    Args:
        size: rows of the batch.
        host: `(index, count)`.

    Returns:
        Integer array of `ceil(size / count)` rows, and their weights, `float32`: 0 for
        a copy, else 1.
    """
    index, count = host
    length = -(-size // count)
    rows = np.arange(index * length, (index + 1) * length)
    return rows % size, (rows < size).astype("float32")
