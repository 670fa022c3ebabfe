"""Printed and drawn letters in one data set."""

import numpy as np
import pytest
from PIL import Image

from keras_hierproxy.datasets import load, load_omniglot
from keras_hierproxy.runs import sample_layouts

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Omniglot with three alphabets, 2 drawings of each character."""
    root = tmp_path_factory.mktemp("omniglot")
    sample_layouts.write_omniglot(root, ("Greek", "Latin", "Tagalog"), 2)
    return root


GROUPS = {"train_groups": ["Greek", "Latin"], "test_groups": ["Tagalog"]}


def test_both_and_the_test_of_drawings(root):
    letters, drawn = load("letters", root, **GROUPS), load_omniglot(root, **GROUPS)
    printed = load("glyphs")
    for part in ("train", "validation"):
        both, first, second = (getattr(d, part) for d in (letters, printed, drawn))
        assert both.level_names == ("character", "script")
        assert both.num_classes == first.num_classes + second.num_classes
        assert len(both.class_names[1]) == len(first.class_names[2]) + 2
        np.testing.assert_array_equal(
            both.images, np.concatenate([first.images, second.images])
        )
        # Every image keeps its names.
        rows = [0, len(first) - 1, len(first), len(both) - 1]
        named = [
            [both.class_names[level][both.labels[row, level]] for level in (0, 1)]
            for row in rows
        ]
        assert named == [
            [first.class_names[level][first.labels[row, level]] for level in (0, 2)]
            for row in rows[:2]
        ] + [
            [second.class_names[level][second.labels[row, level]] for level in (0, 1)]
            for row in (0, len(second) - 1)
        ]
    np.testing.assert_array_equal(letters.test.images, drawn.test.images)


def test_drawings_are_turned(root):
    plain = load("letters", root, **GROUPS)
    turned = load("letters", root, quarter_turns=True, **GROUPS)
    drawn = load_omniglot(root, **GROUPS).train.num_classes
    assert turned.train.num_classes == plain.train.num_classes + 3 * drawn
    assert turned.validation.class_names == plain.validation.class_names
    assert turned.train.class_names[0][-1].endswith(" 270°")


def test_nothing_is_set_aside(root):
    letters = load("letters", root, validation=0, **GROUPS)
    printed = load("glyphs")
    drawn = load_omniglot(root, validation=0, **GROUPS)
    assert letters.validation is None
    images = [printed.train.images, printed.validation.images, drawn.train.images]
    np.testing.assert_array_equal(letters.train.images, np.concatenate(images))
    # Characters of the glyph set's splits differ, and their scripts are the same.
    characters, scripts = letters.train.class_names
    both = [printed.train, printed.validation]
    assert len(characters) == drawn.train.num_classes + sum(
        part.num_classes for part in both
    )
    shared = {name for part in both for name in part.class_names[2]}
    assert len(scripts) == len(shared) + 2
    named = [
        (characters[character], scripts[script])
        for character, script in letters.train.labels
    ]
    expected = [
        (part.class_names[0][row[0]], part.class_names[level][row[level]])
        for part, level in ((both[0], 2), (both[1], 2), (drawn.train, 1))
        for row in part.labels
    ]
    assert named == expected


def test_a_size_of_ones_own(root):
    letters = load("letters", root, image_size=48, **GROUPS)
    drawn = load_omniglot(root, image_size=48, **GROUPS)
    np.testing.assert_array_equal(letters.test.images, drawn.test.images)
    printed = load("glyphs").train.images
    both = letters.train.images
    assert both.shape[1:] == (48, 48, 1) and both.dtype == "uint8"
    np.testing.assert_array_equal(both[len(printed) :], drawn.train.images)
    # Enlarged glyphs, in the same order: brought back they are much as they were.
    enlarged = both[: len(printed) : 500, ..., 0]
    for large, small in zip(enlarged, printed[::500, ..., 0], strict=True):
        back = Image.fromarray(large).resize((32, 32), Image.Resampling.BICUBIC)
        assert np.abs(np.asarray(back, "float32") - small).mean() < 8
