"""The dendrogram of classes under the proxies that were learned above them."""

import math

import numpy as np

from keras_hierproxy.pictures.names import shortened
from keras_hierproxy.pictures.save import drawable, save
from keras_hierproxy.pictures.tree_drawing import (
    FONTS,
    INK,
    MIXED,
    arrange,
    color_groups,
    draw_legend,
)

# More names than that are no picture any more: some are chosen.
MAX_CLASSES, CHOSEN_CLASSES = 150, 100
_NAME_LENGTH = 40
# Inches a name.
_ROW = 0.165


def plot_dendrogram(
    tree, names, path, groups=None, group_names=(), group_title=None, title=""
):
    """Draws a tree over classes from its root, left, to the names of classes, right.

    The picture grows with the classes, so that names never overlap. Of more than
    150 classes 100 are drawn, chosen evenly along the tree, and the title says so. A
    branch has the colour of a super-class where all classes on it are of that.

    Args:
        tree: `khp.trees.Tree` whose leaves are classes.
        names: sequence of strings, by leaf.
        path: where to write the picture; its ending gives the format.
        groups: int array `(num_leaves,)`, the super-class of each class, which colours
            it; the eight largest have a colour each. By default one for all.
        group_names: sequence of strings, by super-class.
        group_title: str, what a super-class is called.
        title: str.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    ranks, colors, legend = color_groups(groups, group_names)
    positions, pure = arrange(tree, ranks)
    total = tree.num_leaves
    if total > MAX_CLASSES:
        chosen = np.argsort(positions[:total])
        chosen = chosen[np.linspace(0, total - 1, CHOSEN_CLASSES).round().astype(int)]
        classes = np.sort(chosen)
        tree = tree.restrict(classes)
        names = [names[i] for i in classes]
        ranks = None if ranks is None else ranks[classes]
        positions, pure = arrange(tree, ranks)
        title += f"\n{CHOSEN_CLASSES} of {total:,} classes, evenly along the tree"
    if group_title is not None:
        title += f"\nleaves of one node are sorted by {group_title}"

    figure = Figure(figsize=(7.5, 1.6 + _ROW * tree.num_leaves), layout="constrained")
    axes = figure.add_subplot()
    shades = np.array([*colors, MIXED])
    levels = -tree.heights()
    axes.add_collection(
        LineCollection(_lines(tree, levels, positions), colors=shades[pure], lw=1.0)
    )
    leaves = np.arange(tree.num_leaves)
    axes.scatter(
        np.zeros(len(leaves)), positions[leaves],
        s=16, marker="s", c=shades[pure[leaves]], zorder=3, clip_on=False,
    )  # fmt: skip
    axes.yaxis.tick_right()
    axes.set_yticks(
        positions[leaves], [_in_a_line(name) for name in names],
        fontsize=8, fontfamily=FONTS, color=INK, parse_math=False,
    )  # fmt: skip
    axes.set(
        xticks=[], xlim=(levels.min() * 1.02, 0), ylim=(tree.num_leaves - 0.4, -0.6)
    )
    axes.tick_params(length=0, pad=6)
    axes.spines[:].set_visible(False)
    # Names may leave the axes too narrow for a title in its middle.
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    if legend:
        rows = math.ceil(len(legend) / 5)
        columns = math.ceil(len(legend) / rows)
        draw_legend(figure, colors, legend, group_title, "upper center", columns)
    save(figure, path, dpi=130)


def _in_a_line(name):
    # Ticks ask for their names again, later than the figure is looked through.
    return shortened(drawable(name).replace("\n", " "), _NAME_LENGTH)


def _lines(tree, levels, positions):
    """Each node's line from its parent's level, and along the fork to its children."""
    for node, parent in enumerate(tree.parents):
        start = levels[parent] if parent >= 0 else levels[node]
        fork = np.sort(positions[tree.children[node]])
        yield [
            (start, positions[node]),
            *((levels[node], end) for end in (positions[node], *fork)),
        ]
