"""Image files: decoded to one size, at once or when asked for, and checked."""

import concurrent.futures
import functools
import math
import os
import warnings

import numpy as np

# The last bytes of a complete file.
_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
INTERPOLATIONS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


class UnreadableImage(ValueError):
    """A file is missing, truncated or no image.

    Attributes:
        path: str, the file.
    """

    def __init__(self, path, reason):
        from PIL import UnidentifiedImageError

        if isinstance(reason, UnidentifiedImageError):  # its text names no file
            reason = "its format is not known, or it is empty"
        super().__init__(f"{path} is not a readable image: {reason}")
        self.path = str(path)


class SkippedImages(UserWarning):
    """Images were left out because they cannot be read.

    Attributes:
        errors: list of the `UnreadableImage` of each.
    """

    def __init__(self, message, errors):
        super().__init__(message)
        self.errors = errors


def decode(open_file, name, image_size, mode, part=None, interpolation="bicubic"):
    """Decodes a part of an image, turned upright, to one size.

    Args:
        open_file: callable that returns the binary file.
        name: what to call it in an error.
        image_size: `(height, width)` of the result.
        mode: `"RGB"` or `"L"`, Pillow's name of colour or gray.
        part: function of the upright image's `(width, height)` that returns the
            `(left, upper, right, lower)` to keep, in its pixels. Defaults to the
            largest centred part of the proportions of `image_size`.
        interpolation: name of one of Pillow's resampling filters.

    Returns:
        `uint8` array `(height, width, 3)` or `(height, width, 1)`.

    Raises:
        ValueError: the file is missing, truncated or no image.
    """
    from PIL import ExifTags, Image, ImageOps

    try:
        with open_file() as file, Image.open(file) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
            size = image.size[::-1] if turned else image.size
            box = center_box(size, image_size) if part is None else part(size)
            reduction = _draft(image, mode, box, image_size)
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode != mode:
                image = image.convert(mode)
    except Exception as error:  # Pillow's, of many kinds, for a broken file
        raise UnreadableImage(name, error) from error
    return resize(image, image_size, np.divide(box, reduction), interpolation)


def center_box(size, image_size, share=1.0):
    """The largest centred box of given proportions.

    Args:
        size: `(width, height)` of the image.
        image_size: `(height, width)`, the proportions.
        share: factor of the box's sides, at most 1.

    Returns:
        `(left, upper, right, lower)`, floats.
    """
    scale = share * min(size[0] / image_size[1], size[1] / image_size[0])
    width, height = scale * image_size[1], scale * image_size[0]
    left, upper = (size[0] - width) / 2, (size[1] - height) / 2
    return left, upper, left + width, upper + height


def resize(picture, image_size, box, interpolation):
    """Resizes a box of a Pillow image.

    Args:
        picture: Pillow image of mode `"RGB"` or `"L"`.
        image_size: `(height, width)` of the result.
        box: `(left, upper, right, lower)`; what lies beyond the image is cut off.
        interpolation: name of one of Pillow's resampling filters.

    Returns:
        `uint8` array `(height, width, 3)` or `(height, width, 1)`.
    """
    from PIL import Image

    # Rounding may push a box past the border, which Pillow refuses.
    box = np.clip(box, 0, picture.size * 2).tolist()
    filter = Image.Resampling[interpolation.upper()]
    return np.asarray(picture.resize(image_size[::-1], filter, box)).reshape(
        *image_size, -1
    )


def check_interpolation(interpolation):
    """Raises `ValueError` for a name that is none of Pillow's resampling filters."""
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"interpolation must be one of {INTERPOLATIONS}. "
            f"Received: {interpolation!r}"
        )


def _draft(image, mode, box, image_size):
    """Has a large JPEG decoded at a fraction of its size.

    The box still gets twice the pixels that it is resized to, which is as good as
    all of them.

    Returns:
        By what factor the image gets smaller.
    """
    left, upper, right, lower = box
    share = max(image_size[1] / (right - left), image_size[0] / (lower - upper))
    width, height = image.size
    # At least 1: Pillow divides by these.
    wanted = math.ceil(2 * share * width) or 1, math.ceil(2 * share * height) or 1
    drafted = image.draft(mode, wanted)
    return 1 if drafted is None else width / drafted[1][2]


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
        raise UnreadableImage(path, error) from error


def read_all(read, sources, skip_bad):
    """Reads many images, on threads.

    Args:
        read: function of one source that raises `UnreadableImage` for a bad one.
        sources: sequence.
        skip_bad: whether to leave out what is bad, with a warning that counts.

    Returns:
        The positions of the good sources, and `read(source)` of each.
    """

    def attempt(source):
        try:
            return read(source)
        except UnreadableImage as error:
            if not skip_bad:
                raise ValueError(
                    f"{error}. Mend or remove it, or pass skip_bad=True (--skip-bad) "
                    "to leave out such images."
                ) from error
            return error

    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(attempt, sources))
    bad = [result for result in results if isinstance(result, UnreadableImage)]
    good = [
        i for i, result in enumerate(results) if not isinstance(result, UnreadableImage)
    ]
    if not good:
        raise ValueError(f"None of {len(results)} images could be read: {bad[0]}")
    if bad:
        message = (
            f"Skipped {len(bad)} of {len(results)} images. "
            + ". ".join(str(error) for error in bad[:3])
            + (", ..." if len(bad) > 3 else ".")
        )
        warnings.warn(SkippedImages(message, bad), stacklevel=3)
    return good, [results[i] for i in good]


class ImageFiles:
    """Images decoded from their files when they are asked for.

    Indexes like an array of shape `(N, H, W, C)` and holds only the paths. Images
    are turned upright (EXIF), and resized and cropped around their centre to
    `image_size`, keeping their proportions. For training on random parts of the
    originals instead, see `RandomResizedCrop`.

    Args:
        paths: sequence of `N` paths.
        image_size: `(height, width)`.
        color_mode: `"rgb"` or `"grayscale"`. Defaults to `"rgb"`.
        center_crop: what share of the sides of the largest centred part to keep, in
            `(0, 1]`. Defaults to 1, all of it. `224 / 256` with an `image_size` of
            224 is the papers' evaluation: the shorter side to 256, then a centre
            crop of 224.
        interpolation: `"nearest"`, `"box"`, `"bilinear"`, `"hamming"`, `"bicubic"`
            or `"lanczos"`, Pillow's filters. Defaults to `"bicubic"`, as in the
            papers.

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

    def __init__(
        self,
        paths,
        image_size,
        color_mode="rgb",
        center_crop=1.0,
        interpolation="bicubic",
    ):
        if not 0 < center_crop <= 1:
            raise ValueError(
                "center_crop must be a share in (0, 1], such as 224 / 256. "
                f"Received: {center_crop!r}"
            )
        check_interpolation(interpolation)
        self.paths = tuple(paths)
        self.image_size = tuple(image_size)
        self.color_mode = color_mode
        self.center_crop = center_crop
        self.interpolation = interpolation

    @property
    def shape(self):
        channels = 3 if self.color_mode == "rgb" else 1
        return (len(self.paths), *self.image_size, channels)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if isinstance(index, int | np.integer):
            return self.decode(self.paths[index])
        chosen = np.arange(len(self))[index]
        images = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for row, i in enumerate(chosen):
            images[row] = self.decode(self.paths[i])
        return images

    def decode(self, path, part=None, interpolation=None):
        """The pixels of one file, `uint8` `(H, W, C)`.

        Args:
            path: the file.
            part: as in `keras_hierproxy.datasets.images.decode`. By default the one
                in the centre.
            interpolation: instead of the usual one.
        """
        return decode(
            functools.partial(open, path, "rb"),
            path,
            self.image_size,
            "RGB" if self.color_mode == "rgb" else "L",
            part or self._center,
            interpolation or self.interpolation,
        )

    def subset(self, indices):
        """The images at `indices`, still to be decoded."""
        return ImageFiles(
            [self.paths[i] for i in indices],
            self.image_size,
            self.color_mode,
            self.center_crop,
            self.interpolation,
        )

    def _center(self, size):
        return center_box(size, self.image_size, self.center_crop)
