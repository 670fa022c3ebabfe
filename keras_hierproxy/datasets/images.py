"""Image files: decoded to one size, at once or when asked for, and checked."""

import concurrent.futures
import math
import os
import warnings

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets.eight_bits import (
    has_known_range,
    opaque,
    unpack_transparent_color,
)
from keras_hierproxy.datasets.finding import formats, open_regular

# A picture of more takes over 400 MB while it is decoded, and may be made to do so.
MAX_PIXELS = 50_000_000
# The largest side of what images are resized to.
MAX_SIDE = 8192
COLOR_MODES = {"rgb": "RGB", "grayscale": "L"}
# The last bytes of a complete file.
_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
# Formats that are decoded at a fraction of their size where that will do.
_DRAFTED = ("JPEG", "MPO")
# How Pillow turns upright what EXIF gives these numbers.
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
INTERPOLATIONS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


class UnreadableImage(ValueError):
    """A file is missing, truncated or no image.

    Attributes:
        path: str, the file.
    """

    def __init__(self, path, reason):
        from PIL import UnidentifiedImageError

        if isinstance(reason, UnidentifiedImageError):  # its text names no file
            reason = "it is empty, damaged, or of another format than " + ", ".join(
                formats()
            )
        if isinstance(path, bytes):
            path = f"What was read, {len(path):,} bytes,"
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


def decode(
    path, image_size, mode, part=None, interpolation="bicubic", background=(255,) * 3
):
    """Decodes a part of an image, turned upright, to one size.

    This is what a picture is here: of a raster format on the list of
    `keras_hierproxy.datasets.finding`, in a regular file, of at most `MAX_PIXELS`
    (of JPEGs those that are decoded, which are fewer where the target is smaller); the
    first one, where a file holds several; laid on a background where it is transparent;
    and of values that have a known range, which is brought to 0..255.

    Args:
        path: path of a file, or a `zipfile.Path`; or what a file holds, bytes.
        image_size: `(height, width)` of the result.
        mode: `"RGB"` or `"L"`, Pillow's name of colour or gray.
        part: function of the upright image's `(width, height)` that returns the
            `(left, upper, right, lower)` to keep, in its pixels. Defaults to the
            largest centred part of the proportions of `image_size`.
        interpolation: name of one of Pillow's resampling filters.
        background: `(red, green, blue)`, as of `check_background`.

    Returns:
        `uint8` array `(height, width, 3)` or `(height, width, 1)`.

    Raises:
        UnreadableImage: the file is missing, truncated or no image.
    """
    from PIL import Image

    try:
        with open_regular(path) as file, _open(file) as image:
            if image.format not in _DRAFTED:
                # The notes of a PNG may come last, and a TIFF turns itself.
                image.load()
            turn = _turn(image)
            full = image.size
            size = full[::-1] if turn in (5, 6, 7, 8) else full
            box = center_box(size, image_size) if part is None else part(size)
            reduction = _draft(image, mode, box, image_size)
            _check_pixels(image, full)
            picture = opaque(image, mode, background)
            if turn in _TURNS:
                picture = picture.transpose(Image.Transpose[_TURNS[turn]])
            return resize(picture, image_size, np.divide(box, reduction), interpolation)
    except Exception as error:  # Pillow's, of many kinds, for a broken file
        raise UnreadableImage(path, error) from error


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


def check_image_size(image_size):
    """`(height, width)` of an image size, which may be one number for both.

    Raises:
        ValueError: it is not one or two integers from 1 to `MAX_SIDE`.
    """
    size = np.broadcast_to(image_size, 2) if np.size(image_size) in (1, 2) else None
    if size is None or size.dtype.kind not in "iu" or size.min() < 1:
        raise ValueError(
            "image_size must be (height, width), or one number for both, positive "
            f"integers. Received: {image_size!r}"
        )
    if size.max() > MAX_SIDE:
        raise ValueError(
            f"image_size must be at most {MAX_SIDE:,} pixels a side. Received: "
            f"{image_size!r}"
        )
    return tuple(int(side) for side in size)


def check_color_mode(color_mode):
    """Raises `ValueError` for what is not the name of a colour mode."""
    if color_mode not in tuple(COLOR_MODES):
        raise ValueError(
            f"color_mode must be one of {tuple(COLOR_MODES)}. Received: {color_mode!r}"
        )
    return color_mode


def check_background(background):
    """A colour as `(red, green, blue)`.

    Args:
        background: a name or a code that Pillow knows, such as `"white"` or
            `"#00ff00"`; a gray value from 0 to 255, or three of them.

    Raises:
        ValueError: it is none of these.
    """
    from PIL import ImageColor

    if isinstance(background, str):
        try:
            return ImageColor.getrgb(background)[:3]
        except ValueError:
            values = ()
    else:
        values = tuple(np.ravel(background).tolist())
    if len(values) not in (1, 3) or np.ndim(background) > 1:
        raise ValueError(
            'background must be the name of a colour, such as "white", a gray value '
            f"from 0 to 255, or three for red, green and blue. Received: {background!r}"
        )
    values = [checks.integer("background", v, least=0, most=255) for v in values]
    return tuple(values * 3)[:3]


def _open(file):
    from PIL import Image

    image = Image.open(file, formats=formats())
    if image.format not in _DRAFTED:
        _check_pixels(image, image.size)
    unpack_transparent_color(image)
    return image


def _turn(image):
    """The number that EXIF gives the camera's position; 1 if it stood upright."""
    from PIL import ExifTags

    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's, of many kinds, for broken notes on a good picture
        return 1


def _check_pixels(image, full):
    """Raises before any memory is taken for the pixels.

    Args:
        image: Pillow image, of which a fraction of the size may be decoded.
        full: `(width, height)` in the file.
    """
    # A JPEG in several passes is held as a whole between them.
    width, height = full if image.info.get("progressive") else image.size
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"it has {full[0]} x {full[1]} pixels, and at most {MAX_PIXELS:,} are "
            "decoded. Make it smaller"
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
    """Raises `UnreadableImage` for a file that `decode` could not read.

    Reads the header and the last bytes; decodes the whole only where these
    cannot tell (formats other than JPEG and PNG, bytes after the image's end, values
    whose range the header does not tell). Damage in the middle of a complete file is
    not seen.
    """
    try:
        with open_regular(path) as file:
            with _open(file) as image:
                _shrink(image)
                known = has_known_range(image)
                ending = _ENDINGS.get(image.format, b"") if known else b""
            if ending:
                file.seek(-len(ending), os.SEEK_END)
                if file.read() == ending:
                    return
            file.seek(0)
            with _open(file) as image:
                _shrink(image)
                opaque(image, "L", (255, 255, 255)).load()
    except Exception as error:  # Pillow's, of many kinds, for a broken file
        raise UnreadableImage(path, error) from error


def _shrink(image):
    """Has a JPEG decoded at the least fraction, for which all of it is read, too."""
    full = image.size
    image.draft("L", (1, 1))
    _check_pixels(image, full)


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
                    f"{error}. Mend or remove it, or pass skip_bad=True to "
                    "leave out such images."
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

    What is transparent is laid on `background`. 16 bits are scaled to 8, and floats
    in [0, 1] by 255; 32-bit integers and other floats, of which nothing says what is
    white, are an error. Of a file with several pictures the first one is taken. Only
    regular files of the formats on `from_directory`'s list are opened, whatever their
    suffix, and only up to 50 million pixels, which of a JPEG are counted at the
    fraction of its size that it is decoded at.

    Args:
        paths: sequence of `N` paths.
        image_size: `(height, width)`, or one number for both.
        color_mode: `"rgb"` or `"grayscale"`. Defaults to `"rgb"`.
        center_crop: what share of the sides of the largest centred part to keep, in
            `(0, 1]`. Defaults to 1, all of it. `224 / 256` with an `image_size` of
            224 is the papers' evaluation: the shorter side to 256, then a centre
            crop of 224.
        interpolation: `"nearest"`, `"box"`, `"bilinear"`, `"hamming"`, `"bicubic"`
            or `"lanczos"`, Pillow's filters. Defaults to `"bicubic"`, as in the
            papers.
        background: what shines through where an image is transparent: the name of a
            colour, a gray value from 0 to 255, or three for red, green and blue.
            Defaults to `"white"`, the paper of drawings and of product photos.

    Attributes:
        shape: `(N, H, W, C)`.
        dtype: `uint8`.

    Raises:
        ValueError: an argument that is none of these. An image that cannot be read
            raises one when it is asked for.

    Example:

    >>> import pathlib
    >>> paths = sorted(pathlib.Path("photos").rglob("*.png"))
    >>> images = khp.datasets.ImageFiles(paths, (128, 128))
    >>> images[:8].shape, images.dtype
    ((8, 128, 128, 3), dtype('uint8'))
    """

    dtype = np.dtype("uint8")

    def __init__(
        self,
        paths,
        image_size,
        color_mode="rgb",
        center_crop=1.0,
        interpolation="bicubic",
        background="white",
    ):
        if isinstance(paths, str | os.PathLike):
            raise ValueError(
                "paths must be a sequence of paths. Received a single one: "
                f"{str(paths)!r}. For the images in a folder see `from_directory`."
            )
        self.paths = tuple(paths)
        self.image_size = check_image_size(image_size)
        self.color_mode = check_color_mode(color_mode)
        if isinstance(center_crop, bool | np.bool_) or not 0 < center_crop <= 1:
            raise ValueError(
                "center_crop must be a share in (0, 1], such as 224 / 256. "
                f"Received: {center_crop!r}"
            )
        self.center_crop = center_crop
        check_interpolation(interpolation)
        self.interpolation = interpolation
        self.background = check_background(background)

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
            path,
            self.image_size,
            COLOR_MODES[self.color_mode],
            part or self._center,
            interpolation or self.interpolation,
            self.background,
        )

    def subset(self, indices):
        """The images at `indices`, still to be decoded."""
        return ImageFiles(
            [self.paths[i] for i in indices],
            self.image_size,
            self.color_mode,
            self.center_crop,
            self.interpolation,
            self.background,
        )

    def _center(self, size):
        return center_box(size, self.image_size, self.center_crop)
