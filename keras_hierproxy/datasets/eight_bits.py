"""Pictures of any depth and transparency as opaque ones of 8 bits a channel."""

import numpy as np

# Modes of 16 bits, whose values go up to 65,535.
_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")
# Formats whose numbers Pillow hands over as 32-bit ones although they have 16 bits.
_SIXTEEN_AS_32 = ("PNG", "PPM")
# The transparent colour of a PNG file, which stands there as the file's own bits, as
# Pillow unpacks pixels of these bits.
_UNPACKED = {
    "L;2": lambda value: value * 85,
    "L;4": lambda value: value * 17,
    "RGB;16B": lambda color: tuple(value >> 8 for value in color),
}
# Numbers of TIFF's tags, and of one's value.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


class UnknownRange(ValueError):
    """Nothing says which of a picture's values are black and white."""


def opaque(picture, mode, background):
    """A picture as an opaque one of 8 bits a channel.

    Values of 16 bits are scaled from 65,535 to 255, and floats in [0, 1] by 255.

    Args:
        picture: Pillow image of any mode.
        mode: `"RGB"` or `"L"`, of the result.
        background: tuple of three ints, what shines through where it is transparent.

    Returns:
        Pillow image of mode `mode`.

    Raises:
        UnknownRange: integers of 32 bits, or floats beyond [0, 1].
    """
    from PIL import Image

    if picture.mode in (*_SIXTEEN, "I", "F"):
        picture = _scaled(picture)
    if picture.has_transparency_data:
        if picture.mode in ("La", "RGBa"):  # multiplied by their opacity
            picture = picture.convert(picture.mode.upper())
        picture = picture.convert("RGBA")
        below = Image.new("RGB", picture.size, background)
        below.paste(picture, mask=picture)
        picture = below
    if picture.mode == "LAB":
        picture = _from_lab(picture)
    return picture if picture.mode == mode else picture.convert(mode)


def unpack_transparent_color(picture):
    """Has the transparent colour of a PNG compare with its pixels, before these load.

    Args:
        picture: Pillow image, of which only the header is read.
    """
    color = picture.info.get("transparency")
    if color is not None and picture.format == "PNG":
        unpacked = _UNPACKED.get(picture.tile[0][3], lambda color: color)
        picture.info["transparency"] = unpacked(color)


def has_known_range(picture):
    """Whether the header alone says how the picture's values are scaled."""
    if picture.mode == "I":
        return picture.format in _SIXTEEN_AS_32
    return picture.mode != "F"


def _scaled(picture):
    from PIL import Image

    values = np.asarray(picture)
    tags = getattr(picture, "tag_v2", {})
    if picture.mode == "F":
        # Also false for NaN.
        if not (values.min() >= 0 and values.max() <= 1):
            raise UnknownRange(
                f"its pixels are floats from {values.min():g} to {values.max():g}, and "
                "only those in [0, 1] have a known range. Save it with 8 or 16 bits"
            )
        gray = values * 255
    elif picture.mode == "I" and picture.format not in _SIXTEEN_AS_32:
        raise UnknownRange(
            f"its pixels are 32-bit integers from {values.min()} to {values.max()}, "
            "and nothing says which of them is white. Save it with 8 or 16 bits"
        )
    else:
        # Scanners and microscopes also write 10, 12 or 14 bits.
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
        gray = values * np.float32(255 / (2**bits - 1))
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # which Pillow sees to in 8 bits only
        gray = 255 - gray
    result = Image.fromarray(np.rint(gray).clip(0, 255).astype("uint8"))
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        result.putalpha(Image.fromarray(np.uint8(255) * (values != transparent)))
    return result


def _from_lab(picture):
    from PIL import ImageCms

    return ImageCms.profileToProfile(
        picture,
        ImageCms.createProfile("LAB"),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
