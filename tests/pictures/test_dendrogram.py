import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

from keras_hierproxy import pictures
from keras_hierproxy.datasets.glyphs.glyphs import read_table
from keras_hierproxy.pictures.tree_drawing import FONTS, MIXED, PALETTE
from keras_hierproxy.trees import Tree

pytestmark = pytest.mark.host

PNG = b"\x89PNG\r\n\x1a\n"


def groups_of_ten(num_classes):
    """A tree of two levels: class i in group i % (n / 10), all under a root."""
    count = num_classes // 10
    groups = np.arange(num_classes) % count
    root = num_classes + count
    return Tree([*(num_classes + groups), *[root] * count, -1], num_classes)


class Drawn:
    """What stands in a picture: names from above, squares and lines."""

    def __init__(self, figure):
        self.figure = figure
        (self.axes,) = figure.axes
        lines, squares = self.axes.collections
        self.lines = [path.vertices for path in lines.get_paths()]
        self.line_colors = [to_hex(color) for color in lines.get_colors()]
        self.positions = squares.get_offsets()[:, 1]
        self.colors = [to_hex(color) for color in squares.get_facecolors()]
        self.labels = self.axes.get_yticklabels()
        self.names = [label.get_text() for label in self.labels]
        self.title = self.axes.get_title(loc="left")
        self.legend = [t.get_text() for each in figure.legends for t in each.texts]


@pytest.fixture
def draw(figures, tmp_path):
    def draw(*args, **options):
        figures.clear()
        path = tmp_path / "dendrogram.png"
        pictures.plot_dendrogram(*args, path, **options)
        assert path.read_bytes().startswith(PNG)
        (figure,) = figures
        return Drawn(figure)

    return draw


def test_names_stand_beside_their_leaves_group_by_group(draw):
    tree = groups_of_ten(30)
    drawn = draw(tree, [f"class {i}" for i in range(30)])
    assert drawn.names == [f"class {i}" for i in range(30)]
    ticks = drawn.axes.get_yticks()
    np.testing.assert_array_equal(ticks, drawn.positions)
    assert sorted(ticks) == list(range(30))
    for group in range(30, 33):
        places = np.sort(ticks[tree.leaves(group)])
        np.testing.assert_array_equal(np.diff(places), 1)


def test_lines_are_the_tree(draw):
    tree = Tree([4, 4, 5, 6, 5, 6, -1], 4)
    drawn = draw(tree, "abcd")
    levels = np.array([0, 0, 0, 0, -1, -2, -3])
    for node, line in enumerate(drawn.lines):
        parent = tree.parents[node]
        assert line[0][0] == levels[parent if parent >= 0 else node]
        assert (line[1:, 0] == levels[node]).all()
        ends = sorted(line[2:, 1])
        places = {
            place for start, place in (drawn.lines[c][0] for c in tree.children[node])
        }
        assert set(ends) == places
    leaves = [drawn.lines[node][1].tolist() for node in range(4)]
    assert leaves == [[0, place] for place in drawn.positions]


@pytest.mark.parametrize("num_classes", [20, 100, 150])
def test_names_do_not_overlap_and_are_in_the_picture(draw, num_classes):
    names = [f"produce/fruit/Granny Smith {i:03d}" for i in range(num_classes)]
    drawn = draw(groups_of_ten(num_classes), names)
    # Written at another resolution than that of the figure.
    drawn.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in drawn.labels]
    boxes.sort(key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 for a, b in zip(boxes[:-1], boxes[1:], strict=True))
    width, height = drawn.figure.canvas.get_width_height()
    assert all(0 < b.x0 and b.x1 <= width and 0 < b.y0 and b.y1 < height for b in boxes)


def test_of_many_classes_a_hundred_are_drawn_evenly(draw):
    names = [f"class {i}" for i in range(1080)]
    drawn = draw(groups_of_ten(1080), names, title="Classes")
    assert len(drawn.names) == 100
    assert drawn.title == "Classes\n100 of 1,080 classes, evenly along the tree"
    # Groups are of ten, so nearly each group has one.
    ids = np.array([int(name.split()[1]) for name in drawn.names])
    assert len(set(ids % 108)) >= 99
    assert "of" not in draw(groups_of_ten(150), names[:150], title="Few").title


def test_colors_are_super_classes(draw):
    tree = groups_of_ten(40)
    # Group 0 is all animals, group 1 all plants but for one class.
    groups = np.array([0, 1, 0, 1] * 10)
    groups[1] = 0
    drawn = draw(tree, ["x"] * 40, groups=groups, group_names=["animal", "plant"])
    assert drawn.legend == ["animal", "plant"]
    assert drawn.colors == [PALETTE[group] for group in groups]
    assert drawn.line_colors[:40] == drawn.colors
    animal, plant = PALETTE[:2]
    assert drawn.line_colors[40:] == [animal, MIXED, animal, plant, MIXED]
    # Of one colour side by side.
    order = np.argsort(drawn.positions)
    assert np.abs(np.diff(groups[order])).sum() == 1


def test_a_few_of_many_keep_their_names_and_colors(draw):
    groups = np.arange(400) // 200
    names = [f"{'early' if i < 200 else 'late'} {i}" for i in range(400)]
    drawn = draw(groups_of_ten(400), names, groups=groups, group_names=["a", "b"])
    early = [name.startswith("early") for name in drawn.names]
    assert drawn.colors == [PALETTE[0 if each else 1] for each in early]
    assert 40 < sum(early) < 60


def test_names_are_no_formulas_and_may_be_of_any_script(draw):
    names = ["costs $5 or $6_7", "日本語", "oak"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = draw(
            Tree([3, 3, 3, -1], 3), names, groups=np.arange(3),
            group_names=["$a$", "b", "日"], title="$t$",
        )  # fmt: skip
    assert drawn.names[0] == names[0]
    legend = drawn.figure.legends[0]
    texts = [*drawn.labels, *legend.texts, drawn.axes._left_title]
    assert not any(text.get_parse_math() for text in texts)


def test_long_names_lose_their_middle(draw):
    long = "packages/" + "very-" * 9 + "long/juice"
    drawn = draw(Tree([2, 2, -1], 2), [long, long[:40]])
    short, whole = drawn.names
    assert len(short) == 40 and whole == long[:40]
    assert short.startswith("packages/very") and short.endswith("very-long/juice")


def test_letters_of_the_glyphs_are_no_boxes():
    known = [set(FT2Font(findfont(name)).get_charmap()) for name in FONTS]
    letters = {ord(entry.character) for entry in read_table()}
    assert letters - known[0] and not letters - set.union(*known)
