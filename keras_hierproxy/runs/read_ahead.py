"""Batches of images that threads read while the model works on earlier ones."""

import collections
import concurrent.futures

import numpy as np

from keras_hierproxy.datasets.images import UnreadableImage

# Batches that are begun before they are asked for.
_AHEAD = 2
# Images that a thread reads at a time: enough that handing them out costs nothing.
_IMAGES_AT_A_TIME = 8


def read_ahead(images, batch_size, start=0, prepare=None):
    """Batches of images in their order.

    All batches have `batch_size` rows, so that one graph serves all and a row comes
    out the same wherever the reading began: rows without an image are zero.

    Args:
        images: array `(N, H, W, C)`, or what is indexed like one, such as an
            `ImageFiles`; `images[i]` raises an `UnreadableImage` for a bad one.
        batch_size: int.
        start: int, the first image to read; a multiple of `batch_size`.
        prepare: function of a batch of images, called on a thread, or None.

    Yields:
        `(positions, batch, bad)`: the positions of the batch's images, a range; the
        batch as `prepare` returns it; and a dict from the positions of bad images to
        their errors.
    """
    # One thread more puts the batches together, in their order.
    readers = concurrent.futures.ThreadPoolExecutor()
    assembler = concurrent.futures.ThreadPoolExecutor(1)

    def begin(positions):
        batch = np.zeros((batch_size, *images.shape[1:]), images.dtype)
        parts = [
            readers.submit(
                _read, images, positions[i : i + _IMAGES_AT_A_TIME], batch[i:]
            )
            for i in range(0, len(positions), _IMAGES_AT_A_TIME)
        ]
        return assembler.submit(assemble, positions, batch, parts)

    def assemble(positions, batch, parts):
        bad = {}
        for part in parts:
            bad |= part.result()
        return positions, batch if prepare is None else prepare(batch), bad

    begun = collections.deque()
    try:
        for first in range(start, len(images), batch_size):
            begun.append(begin(range(first, min(first + batch_size, len(images)))))
            if len(begun) > _AHEAD:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for pool in (readers, assembler):
            pool.shutdown(wait=False, cancel_futures=True)


def _read(images, positions, rows):
    """Reads images into rows; returns the errors by position."""
    bad = {}
    for position, row in zip(positions, rows, strict=False):
        try:
            image = images[position]
        except UnreadableImage as error:
            bad[position] = error
        else:
            row[...] = image
    return bad
