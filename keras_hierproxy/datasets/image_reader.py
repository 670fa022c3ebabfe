"""How the images of a data set are read: size, colour, and when they are decoded."""

import dataclasses
import functools
import zipfile

import numpy as np

from keras_hierproxy.datasets.images import ImageFiles, check_file, decode, read_all

_COLOR_MODES = {"rgb": "RGB", "grayscale": "L"}


@dataclasses.dataclass(frozen=True)
class ImageReader:
    """Reads images at once where they fit in memory, else checks them for later.

    Args:
        image_size: `(height, width)`, or one number for both.
        color_mode: `"rgb"` or `"grayscale"`.
        skip_bad: whether to leave out images that cannot be read, with a warning
            that counts them, instead of raising.
        memory_limit: bytes up to which the decoded images are kept.
    """

    image_size: tuple
    color_mode: str
    skip_bad: bool
    memory_limit: int

    def __post_init__(self):
        object.__setattr__(self, "image_size", _check_image_size(self.image_size))
        if self.color_mode not in _COLOR_MODES:
            raise ValueError(
                f"color_mode must be one of {tuple(_COLOR_MODES)}. "
                f"Received: {self.color_mode!r}"
            )

    def read(self, paths):
        """Reads or checks images.

        Args:
            paths: sequence of `pathlib.Path`, or of `zipfile.Path`, whose images
                are always decoded now.

        Returns:
            The positions of the images that are good, and these images: a `uint8`
            array or an `ImageFiles`.
        """
        images = ImageFiles(paths, self.image_size, self.color_mode)
        num_bytes = int(np.prod(images.shape))
        if num_bytes <= self.memory_limit:
            good, pixels = read_all(self._decode, paths, self.skip_bad)
            return good, np.stack(pixels)
        if isinstance(paths[0], zipfile.Path):
            raise ValueError(
                f"The {len(paths):,} images in {paths[0].root.filename} take "
                f"{num_bytes / 2**20:,.0f} MiB when decoded, more than "
                f"memory_limit={self.memory_limit}. Unpack the file, so that they are "
                "decoded batch by batch, or pass a smaller image_size or a larger "
                "memory_limit."
            )
        good, _ = read_all(check_file, paths, self.skip_bad)
        return good, images.subset(good)

    def _decode(self, path):
        open_file = functools.partial(path.open, "rb")
        mode = _COLOR_MODES[self.color_mode]
        return decode(open_file, path, self.image_size, mode)


def _check_image_size(image_size):
    size = np.broadcast_to(image_size, 2) if np.size(image_size) in (1, 2) else None
    if size is None or size.dtype.kind not in "iu" or size.min() < 1:
        raise ValueError(
            "image_size must be (height, width), or one number for both, positive "
            f"integers. Received: {image_size!r}"
        )
    return tuple(int(side) for side in size)
