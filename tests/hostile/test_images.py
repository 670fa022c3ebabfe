"""Pictures as people have them: transparent, deep, strange, broken, huge."""

import os
import struct
import warnings
import zipfile
import zlib

import numpy as np
import PIL
import pytest
from PIL import ExifTags, Image, ImageOps, features

from keras_hierproxy.datasets import ImageFiles, from_directory
from keras_hierproxy.datasets.finding import MAX_BYTES
from keras_hierproxy.datasets.images import MAX_PIXELS, check_file
from tests.hostile.cases import refused, right

pytestmark = pytest.mark.host

SIDE = 8
RAMP = np.linspace(0, 65535, SIDE * SIDE).round().reshape(SIDE, SIDE)
# A black cross; the rest is transparent.
CROSS = np.zeros((SIDE, SIDE, 4), "uint8")
CROSS[SIDE // 2, :, 3] = CROSS[:, SIDE // 2, 3] = 255
ON_WHITE = np.where(CROSS[..., 3:] == 255, 0, 255).repeat(3, -1)


def read(path, **options):
    """The pixels of a file, int `(8, 8, 3)`, after the check that comes before."""
    check_file(path)
    return ImageFiles([path], SIDE, **options)[0].astype(int)


def stored(picture, name="a.png", **options):
    """A function of a folder that saves a picture there and reads its pixels."""

    def action(folder):
        picture.save(folder / name, **options)
        return read(folder / name)

    return action


def on_color(background, **options):
    def action(folder):
        Image.fromarray(CROSS).save(folder / "a.png")
        return read(folder / "a.png", background=background, **options)[0, 0].tolist()

    return action


def palette(transparency):
    """A palette of black and red, some of whose entries are transparent."""
    picture = Image.fromarray((CROSS[..., 3] == 0).astype("uint8"), "P")
    picture.putpalette([0, 0, 0, 255, 0, 0])
    return stored(picture, transparency=transparency)


def saved_tiff(values):
    return stored(Image.fromarray(values), "a.tiff")


def pixels_of(name, values):
    """A case: gray values in, what they should be read as."""
    expected = np.rint(RAMP * 255 / 65535)[..., None].repeat(3, -1)
    return right(name, values, lambda found: np.abs(found - expected).max() <= 1)


def raw(content, name="a.png"):
    def action(folder):
        (folder / name).write_bytes(content)
        return read(folder / name)

    return action


def png(width, height, bits, kind, pixels=b"", transparent=None):
    """A PNG, byte by byte: Pillow writes only a few of its kinds."""

    def chunk(kind, content):
        body = kind + content
        return (
            struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            b"" if transparent is None else chunk(b"tRNS", transparent),
            chunk(b"IDAT", zlib.compress(pixels)),
            chunk(b"IEND", b""),
        ]
    )


def bomb(width, height):
    """A PNG of a few bytes that says that it is huge."""
    return png(width, height, 8, 6)


def tiff(bits, photometric, pixels, sample_format=1, samples=1, extra=None):
    """A TIFF of one row, byte by byte."""
    tags = {
        256: len(pixels) * 8 // (bits * samples),
        257: 1,
        258: bits,
        259: 1,
        262: photometric,
        273: 8,
        277: samples,
        278: 1,
        279: len(pixels),
        338: extra,
        339: sample_format,
    }
    tags = {tag: value for tag, value in tags.items() if value is not None}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    pixels += b"\0" * (len(pixels) % 2)
    start = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    return start + struct.pack("<H", len(tags)) + b"".join(entries) + bytes(4)


def grays(content, name, count=2):
    """A function of a folder: the red values of a file of one row."""

    def action(folder):
        (folder / name).write_bytes(content)
        check_file(folder / name)
        return ImageFiles([folder / name], (1, count))[0][0, :, 0].tolist()

    return action


def turned(kind, orientation):
    """What is read of a picture that EXIF turns, less what Pillow makes of it."""

    def action(folder):
        picture = np.zeros((8, 20, 3), "uint8")
        picture[:, :10] = 255
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.fromarray(picture).save(folder / f"a.{kind}", exif=exif)
        with Image.open(folder / f"a.{kind}") as opened:
            expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        found = ImageFiles([folder / f"a.{kind}"], expected.shape[:2])[0]
        return np.abs(found - expected.astype(int)).max() <= 3

    return action


def broken_notes(exif):
    """A good photo with notes that nobody can read."""
    return stored(Image.new("RGB", (8, 8), (9, 9, 9)), "a.jpg", exif=b"Exif\0\0" + exif)


def animated(name):
    """A red frame and a blue one."""
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    return stored(frames[0], name, save_all=True, append_images=frames[1:])


def is_red(found):
    return np.abs(found - [255, 0, 0]).max() <= 8


def progressive(folder):
    side = 4 * HUGE // 3
    picture = Image.new("L", (side, side), 200)
    picture.save(folder / "a.jpg", progressive=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return read(folder / "a.jpg")


def sparse(folder):
    """A file of no pixels and many zeros, which take no place on the disk."""
    Image.new("RGB", (8, 8)).save(folder / "a.webp")
    os.truncate(folder / "a.webp", MAX_BYTES + 1)
    return read(folder / "a.webp")


def unchecked(content):
    """Reads a file that no check has seen before."""

    def action(folder):
        (folder / "a.png").write_bytes(content)
        return ImageFiles([folder / "a.png"], SIDE)[0]

    return action


def zipped(content):
    def action(folder):
        with zipfile.ZipFile(folder / "a.zip", "w") as archive:
            archive.writestr("a.png", content)
        return ImageFiles([zipfile.Path(folder / "a.zip", "a.png")], SIDE)[0]

    return action


def special(make):
    def action(folder):
        make(folder / "z.png")
        return read(folder / "z.png")

    return action


def in_folder(**names):
    """The images that `from_directory` finds, and what it warns of."""

    def action(folder):
        for path in ("x/c/0.png", "x/d/0.png", *names):
            path = folder / path
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 9)).save(path, names.get(str(path), "PNG"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            data = from_directory(folder / "x", 8, split=None, min_images=1)
        told = [str(w.message) for w in caught if "Files passed over" in str(w.message)]
        return sorted(os.path.relpath(p, folder / "x") for p in data.paths), told

    return action


def finds(*names):
    return right(
        f"finds {', '.join(names)}",
        in_folder(**{f"x/c/{name}": "PNG" for name in names}),
        lambda found: len(found[0]) == 2 + len(names) and not found[1],
    )


def passes_over(name, told):
    return right(
        f"passes over {name}",
        in_folder(**{f"x/{name}": "PNG"}),
        lambda found: len(found[0]) == 2 and len(found[1]) == told,
    )


def of_zip(folder):
    Image.fromarray(CROSS).save(folder / "a.png")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.write(folder / "a.png", "a.png")
    path = zipfile.Path(folder / "a.zip", "a.png")
    return ImageFiles([path], SIDE)[0].astype(int)


RGBA = Image.fromarray(CROSS)
DEEP = Image.fromarray(RAMP.astype("uint16"))
FLOATS = (RAMP / 65535).astype("float32")
HUGE = round(MAX_PIXELS**0.5) + 1
SETTINGS = ([], 4, "rgb")
PREMULTIPLIED = grays(tiff(8, 1, b"\0\0\x40\x80", samples=2, extra=1), "a.tif")
CASES = [
    right("RGBA", stored(RGBA), ON_WHITE),
    right("LA", stored(RGBA.convert("LA")), ON_WHITE),
    right("TIFF RGBA", stored(RGBA, "a.tif"), ON_WHITE),
    right("WebP", stored(RGBA, "a.webp", lossless=True), ON_WHITE),
    right("GIF", stored(RGBA, "a.gif"), ON_WHITE),
    right("in a zip file", of_zip, ON_WHITE),
    right("one transparent index", palette(1), ON_WHITE),
    right("a table of opacity", palette(b"\xff\x00"), ON_WHITE),
    right(
        "half transparent",
        stored(Image.new("RGBA", (8, 8), (0, 0, 0, 128))),
        lambda found: (found == 127).all(),
    ),
    right(
        "a transparent gray value",
        stored(Image.fromarray(CROSS[..., 3]), transparency=0),
        lambda found: (found == 255).all(),
    ),
    right("on red", on_color("red"), [255, 0, 0]),
    right("on a code", on_color("#102030"), [16, 32, 48]),
    right("on a gray value", on_color(7), [7, 7, 7]),
    right("on three values", on_color((1, 2, 3)), [1, 2, 3]),
    right("gray on red", on_color("red", color_mode="grayscale"), [76]),
    refused("on a colour that is none", on_color("rde"), "background.*'rde'"),
    refused("on 256", on_color(256), "background.*256"),
    refused("on two values", on_color((1, 2)), r"background.*\(1, 2\)"),
    refused("on True", on_color(True), "background.*True"),
    pixels_of("16-bit PNG", stored(DEEP)),
    pixels_of("16-bit TIFF", saved_tiff(RAMP.astype("uint16"))),
    pixels_of("16-bit TIFF, big-endian", saved_tiff(RAMP.astype(">u2"))),
    pixels_of("16-bit PGM", stored(DEEP, "a.pgm")),
    pixels_of("16-bit JPEG 2000", stored(DEEP, "a.jp2")),
    pixels_of("floats in [0, 1]", saved_tiff(FLOATS)),
    right("a bit a pixel", stored(Image.new("1", (8, 8), 1)), np.full((8, 8, 3), 255)),
    right("CMYK", stored(Image.new("CMYK", (8, 8)), "a.tif"), np.full((8, 8, 3), 255)),
    right(
        "LAB",
        stored(Image.new("LAB", (8, 8), (255, 128, 128)), "a.tif"),
        lambda found: found.min() > 250,
    ),
    right(
        "two bits, one value transparent",
        grays(png(4, 1, 2, 0, b"\0\x1b", b"\0\1"), "a.png", 4),
        [0, 255, 170, 255],
    ),
    right(
        "four bits, one value transparent",
        grays(png(2, 1, 4, 0, b"\0\x5a", b"\0\5"), "a.png"),
        [255, 170],
    ),
    right(
        "16 bits, one value transparent",
        grays(png(2, 1, 16, 0, b"\0\0\0\x80\0", bytes(2)), "a.png"),
        [255, 128],
    ),
    right(
        "16-bit colours, one transparent",
        grays(
            png(2, 1, 16, 2, b"\0" + b"\x12\x34" * 3 + bytes(6), b"\x12\x34" * 3),
            "a.png",
        ),
        [255, 0],
    ),
    right(
        "16-bit gray and opacity",
        grays(png(2, 1, 16, 4, bytes(5) + b"\x80\0\xff\xff"), "a.png"),
        [255, 128],
    ),
    right("12-bit TIFF", grays(tiff(12, 1, b"\0\x0f\xff"), "a.tif"), [0, 255]),
    right(
        "16-bit TIFF, white is zero",
        grays(tiff(16, 0, b"\0\0\xff\xff"), "a.tif"),
        [255, 0],
    ),
    right(
        "float TIFF, white is zero",
        grays(tiff(32, 0, struct.pack("<2f", 0, 1), 3), "a.tif"),
        [255, 0],
    ),
    (
        right("TIFF of gray multiplied by opacity", PREMULTIPLIED, [255, 191])
        if int(PIL.__version__.partition(".")[0]) >= 13  # which reads it
        else refused("TIFF of gray multiplied by opacity", PREMULTIPLIED, "not a read")
    ),
    refused(
        "signed 16 bits", grays(tiff(16, 1, bytes(4), 2), "a.tif"), "integers.*white"
    ),
    refused("doubles", grays(tiff(64, 1, bytes(16), 3), "a.tif"), "a.tif is not a"),
    *(
        right(f"{kind} turned {way}", turned(kind, way), True)
        for kind in ("jpg", "png", "webp", "tif")
        for way in (3, 5, 6, 8)
    ),
    right("EXIF cut off", broken_notes(b"MM\0*\0\0\0\x08\0\1\1\x12"), 9),
    right("EXIF of noise", broken_notes(b"noise"), 9),
    right("EXIF without a direction", broken_notes(b""), 9),
    *(
        right(f"the first frame of {name}", animated(name), is_red)
        for name in ("a.gif", "a.webp", "a.png", "a.tif")
    ),
    refused(
        "32-bit integers", saved_tiff(RAMP.astype("int32")), "32-bit integers.*white"
    ),
    refused(
        "floats beyond 1", saved_tiff(FLOATS * 255), r"floats from 0 to 255.*\[0, 1\]"
    ),
    refused("negative floats", saved_tiff(FLOATS - 1), "floats from -1 to 0"),
    refused("NaN", saved_tiff(FLOATS * np.nan), "floats from nan"),
    refused("PostScript as .png", raw(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "a.png.*format"),
    refused("an icon named .png", raw(b"\0\0\1\0\1\0"), "a.png.*another format"),
    refused("text named .jpg", raw(b"hello", "a.jpg"), "a.jpg.*another format"),
    refused("an empty file", raw(b""), "a.png.*empty"),
    refused("a header alone", raw(bomb(8, 8)[:33]), "a.png is not a readable image"),
    refused("no pixels at all", raw(bomb(8, 8)), "a.png is not a readable image"),
    refused("too many pixels", raw(bomb(HUGE, HUGE)), "pixels.*at most 50,000,000"),
    refused("billions of pixels", raw(bomb(2**16, 2**16)), "a.png is not a readable"),
    refused("too many, unchecked", unchecked(bomb(HUGE, HUGE)), "at most 50,000,000"),
    refused("too many in a zip file", zipped(bomb(HUGE, HUGE)), "at most 50,000,000"),
    refused("a progressive JPEG of too many", progressive, "at most 50,000,000"),
    refused("too many bytes", sparse, "at most 536,870,912 are read"),
    refused("no side", raw(bomb(0, 8)), "a.png is not a readable image"),
    refused("a folder", special(os.mkdir), "z.png.*no file|z.png.*Is a directory"),
    refused("a device", lambda: read("/dev/null"), "/dev/null"),
    refused("none", lambda: read("there is none.png"), "there is none.png"),
    finds("1.PNG", "1.jpg", "1.jfif", "1.jpe", "1.jp2", "1.ppm", "1.tif", "1.webp"),
    *([finds("1.avif")] if features.check("avif") else []),
    passes_over("c/notes.txt", told=1),
    passes_over("c/z.eps", told=1),
    passes_over("c/._0.png", told=0),
    passes_over("c/.DS_Store", told=0),
    passes_over("c/Thumbs.db", told=0),
    passes_over("c/desktop.ini", told=0),
    passes_over("__MACOSX/c/0.png", told=0),
    passes_over("@eaDir/0.png", told=0),
    passes_over("#recycle/0.png", told=0),
    passes_over("c/Icon\r", told=0),
    passes_over("lost+found/0.png", told=0),
    passes_over("c/.ipynb_checkpoints/0.png", told=0),
    refused("image_size=0", lambda: ImageFiles([], 0), "image_size.*0"),
    refused("image_size=-1", lambda: ImageFiles([], (8, -1)), "image_size.*-1"),
    refused("image_size=True", lambda: ImageFiles([], True), "image_size.*True"),
    refused("image_size=1.5", lambda: ImageFiles([], 1.5), "image_size.*1.5"),
    refused("image_size='8'", lambda: ImageFiles([], "8"), "image_size.*'8'"),
    refused("image_size=10**6", lambda: ImageFiles([], 10**6), "at most 8,192"),
    refused("image_size=(1, 2, 3)", lambda: ImageFiles([], (1, 2, 3)), "image_size"),
    refused("image_size=None", lambda: ImageFiles([], None), "image_size.*None"),
    refused("color_mode", lambda: ImageFiles([], 8, "RGB"), "color_mode.*'RGB'"),
    refused("color_mode=None", lambda: ImageFiles([], 8, None), "color_mode.*None"),
    refused("a single path", lambda: ImageFiles("a.png", 8), "paths.*'a.png'"),
    refused(
        "a folder's color_mode",
        lambda: from_directory(".", 8, color_mode="gray"),
        "color_mode.*'gray'",
    ),
]
if hasattr(os, "mkfifo"):
    CASES.append(refused("a pipe", special(os.mkfifo), "z.png.*pipe"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_images(case, judge):
    judge("images", case)


def test_transparent_drawings_are_told_apart(tmp_path):
    """Black on transparent, they once were equal black squares."""
    for i in range(SIDE):
        drawing = np.zeros((SIDE, SIDE, 4), "uint8")
        drawing[i, :, 3] = 255
        Image.fromarray(drawing).save(tmp_path / f"{i}.png")
    images = ImageFiles(sorted(tmp_path.glob("*.png")), SIDE)[:]
    assert len(np.unique(images, axis=0)) == SIDE


def test_large_jpegs_are_decoded_at_a_fraction(tmp_path):
    side = 4 * HUGE // 3
    Image.new("L", (side, side), 200).save(tmp_path / "a.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        assert np.abs(read(tmp_path / "a.jpg") - 200).max() <= 1
