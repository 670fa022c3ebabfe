"""How the images of a data set are read: size, colour, and when they are decoded."""

import dataclasses
import zipfile

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets.images import ImageFiles, check_file, read_all


@dataclasses.dataclass(frozen=True)
class ImageReader:
    """Reads images at once where they fit in memory, else checks them for later.

    Args:
        image_size: `(height, width)`, or one number for both.
        color_mode: `"rgb"` or `"grayscale"`.
        skip_bad: whether to leave out images that cannot be read, with a warning
            that counts them, instead of raising.
        memory_limit: bytes up to which the decoded images are kept.
        background: behind transparent images, as of `ImageFiles`.
    """

    image_size: tuple
    color_mode: str
    skip_bad: bool
    memory_limit: int
    background: object = "white"

    def __post_init__(self):
        self._images([])  # checks the settings
        checks.flag("skip_bad", self.skip_bad)
        checks.real("memory_limit", self.memory_limit, least=0)

    def read(self, paths):
        """Reads or checks images.

        Args:
            paths: sequence of `pathlib.Path`, or of `zipfile.Path`, whose images
                are always decoded now.

        Returns:
            The positions of the images that are good, and these images: a `uint8`
            array or an `ImageFiles`.
        """
        images = self._images(paths)
        num_bytes = int(np.prod(images.shape))
        if num_bytes <= self.memory_limit:
            good, pixels = read_all(images.decode, paths, self.skip_bad)
            return good, np.stack(pixels)
        if isinstance(paths[0], zipfile.Path):
            raise ValueError(
                f"The {len(paths):,} images in {paths[0].root.filename} take "
                f"{num_bytes / 2**20:,.0f} MiB when decoded, more than "
                f"memory_limit={self.memory_limit}. Unpack the file, so that they are "
                "decoded batch by batch. Or pass a smaller image_size. Or a larger "
                "memory_limit."
            )
        good, _ = read_all(check_file, paths, self.skip_bad)
        return good, images.subset(good)

    def _images(self, paths):
        return ImageFiles(
            paths, self.image_size, self.color_mode, background=self.background
        )
