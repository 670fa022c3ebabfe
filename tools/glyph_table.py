"""Chooses the classes of the glyph set: writes `glyphs.tsv`, which `glyphs` reads.

The table is part of the project, so that no other version of matplotlib or Unicode
changes what a class is or which split it is in. After a change of the rules, write it
again (in half a minute): `python tools/glyph_table.py`.
"""

import collections
import csv
import dataclasses
import unicodedata

import numpy as np

from keras_hierproxy.datasets.glyphs.glyphs import FONTS, TABLE, Character
from keras_hierproxy.datasets.glyphs.outlines import Outline, draw, read_outlines

MIN_FONTS = 4
# Two letters look the same if no pixel of their blurred pictures, each stretched to
# the same square, differs by more than this share of the ink, on average over fonts.
# The limit is higher for the two cases of a letter, most of which differ in size alone,
# and for the two breathings of Greek, which are mirror images of three pixels.
# Both were set by a small convolutional network, trained on 16 fonts to name 2,342
# letters. In 6 others it confused (more often than 1 time in 5) 81 % of the 817 pairs
# below the limits, most of the rest being accents, and 204 of 2.7 million above.
MIN_DIFFERENCE = 0.62
MIN_SIBLING_DIFFERENCE = 0.75
BLUR = 0.6  # pixels, standard deviation
ASPECT_WEIGHT = 0.3  # of a factor of e between widths (a bar is no square)
# Those of the 204 that the eye confuses too, and some that it alone does; the last
# four are one glyph in DejaVu Serif.
ALSO_ALIKE = (
    "Cc Cс Cᴄ Dᴅ D𐌃 Gɢ Iɪ Jȷ Jյ Kĸ Kκ KК Kк Kᴋ Lʟ Lւ Mм Oᴏ Pᴘ Pᴩ Uᴜ gɡ lı uи yУ Æᴁ "
    "Ðᴆ ĸκ ĸК Ɔͻ Ƈƈ Əǝ Əə Ɛε Ɣɣ Ɯա Ƶƶ Ʒӡ ǀꞋ Ǫǫ Ƕԋ Ȥȥ ȽⱢ ȿⱾ ɀⱿ Ɋɋ ɔϽ ɔכ ɔꓛ ɔↃ ɩι "
    "ɵѲ ɸф ɼꞄ ʌΛ ʒӠ ʘ𐌏 ʘꙨ Ͱⱶ ͱⱵ Ͷи ͼϾ ͽϿ Γг Γᴦ ΘꙨ ΦՓ τꚌ τꚍ ωѠ Ϩշ Ϭб ϭб ЂꚊ Ђꚋ "
    "ЌḰ Ѵⱱ Ѿѿ Ҁҁ Ґґ Ғғ Ҕҕ Ҙҙ Ҭҭ Ӈӈ Ӡᴣ Ӷӷ Ӽӽ Ԓԓ ՈႶ هᐤ ດᕠ კპ ᐪ𐌕 ᑕᑦ ᴔꜵ Ṣṣ ḷỊ Ẓẓ "
    "Ⅎⅎ Ꜭꜭ Ꜯꜯ Ꞇꞇ кᴋ ҞꝀ ҟꝁ ɑα"
).split()
# Letters of which fonts draw different ones, and the tail of an Arabic letter.
LEFT_OUT = "ϝႠႾႿჯ" + "\N{ARABIC TAIL FRAGMENT}"
PSILI, DASIA = "\N{COMBINING COMMA ABOVE}", "\N{COMBINING REVERSED COMMA ABOVE}"
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def choose_characters():
    """Chooses the classes of the glyph set.

    A letter is a candidate if at least `MIN_FONTS` fonts have it, and if it is no
    compatibility form of another. Those in most fonts first, and then in the order
    of code points, each candidate becomes a class unless it looks like an earlier
    one. Base letters of which some characters look alike are kept in one split.

    Returns:
        List of `Character`.

    Example:

    ```python
    from tools.glyph_table import choose_characters

    len(choose_characters())
    ```
    """
    fonts = [read_outlines(font, _letters()) for font in FONTS]
    counts = collections.Counter(letter for font in fonts for letter in font)
    letters = [letter for letter, count in counts.items() if count >= MIN_FONTS]
    letters.sort(key=lambda letter: (-counts[letter], letter))
    look_alikes = _first_of_alike(letters, differences(letters, fonts))
    splits = _split(look_alikes)
    return [
        Character(
            character=letter,
            base=base_letter(letter),
            script=_script(letter),
            split=splits[base_letter(letter)],
            look_alikes="".join(others),
        )
        for letter, others in sorted(look_alikes.items())
    ]


def base_letter(character):
    """The letter without case and diacritics, from Unicode's data.

    Diacritics are those of its canonical decomposition, and what its name has after
    `WITH` (`LATIN SMALL LETTER O WITH STROKE`).

    Args:
        character: string of one letter.

    Returns:
        String of one letter.

    Example:

    ```python
    from tools.glyph_table import base_letter

    [base_letter(letter) for letter in "ÉøΏς"]  # ["e", "o", "ω", "σ"]
    ```
    """
    plain = unicodedata.normalize("NFD", character)[0]
    name = unicodedata.name(plain).partition(" WITH ")[0]
    try:
        plain = unicodedata.lookup(name)
    except KeyError:  # not every letter with a tail has a sister without
        pass
    # By way of the capital, which the forms of a small letter share.
    capital = plain.upper()
    return (capital if len(capital) == 1 else plain).lower()


def differences(letters, fonts):
    """How far apart letters look, on average over the fonts that have both.

    Args:
        letters: sequence of `n` letters.
        fonts: list of dictionaries from letter to `Outline`.

    Returns:
        Float array `(n, n)`, infinite where no font has both.

    Example:

    ```python
    from keras_hierproxy.datasets.glyphs.outlines import read_outlines
    from tools.glyph_table import differences

    differences("oOQ", [read_outlines("DejaVuSans", "oOQ")]).round(1)
    ```
    """
    from scipy.spatial.distance import cdist

    total = np.zeros((len(letters), len(letters)))
    count = np.zeros_like(total)
    for font in fonts:
        present = [i for i, letter in enumerate(letters) if letter in font]
        pictures, aspects = zip(
            *(_stretched(font[letters[i]]) for i in present), strict=True
        )
        pairs = np.ix_(present, present)
        total[pairs] += np.hypot(
            cdist(pictures, pictures, "chebyshev"),
            ASPECT_WEIGHT * cdist(aspects, aspects, "cityblock"),
        )
        count[pairs] += 1
    return np.divide(total, count, out=np.full_like(total, np.inf), where=count > 0)


def _letters():
    """Unicode's letters, but for modifiers, compatibility forms and those left out."""
    return [
        character
        for character in map(chr, range(0x20000))
        if unicodedata.category(character) in ("Lu", "Ll", "Lo")
        and unicodedata.normalize("NFKC", character) == character
        and character not in LEFT_OUT
    ]


def _stretched(outline):
    """Its blurred picture, stretched to a square, and the logarithm of its aspect."""
    from scipy import ndimage

    low, high = outline.points.min(0), outline.points.max(0)
    points = (outline.points - (low + high) / 2) / (high - low) * 24 + 16
    picture = draw(Outline(points, outline.codes)) / 255
    width, height = high - low
    return ndimage.gaussian_filter(picture, BLUR).ravel(), [np.log(width / height)]


def _first_of_alike(letters, difference):
    """Maps each letter that looks like none before it to the later ones that do."""
    folded = np.array(
        [
            unicodedata.normalize("NFD", letter.lower()).replace(DASIA, PSILI)
            for letter in letters
        ]
    )
    siblings = folded[:, None] == folded
    alike = difference < np.where(siblings, MIN_SIBLING_DIFFERENCE, MIN_DIFFERENCE)
    for pair in ALSO_ALIKE:
        first, second = map(letters.index, pair)
        alike[first, second] = alike[second, first] = True
    difference = np.where(alike, difference, np.inf)
    kept, look_alikes = [], {}
    for i, letter in enumerate(letters):
        if not alike[i, kept].any():
            kept.append(i)
            look_alikes[letter] = []
        else:
            nearest = kept[difference[i, kept].argmin()]
            look_alikes[letters[nearest]].append(letter)
    return look_alikes


def _split(look_alikes):
    """Maps each base letter to a split, with a fair share of each script's classes."""
    groups = _linked_base_letters(look_alikes)
    scripts = sorted({_script(letter) for letter in look_alikes})
    sizes = np.zeros((max(groups.values()) + 1, len(scripts)), int)
    for letter in look_alikes:
        sizes[groups[base_letter(letter)], scripts.index(_script(letter))] += 1

    wanted = {split: share * sizes.sum(0) for split, share in SHARES.items()}
    filled = {split: np.zeros(len(scripts)) for split in SHARES}
    split_of_group = {}
    # The largest groups first: the small ones then even out the shares.
    for group in np.argsort(-sizes.sum(1), kind="stable"):
        lack = {split: 1 - filled[split] / wanted[split] for split in SHARES}
        split = max(SHARES, key=lambda name: sizes[group] @ lack[name])
        filled[split] += sizes[group]
        split_of_group[group] = split
    return {base: split_of_group[group] for base, group in groups.items()}


def _linked_base_letters(look_alikes):
    """Maps each base letter to the number of its group: those with look-alikes."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = [
        (base_letter(letter), base_letter(other))
        for letter, others in look_alikes.items()
        for other in (letter, *others)
    ]
    bases, ends = np.unique(links, return_inverse=True)
    ends = ends.reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), ends), shape=(len(bases), len(bases)))
    _, groups = connected_components(graph, directed=False)
    return dict(zip(bases.tolist(), groups.tolist(), strict=True))


def _script(letter):
    from fontTools import unicodedata as scripts

    return scripts.script_name(scripts.script(letter)).replace("_", " ")


def _write(rows):
    with open(TABLE, "w", encoding="utf-8", newline="") as file:
        names = [field.name for field in dataclasses.fields(Character)]
        writer = csv.writer(
            file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE
        )
        writer.writerow(names)
        writer.writerows(dataclasses.astuple(row) for row in rows)


if __name__ == "__main__":
    _write(choose_characters())
