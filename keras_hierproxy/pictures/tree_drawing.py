"""What the pictures of trees share: where nodes stand, and what colours mean."""

import numpy as np

# Paul Tol's "muted" scheme, safe for the colour-blind, without its olive, which is
# near to sand in thin lines.
PALETTE = (
    "#332288", "#cc6677", "#117733", "#88ccee",
    "#882255", "#ddcc77", "#44aa99", "#aa4499",
)  # fmt: skip
OTHER = "#bbbbbb"
# Branches of several colours, and all that is written.
MIXED, INK = "#777777", "#333333"
# Those that matplotlib brings; the second has letters that the first lacks.
FONTS = ["DejaVu Sans", "DejaVu Serif"]


def color_groups(groups, names):
    """Colours for groups of leaves; a grey for the smallest of too many.

    Args:
        groups: int array `(n,)`, the group of each leaf, or None for no groups.
        names: sequence of strings, by group.

    Returns:
        `(ranks, colors, legend)`: for each leaf the index of its colour, the colours,
        and the text of each.
    """
    if groups is None:
        return None, [PALETTE[0]], []
    counts = np.bincount(groups, minlength=len(names))
    largest = np.argsort(-counts, kind="stable")
    largest = largest[counts[largest] > 0]
    # In the order of their names, so that two pictures of a run agree.
    shown = np.sort(largest[: len(PALETTE)])
    ranks = np.full(len(names), len(shown))
    ranks[shown] = np.arange(len(shown))
    legend = [str(names[group]) for group in shown]
    if len(largest) > len(shown):
        legend.append(f"other ({len(largest) - len(shown)})")
    return ranks[groups], [*PALETTE[: len(shown)], OTHER], legend


def arrange(tree, ranks=None):
    """Puts leaves in a row so that no two subtrees overlap.

    Children stand in the order of their colours, those of most of their leaves.

    Args:
        tree: `khp.trees.Tree`.
        ranks: int array `(num_leaves,)`, the colour of each leaf, or None.

    Returns:
        `(positions, pure)`, both `(n,)`: where each node stands, leaves at 0, 1, 2,
        ... and an inner node in the middle of its own; and the one colour of all
        leaves below it, -1 if they have several.
    """
    ranks = np.zeros(tree.num_leaves, int) if ranks is None else ranks
    votes = np.zeros((len(tree), ranks.max() + 1), int)
    votes[np.arange(tree.num_leaves), ranks] = 1
    for node in tree.order[:0:-1]:
        votes[tree.parents[node]] += votes[node]
    major = votes.argmax(1)
    pure = np.where((votes > 0).sum(1) == 1, major, -1)

    # The position of the first leaf and of the last one.
    ends = np.tile([np.inf, -np.inf], (len(tree), 1))
    waiting, count = [tree.root], 0
    while waiting:
        node = waiting.pop()
        if node < tree.num_leaves:
            ends[node] = count
            count += 1
        children = tree.children[node]
        waiting.extend(children[np.argsort(major[children], kind="stable")[::-1]])
    for node in tree.order[:0:-1]:
        parent = tree.parents[node]
        ends[parent, 0] = min(ends[parent, 0], ends[node, 0])
        ends[parent, 1] = max(ends[parent, 1], ends[node, 1])
    return ends.mean(1), pure


def draw_legend(figure, colors, texts, title, location, columns=1):
    """A legend beside or above all that is drawn."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=color, marker="o", ms=6, ls="", label=text)
        for color, text in zip(colors, texts, strict=False)
    ]
    legend = figure.legend(
        handles=handles, loc=f"outside {location}", title=title, ncols=columns,
        frameon=False, prop={"family": FONTS, "size": 9},
    )  # fmt: skip
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_parse_math(False)
