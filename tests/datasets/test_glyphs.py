import collections
import os
import subprocess
import sys
import unicodedata
import zlib

import numpy as np
import pytest

from keras_hierproxy.datasets import load
from keras_hierproxy.datasets.glyphs import glyphs
from keras_hierproxy.datasets.glyphs.outlines import distort, draw, read_outlines
from tools import glyph_table

pytestmark = pytest.mark.host

PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def table():
    return glyphs.read_table()


@pytest.fixture(scope="module")
def outlines(table):
    characters = [row.character for row in table]
    return {font: read_outlines(font, characters) for font in glyphs.FONTS}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def splits(cache):
    return load("glyphs", root=cache)


# What the classes are.


def test_size(table, outlines):
    fonts_of = collections.Counter(c for font in outlines.values() for c in font)
    assert len(table) == len(fonts_of) >= 1000
    assert sum(count >= 12 for count in fonts_of.values()) >= 1000
    assert min(fonts_of.values()) >= glyph_table.MIN_FONTS
    assert len(outlines) >= 12
    assert not any("LastResort" in font for font in outlines)


def test_each_class_is_one_letter(table):
    characters = [row.character for row in table]
    assert len(set(characters)) == len(characters)
    for character in characters:
        assert unicodedata.category(character) in ("Lu", "Ll", "Lo")


def test_left_out_letters_are_no_classes(table):
    left_out = "".join(row.look_alikes for row in table)
    assert len(set(left_out)) == len(left_out)
    assert not set(left_out) & {row.character for row in table}


@pytest.mark.parametrize(
    "letters",
    ["AΑА", "BΒВ", "EΕЕ", "HΗН", "KΚК", "MΜМ", "OΟОՕoοоօ", "PΡР", "TΤТ", "XΧХxх"]
    + ["aа", "eе", "pр", "iі", "jј", "Ssѕ", "Vv", "Ww", "Zz", "Cc", "ÄӒ", "ëё"],
)
def test_one_of_homoglyphs_is_a_class(table, letters):
    classes = [row for row in table if row.character in letters]
    assert [row.character for row in classes] == [letters[0]]
    assert set(letters[1:]) <= set(classes[0].look_alikes)


@pytest.mark.parametrize("letters", ["AÄaä", "EF", "IĪi", "DŊ", "ßB", "ЯRL"])
def test_letters_that_differ_stay_apart(table, letters):
    assert set(letters) <= {row.character for row in table}


def test_no_font_draws_two_classes_the_same(outlines):
    for font, letters in outlines.items():
        pictures = collections.defaultdict(str)
        for letter, outline in letters.items():
            picture = draw(outline.fitted(24, middle=16))
            assert picture.max() > 200, (font, letter)
            pictures[picture.tobytes()] += letter
        assert not [same for same in pictures.values() if len(same) > 1], font


def test_differences():
    letters = "OΟoQl"
    fonts = [read_outlines(font, letters) for font in glyphs.FONTS[:9]]
    difference = glyph_table.differences(letters, fonts)
    np.testing.assert_array_equal(difference, difference.T)
    assert difference[0, 1] == difference.trace() == 0
    assert difference[0, 2] < glyph_table.MIN_SIBLING_DIFFERENCE
    assert difference[0, 3:].min() > glyph_table.MIN_DIFFERENCE
    assert np.isinf(glyph_table.differences("Aא", [read_outlines("cmr10", "Aא")])[0, 1])


@pytest.mark.parametrize(
    "letters, base",
    [
        ("eEéÉêẾḝɇ", "e"),
        ("oOøØǿ", "o"),
        ("iIıİį", "i"),
        ("sŞ", "s"),
        ("σςΣ", "σ"),
        ("ωΏᾧ", "ω"),
        ("йЙ", "и"),
        ("ßẞ", "ß"),
        ("æǼ", "æ"),
        ("Աա", "ա"),
        ("ب", "ب"),
    ],
)
def test_base_letter(letters, base):
    assert {glyph_table.base_letter(letter) for letter in letters} == {base}


def test_scripts(table):
    script = {row.character: row.script for row in table}
    assert {c: script[c] for c in "AßΣЖԱبאᐁກႣ"} == {
        "A": "Latin",
        "ß": "Latin",
        "Σ": "Greek",
        "Ж": "Cyrillic",
        "Ա": "Armenian",
        "ب": "Arabic",
        "א": "Hebrew",
        "ᐁ": "Canadian Aboriginal",
        "ກ": "Lao",
        "Ⴃ": "Georgian",
    }


def test_splits_share_scripts_but_no_base_letter(table):
    split_of_base = {row.base: row.split for row in table}
    assert all(split_of_base[row.base] == row.split for row in table)
    for part in PARTS:
        members = [row for row in table if row.split == part]
        assert len({row.script for row in members}) >= 10
        share = len(members) / len(table)
        assert share == pytest.approx(glyph_table.SHARES[part], abs=0.02)


def test_letters_that_look_alike_are_in_one_split(table):
    split_of_base = {row.base: row.split for row in table}
    for row in table:
        for other in row.look_alikes:
            base = glyph_table.base_letter(other)
            assert split_of_base.get(base, row.split) == row.split, (row, other)


def test_table_follows_its_rules(table):
    look_alikes = {row.character: row.look_alikes for row in table}
    split = glyph_table._split(look_alikes)
    for row in table:
        assert row.base == glyph_table.base_letter(row.character)
        assert row.split == split[row.base]


# How they are drawn.


def test_only_letters_that_a_font_has():
    # The code points of these hold other glyphs in Computer Modern.
    assert set(read_outlines("cmr10", "AaÀÁΓж中")) == {"A", "a"}
    assert set(read_outlines("DejaVuSans", "A中")) == {"A"}
    with pytest.raises(ValueError, match="No font of the glyph set has '中'"):
        glyphs.render("A中", seed=0)


def test_one_image_for_each_font_and_at_least_twelve():
    _, classes = glyphs.render("Aא", seed=0)
    assert np.bincount(classes).tolist() == [len(glyphs.FONTS), glyphs.MIN_IMAGES]


def test_distortion_stays_in_the_frame():
    rng = np.random.default_rng(0)
    for outline in read_outlines("DejaVuSerif-BoldItalic", "AlWjǼ").values():
        for _ in range(100):
            points = distort(outline, rng).points
            assert points.min() >= 1.5 and points.max() <= 30.5
            assert 21 <= np.ptp(points, axis=0).max() <= 28


def test_drawing():
    bar = read_outlines("DejaVuSans", "Ӏ")["Ӏ"].fitted(20, middle=16)
    width = np.ptp(bar.points[:, 0])
    image = draw(bar)
    assert image.max() == 255 and image[[5, 26]].max() == image[:, [5, 26]].max() == 0
    assert image.sum() / 255 == pytest.approx(20 * width, rel=0.01)
    assert draw(bar, 1).sum() / 255 == pytest.approx(21 * (width + 1), rel=0.03)
    upright = draw(read_outlines("DejaVuSans", "L")["L"].fitted(24, middle=16))
    assert upright[20:].sum() > 1.5 * upright[:12].sum()


def test_pixels_are_those_of_this_version():
    # After a wanted change of the drawing: raise VERSION, write the new numbers.
    assert glyphs.VERSION == 1
    images, _ = glyphs.render("Aжᐁ", seed=0)
    ink = images.sum(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(
        ink[[0, 20, 21, 36, 37, 48]],
        [159.1, 138.8, 223.5, 154.2, 279.3, 262.8],
        atol=0.5,
    )


@pytest.mark.host(on="jax")
def test_same_seed_same_pixels_in_another_process():
    code = (
        "import zlib; from keras_hierproxy.datasets.glyphs.glyphs import render;"
        "print(zlib.crc32(render('Aжᐁ', seed=3)[0].tobytes()))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "12"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert int(output) == zlib.crc32(glyphs.render("Aжᐁ", seed=3)[0].tobytes())


def test_another_seed_moves_every_image():
    first, second = glyphs.render("Aж", 0)[0], glyphs.render("Aж", 1)[0]
    assert (first != second).any(axis=(1, 2, 3)).all()


# What is loaded.


def test_data_sets(splits, table):
    sizes = 0
    for part in PARTS:
        data = getattr(splits, part)
        assert data.name == f"glyphs/{part}"
        assert data.level_names == ("character", "base letter", "script")
        assert data.images.dtype == "uint8"
        assert data.images.shape == (len(data), 32, 32, 1)
        assert np.bincount(data.labels[:, 0]).min() >= glyphs.MIN_IMAGES
        sizes += len(data)
        rows = {row.character: row for row in table if row.split == part}
        assert set(data.class_names[0]) == set(rows)
        for character, (base, script) in zip(
            data.class_names[0], data.taxonomy, strict=True
        ):
            assert data.class_names[1][base] == rows[character].base
            assert data.class_names[2][script] == rows[character].script
    assert 20_000 <= sizes <= 40_000


def test_images_are_white_on_black_and_not_clipped(splits):
    for part in PARTS:
        images = getattr(splits, part).images[..., 0]
        assert not images[:, [0, -1]].any() and not images[:, :, [0, -1]].any()
        ink = images.mean(axis=(1, 2)) / 255
        assert 0.01 < ink.min() and ink.max() < 0.7


def test_pixels_alone_do_not_solve_it(splits):
    data = splits.test
    pixels = data.images.reshape(len(data), -1).astype("float32") / 255
    squares = (pixels**2).sum(1)
    distance = squares - 2 * pixels @ pixels.T
    np.fill_diagonal(distance, np.inf)
    hits = data.labels[distance.argmin(1)] == data.labels
    character, base, script = hits.mean(0)
    assert 0.2 < character < 0.5
    assert character < base < script < 0.9


def test_cached(splits, cache, monkeypatch):
    def never(*args):
        raise AssertionError("rendered although cached")

    monkeypatch.setattr(glyphs, "render", never)
    again = load("glyphs", root=cache)
    np.testing.assert_array_equal(again.test.images, splits.test.images)
    np.testing.assert_array_equal(again.test.labels, splits.test.labels)
    monkeypatch.setenv("KERAS_HIERPROXY_CACHE", str(cache))
    assert len(glyphs.load_glyphs().train) == len(splits.train)
    for seed in (1, np.int64(2)):
        with pytest.raises(AssertionError, match="rendered"):
            glyphs.load_glyphs(seed)


def test_the_cache_is_that_of_the_versions(cache, splits):
    (file,) = cache.iterdir()
    for word in ("glyphs-1-", "-matplotlib-3", "-seed-0.npz"):
        assert word in file.name


@pytest.mark.parametrize("seed", [-1, 0.5, "0", None])
def test_refuses_a_bad_seed(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer of at least 0"):
        glyphs.load_glyphs(seed)
