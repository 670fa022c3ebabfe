"""Image files: decoded to one size, at once or when asked for, and checked."""

import concurrent.futures
import functools
import os
import warnings

import numpy as np

# The last bytes of a complete file.
_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


def decode(open_file, name, image_size, mode):
    """Decodes an image, turned upright and cropped around its centre.

    Args:
        open_file: callable that returns the binary file.
        name: what to call it in an error.
        image_size: `(height, width)` of the result.
        mode: `"RGB"` or `"L"`, Pillow's name of colour or gray.

    Returns:
        `uint8` array `(height, width, 3)` or `(height, width, 1)`.

    Raises:
        ValueError: the file is missing, truncated or no image.
    """
    from PIL import Image, ImageOps

    try:
        with open_file() as file, Image.open(file) as image:
            # Lets a large JPEG be decoded at a fraction of its size.
            image.draft(mode, (2 * max(image_size),) * 2)
            image = ImageOps.exif_transpose(image).convert(mode)
    except Exception as error:  # Pillow's, of many kinds, for a broken file
        raise ValueError(f"{name} is not a readable image: {error}") from error
    pixels = np.asarray(ImageOps.fit(image, image_size[::-1]))
    return pixels.reshape(*image_size, -1)


def check_file(path):
    """Raises `ValueError` for a file that is missing, truncated or no image.

    Reads the header and the last bytes; decodes the whole only where these
    cannot tell (formats other than JPEG and PNG, or bytes after the image's end).
    Damage in the middle of a complete file is not seen.
    """
    from PIL import Image

    try:
        with open(path, "rb") as file:
            with Image.open(file) as image:
                ending = _ENDINGS.get(image.format, b"")
            file.seek(-len(ending), os.SEEK_END)
            if ending and file.read() == ending:
                return
            file.seek(0)
            with Image.open(file) as image:
                image.load()
    except Exception as error:  # Pillow's, of many kinds, for a broken file
        raise ValueError(f"{path} is not a readable image: {error}") from error


def read_all(read, sources, skip_bad):
    """Reads many images, on threads.

    Args:
        read: function of one source that raises `ValueError` for a bad one.
        sources: sequence.
        skip_bad: whether to leave out what is bad, with a warning that counts.

    Returns:
        The positions of the good sources, and `read(source)` of each.
    """

    def attempt(source):
        try:
            return read(source)
        except ValueError as error:
            if not skip_bad:
                raise ValueError(
                    f"{error}. Mend or remove it, or pass skip_bad=True (--skip-bad) "
                    "to leave out such images."
                ) from error
            return error

    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(attempt, sources))
    bad = [result for result in results if isinstance(result, ValueError)]
    good = [i for i, result in enumerate(results) if not isinstance(result, ValueError)]
    if not good:
        raise ValueError(f"None of {len(results)} images could be read: {bad[0]}")
    if bad:
        warnings.warn(
            f"Skipped {len(bad)} of {len(results)} images. "
            + ". ".join(str(error) for error in bad[:3])
            + (", ..." if len(bad) > 3 else "."),
            stacklevel=3,
        )
    return good, [results[i] for i in good]


class ImageFiles:
    """Images decoded from their files when they are asked for.

    Indexes like an array of shape `(N, H, W, C)` and holds only the paths. Images
    are turned upright (EXIF), and resized and cropped around their centre to
    `image_size`, keeping their proportions.

    Args:
        paths: sequence of `N` paths.
        image_size: `(height, width)`.
        color_mode: `"rgb"` or `"grayscale"`. Defaults to `"rgb"`.

    Attributes:
        shape: `(N, H, W, C)`.
        dtype: `uint8`.

    Example:

    ```python
    import pathlib
    from keras_hierproxy.datasets import ImageFiles

    images = ImageFiles(sorted(pathlib.Path("photos").glob("*.jpg")), (128, 128))
    first = images[:8]  # uint8 (8, 128, 128, 3)
    ```
    """

    dtype = np.dtype("uint8")

    def __init__(self, paths, image_size, color_mode="rgb"):
        self.paths = tuple(paths)
        self.image_size = tuple(image_size)
        self.color_mode = color_mode

    @property
    def shape(self):
        channels = 3 if self.color_mode == "rgb" else 1
        return (len(self.paths), *self.image_size, channels)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        chosen = np.arange(len(self))[index]
        if chosen.ndim == 0:
            return self.decode(self.paths[chosen])
        images = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for row, i in enumerate(chosen):
            images[row] = self.decode(self.paths[i])
        return images

    def decode(self, path):
        """The pixels of one file, `uint8` `(H, W, C)`."""
        mode = "RGB" if self.color_mode == "rgb" else "L"
        return decode(functools.partial(open, path, "rb"), path, self.image_size, mode)

    def subset(self, indices):
        """The images at `indices`, still to be decoded."""
        paths = [self.paths[i] for i in indices]
        return ImageFiles(paths, self.image_size, self.color_mode)
