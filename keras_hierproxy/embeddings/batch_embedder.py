"""Batches of images to batches of points, on as many machines as there are."""

import os

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.models import ImageEmbedder
from keras_hierproxy.models.embedder import Embedder
from keras_hierproxy.models.image_files import image_files


class BatchEmbedder:
    """A callable that embeds batches of a table, such as those of Ray Data.

    `ray.data.Dataset.map_batches` makes one on each of its workers, which loads the
    model once, and passes it batches as dicts of arrays. Nothing here needs Ray.

    The points are those of `hierproxy embed`: images are read as it reads them, and a
    batch is filled up to one size, so that a row comes out the same in any batch.

    Args:
        model: the name or path of a preset, or the path of a run or of a `.keras` file,
            which each worker must be able to read; or an `Embedder`, where the table
            stays in this process.
        images: str, the column of the images: paths of files, what they hold as bytes
            (`ray.data.read_binary_files`), or arrays as the model takes them.
        points: str, the column for the points. That of the images is left out.
        batch_size: int, how many images go through the network at once.

    Raises:
        FileNotFoundError, ValueError: there is no such model.

    Example:

    >>> embed = khp.embeddings.BatchEmbedder("hierproxy_cnn_glyphs")
    >>> images = khp.datasets.load("glyphs").test.images[:5]
    >>> batch = embed({"image": images, "name": np.array(list("abcde"))})
    >>> sorted(batch), batch["points"].shape, batch["points"].dtype
    (['name', 'points'], (5, 128), dtype('float32'))
    """

    def __init__(self, model, images="image", points="points", batch_size=128):
        self.batch_size = checks.integer("batch_size", batch_size, least=1)
        self.images, self.points = images, points
        if not isinstance(model, Embedder):
            model = ImageEmbedder.from_preset(model, num_classes=None)
        self.embedder = model

    def __call__(self, batch):
        """Embeds a batch.

        Args:
            batch: dict of arrays with as many rows, of which one holds the images.

        Returns:
            dict: the other columns, and the points, a float32 array `(n, d)`.

        Raises:
            ValueError: there is no such column; an image cannot be read, or is not as
                the model takes it; a point is not finite.
        """
        if self.images not in batch:
            raise ValueError(
                f"The batch has no column {self.images!r}, which `images` names. "
                f"Received columns: {', '.join(map(repr, batch))}."
            )
        images = self._decoded(batch[self.images])
        rest = {name: rows for name, rows in batch.items() if name != self.images}
        parts = [
            self._embedded(images[start : start + self.batch_size])
            for start in range(0, len(images), self.batch_size)
        ]
        if not parts:
            parts = [np.zeros((0, self.embedder.output_shape[-1]), "float32")]
        points = np.concatenate(parts)
        finite = np.isfinite(points).all(1)
        if not finite.all():
            raise ValueError(
                f"{(~finite).sum():,} of {len(points):,} points are not finite, the "
                f"first in row {int(np.argmin(finite))}: the model's weights or its "
                "inputs are not."
            )
        return {**rest, self.points: points}

    def _decoded(self, images):
        """Images as an array, or as one that reads files when they are asked for."""
        images = np.asarray(images)
        if images.dtype.kind in "OSU" and len(images):
            if isinstance(images[0], str | bytes | os.PathLike):
                return image_files(images.tolist(), self.embedder)
            images = np.stack([np.asarray(image) for image in images])
        return images

    def _embedded(self, images):
        rows = len(images)
        filling = [(0, self.batch_size - rows)] + [(0, 0)] * (images.ndim - 1)
        return self.embedder.embed_on_batch(np.pad(images, filling))[:rows]
