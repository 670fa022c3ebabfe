"""The glyph set: letters of many scripts in the fonts that matplotlib ships."""

import csv
import dataclasses
import importlib.metadata
import importlib.resources
import itertools
import pathlib
import zlib

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets.cache import cache_folder, cached_arrays
from keras_hierproxy.datasets.dataset import RetrievalDataset, Splits
from keras_hierproxy.datasets.glyphs.outlines import (
    IMAGE_SIZE,
    distort,
    draw,
    read_outlines,
)

MIN_IMAGES = 12  # of a character; one in fewer fonts is drawn again in each
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
    "cmr10",
    "cmb10",
    "cmss10",
    "cmtt10",
    "cmmi10",
)
VERSION = 1  # of the drawing: raised with every change of the pixels
TABLE = importlib.resources.files(__package__) / "glyphs.tsv"


@dataclasses.dataclass(frozen=True)
class Character:
    """A class of the glyph set: a row of `glyphs.tsv`.

    Attributes:
        character: the character.
        base: its base letter, lower case and without diacritics.
        script: name of its script.
        split: `"train"`, `"validation"` or `"test"`.
        look_alikes: characters that were left out because they look like it.
    """

    character: str
    base: str
    script: str
    split: str
    look_alikes: str


def load_glyphs(seed=0, cache_dir=None):
    """Loads the glyph set, rendering it the first time.

    Letters of 12 scripts are drawn from the outlines in 21 fonts of matplotlib
    (DejaVu, STIX, Computer Modern): one image for each font that has the letter,
    and further ones where fewer than 12 fonts have it. Each is turned, sheared,
    stretched, bent, thickened and shifted at random, and about fills the frame: size
    tells nothing.

    Images are white on black: the background is 0, which is what convolutions
    and shifts pad with, so that there is no border to see.

    Of letters that look the same like this (`A` of the Latin, Greek and Cyrillic
    scripts; `S` and `s`) only the first is in the set. `glyphs.tsv` lists the
    classes, with the letters left out for each; `tools/glyph_table.py` tells how they
    were chosen. The seed moves pixels only: the classes and their split are always
    the same, hence no letter ever trained on is in a test set.

    Args:
        seed: seed of the distortions, an integer of 0 or more. The same seed gives
            the same pixels.
        cache_dir: folder to keep the images in (some 6 MB a seed). Defaults to
            `KERAS_HIERPROXY_CACHE`, else `XDG_CACHE_HOME/keras_hierproxy`, else
            `~/.cache/keras_hierproxy`.

    Returns:
        `Splits` of three `RetrievalDataset`s with `uint8` images of shape
        `(N, 32, 32, 1)` and the levels `("character", "base letter", "script")`.
        They are disjoint in base letters, also across scripts where letters look
        the same; scripts are shared.

    Raises:
        ValueError: `seed` is no integer of 0 or more.

    Example:

    >>> glyphs = khp.datasets.load_glyphs()
    >>> glyphs.train.images.shape[1:], glyphs.train.images.dtype
    ((32, 32, 1), dtype('uint8'))
    >>> glyphs.test.level_names
    ('character', 'base letter', 'script')
    """
    seed = checks.integer("seed", seed, least=0)
    table = read_table()
    images, classes = cached_arrays(
        pathlib.Path(cache_dir or cache_folder()) / _file_name(seed),
        ("images", "classes"),
        lambda: render([row.character for row in table], seed),
    )
    names, labels = zip(
        *(
            np.unique([getattr(row, level) for row in table], return_inverse=True)
            for level in ("character", "base", "script")
        ),
        strict=True,
    )
    glyphs = RetrievalDataset(
        images,
        np.stack(labels, axis=1)[classes],
        class_names=[level.tolist() for level in names],
        level_names=("character", "base letter", "script"),
        name="glyphs",
    )
    split = np.array([row.split for row in table])[classes]
    return Splits(
        **{
            part: glyphs.subset(split == part, f"glyphs/{part}")
            for part in ("train", "validation", "test")
        }
    )


def read_table():
    """The classes of the glyph set.

    Returns:
        List of `Character`.

    Example:

    >>> rows = khp.datasets.glyphs.glyphs.read_table()
    >>> {row.character: row.look_alikes for row in rows}["A"]
    'ΑАᴀꓮ'
    """
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [Character(**row) for row in rows]


def render(characters, seed):
    """Draws characters in all fonts that have them, each time distorted anew.

    Args:
        characters: sequence of single characters.
        seed: integer seed of the distortions.

    Returns:
        Tuple of images, `uint8` of shape `(N, 32, 32, 1)`, and of the index into
        `characters` of each, `int32` of shape `(N,)`, in ascending order.

    Raises:
        ValueError: a character that no font has, or `seed` is no integer of 0 or more.

    Example:

    >>> images, classes = khp.datasets.glyphs.glyphs.render("abc", seed=0)
    """
    rng = np.random.default_rng(checks.integer("seed", seed, least=0))
    fonts = [read_outlines(font, characters) for font in FONTS]
    outlines, classes = [], []
    for index, character in enumerate(characters):
        drawn = [font[character] for font in fonts if character in font]
        if not drawn:
            raise ValueError(f"No font of the glyph set has {character!r}.")
        count = max(len(drawn), MIN_IMAGES)
        outlines += itertools.islice(itertools.cycle(drawn), count)
        classes += [index] * count
    images = np.empty((len(outlines), IMAGE_SIZE, IMAGE_SIZE, 1), "uint8")
    for image, outline in zip(images, outlines, strict=True):
        thickness = max(0, rng.uniform(-0.4, 0.8))
        image[..., 0] = draw(distort(outline, rng), thickness)
    return images, np.array(classes, "int32")


def _file_name(seed):
    # All that the pixels depend on.
    matplotlib = importlib.metadata.version("matplotlib")
    table = zlib.crc32(TABLE.read_bytes())
    return f"glyphs-{VERSION}-{table:08x}-matplotlib-{matplotlib}-seed-{seed}.npz"
