"""The Poincare disk: data at the rim, latent proxies towards the origin."""

import numpy as np

from keras_hierproxy.pictures.save import save
from keras_hierproxy.pictures.tree_drawing import (
    INK,
    MIXED,
    arrange,
    color_groups,
    draw_legend,
)
from keras_hierproxy.trees import Tree

MAX_POINTS = 1000


def plot_poincare_disk(
    tree, radii, path, groups=None, group_names=(), group_title=None, title="", seed=0
):
    """Draws data and latent proxies in the Poincare disk, with the edges of the tree.

    No map of a hundred dimensions to two keeps both distances and the tree. Here
    radii are true: each node stands as far from the origin as it does in its own
    space. Angles are those of the tree: each subtree has a wedge as wide as it has
    leaves, so that edges do not cross. Where all radii are alike, as those of
    embeddings that are clipped, the radial axis is stretched so that a quarter of
    the latent proxies stands between one circle and the next. The circles are
    labelled, and the caption says what they are.

    Of more than 1,000 points, so many are drawn at random, with their ancestors.

    Args:
        tree: `khp.trees.Tree` whose leaves are points and whose inner nodes are latent
            proxies, as `khp.layers.LatentHierarchy.tree(points)`.
        radii: float array `(n,)`, the distance of each node from the origin as a
            share of the ball's radius, `sqrt(curvature) * norm`.
        path: where to write the picture; its ending gives the format.
        groups: int array `(num_leaves,)`, the super-class of each point, which colours
            it; the eight largest have a colour each. By default one for all.
        group_names: sequence of strings, by super-class.
        group_title: str, what a super-class is called.
        title: str.
        seed: int, of the choice of points.

    Raises:
        ValueError: if a radius is not in [0, 1).
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    radii = np.asarray(radii, dtype="float64")
    if radii.shape != (len(tree),) or not ((radii >= 0) & (radii < 1)).all():
        raise ValueError(
            f"`radii` must hold for each of the {len(tree)} nodes its distance from "
            "the origin as a share of the ball's radius, in [0, 1). Received: shape "
            f"{radii.shape}, values from {radii.min():.3g} to {radii.max():.3g}."
        )
    ranks, colors, legend = color_groups(groups, group_names)
    total = tree.num_leaves
    if total > MAX_POINTS:
        chosen = np.random.default_rng(seed).choice(total, MAX_POINTS, replace=False)
        # Numbered as in `tree`, whatever the ids of that.
        tree = Tree(tree.parents, total).restrict(chosen)
        radii = radii[tree.ids]
        ranks = None if ranks is None else ranks[tree.ids[: tree.num_leaves]]
    positions, pure = arrange(tree, ranks)
    angles = 2 * np.pi * (positions + 0.5) / tree.num_leaves
    axis = _radial_axis(radii, tree.num_leaves)
    drawn = np.interp(radii, *axis)

    figure = Figure(figsize=(9.6, 8.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set(aspect="equal", xlim=(-1.06, 1.06), ylim=(-1.06, 1.06))
    axes.axis("off")
    _draw_circles(axes, *axis)
    leaves = np.arange(tree.num_leaves)
    inner = np.arange(tree.num_leaves, len(tree))
    shades = np.array([*colors, MIXED])
    faint = min(0.9, 300 / tree.num_leaves)
    for nodes, width, alpha, color in (
        (leaves, 0.4, faint, shades[pure[leaves]]),
        (inner[inner != tree.root], 0.9, 1.0, INK),
    ):
        edges = [_edge(angles, drawn, tree.parents[node], node) for node in nodes]
        axes.add_collection(LineCollection(edges, lw=width, alpha=alpha, colors=color))
    axes.scatter(
        *_at(angles[leaves], drawn[leaves]),
        s=9, c=shades[pure[leaves]], linewidths=0, zorder=3,
    )  # fmt: skip
    axes.scatter(
        *_at(angles[inner], drawn[inner]),
        s=20, facecolors="white", edgecolors=INK, linewidths=1.1, zorder=4,
    )  # fmt: skip
    if legend:
        draw_legend(figure, colors, legend, group_title, "right upper")
    axes.set_title(title, fontsize=11, parse_math=False)
    axes.text(
        0.5, -0.01, _caption(tree, total, *axis), transform=axes.transAxes,
        ha="center", va="top", fontsize=8.5, color=INK,
    )  # fmt: skip
    save(figure, path, dpi=130)


def _radial_axis(radii, num_leaves):
    """Radii that get a circle, and where in a disk of radius 1 these are drawn."""
    from matplotlib.ticker import MaxNLocator

    low, high = radii.min(), max(radii.max(), 1e-6)
    if low < 0.5 * high:
        ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(0, high)
        circles = [0, *ticks[(ticks > 0) & (ticks < 0.95 * high)], high]
        return circles, np.divide(circles, high)
    quartiles = np.quantile(radii[num_leaves:], [0.25, 0.5, 0.75])
    inside = [radius for radius in np.unique(quartiles) if low < radius < high]
    circles = [low, *inside, high]
    return circles, np.linspace(0, 1, len(circles))


def _at(angles, radii):
    return radii * np.sin(angles), radii * np.cos(angles)


def _edge(angles, radii, parent, child):
    """From the parent along its circle, then outwards: it meets no other edge."""
    turn = angles[child] - angles[parent]
    steps = 2 + int(abs(turn) / 0.03)
    arc = angles[parent] + turn * np.linspace(0, 1, steps)
    x, y = _at(arc, np.full(steps, radii[parent]))
    end = _at(angles[child], radii[child])
    return np.column_stack([np.append(x, end[0]), np.append(y, end[1])])


def _draw_circles(axes, radii, sizes):
    """Circles of equal distance from the origin, each with what it is."""
    from matplotlib.patches import Circle

    for radius, size in zip(radii[1:], sizes[1:], strict=True):
        axes.add_patch(Circle((0, 0), size, fill=False, ec="#cccccc", lw=0.8, zorder=0))
        axes.text(
            0, size + 0.025, f"{radius:.4g}", fontsize=7.5, color="#666666",
            ha="center", va="center", zorder=2.5,
            bbox={"fc": "white", "ec": "none", "pad": 0.8, "alpha": 0.8},
        )  # fmt: skip


def _caption(tree, total, radii, sizes):
    some = f"{tree.num_leaves:,} of " if tree.num_leaves < total else ""
    lines = [
        f"{some}{total:,} points (dots) under {len(tree) - tree.num_leaves} latent "
        "proxies (rings).",
        "Radius: the true distance from the origin, as a share of the ball's radius;"
        f" from {radii[0]:.4g} at the centre to {radii[-1]:.4g} at the rim.",
        "Angle: the order of the tree, not a distance.",
    ]
    if radii[0] > 0:
        lines[1] += (
            "\nRadii are alike, so the axis is stretched: a quarter of the latent "
            "proxies between one circle and the next."
        )
    return "\n".join(lines)
