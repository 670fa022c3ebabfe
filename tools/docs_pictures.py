"""Draws the pictures of the documentation, in light and in dark, as SVG files.

`python tools/docs_pictures.py` writes docs/pictures/*-light.svg and *-dark.svg, the
same bytes each time.
"""

import json
import pathlib

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np

import keras_hierproxy as khp

PROJECT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = PROJECT / "docs" / "pictures"
CLASSES = ("#2a9d8f", "#e76f51", "#7b6fd0", "#e0a526")
# Ink, soft ink, paper: of the site's two schemes.
SCHEMES = {
    "light": ("#22282e", "#8a949e", "#ffffff"),
    "dark": ("#e3e6ea", "#7f8894", "#1e2129"),
}
STYLE = {
    "svg.hashsalt": "keras_hierproxy",
    "savefig.transparent": True,
    "font.family": "DejaVu Sans",
    "font.size": 10,
}


def proxies(figure, ink, soft, paper):
    """What a proxy loss pulls and pushes, and what a loss over pairs does."""
    axes = figure.subplots(1, 2)
    rng = np.random.default_rng(3)
    centers = np.radians([90, 215, 330])
    points = [rng.normal(center, 0.22, 7) for center in centers]
    for axis, title in zip(axes, ("over pairs", "over proxies"), strict=True):
        _circle(axis, soft)
        axis.set_title(title, color=ink)
        for angles, color in zip(points, CLASSES, strict=False):
            axis.plot(*_at(angles), "o", color=color, ms=6, mec=paper, mew=0.6)
    everyone = np.concatenate(points)
    for i, one in enumerate(everyone):
        for j in range(i):
            same = i // 7 == j // 7
            color, width = (CLASSES[i // 7], 0.9) if same else (soft, 0.25)
            axes[0].plot(
                *zip(_at(one), _at(everyone[j]), strict=True),
                color=color,
                lw=width,
                zorder=0,
            )
    for number, (center, color) in enumerate(zip(centers, CLASSES, strict=False)):
        for other, angles in enumerate(points):
            for angle in angles:
                axes[1].plot(
                    *zip(_at(center, 0.78), _at(angle), strict=True),
                    color=color if other == number else soft,
                    lw=0.9 if other == number else 0.25,
                    zorder=0,
                )
        axes[1].plot(*_at(center, 0.78), "*", color=color, ms=19, mec=paper, mew=1)


def hierarchy(figure, ink, soft, paper):
    """A tree of classes, and where its proxies stand."""
    tree, circle = figure.subplots(1, 2, width_ratios=(1.35, 1))
    names = ("apple", "pear", "plum", "milk", "juice", "leek", "onion")
    parents = (0, 0, 0, 1, 1, 2, 2)
    groups = ("fruit", "drinks", "vegetables")
    xs = np.arange(len(names))
    for name, x, parent in zip(names, xs, parents, strict=True):
        top = xs[np.equal(parents, parent)].mean()
        tree.plot([x, top], [0, 1], color=soft, lw=1, zorder=0)
        tree.plot(x, 0, "*", color=CLASSES[parent], ms=15, mec=paper)
        tree.text(x, -0.2, name, ha="center", va="top", color=ink)
    for number, name in enumerate(groups):
        x = xs[np.equal(parents, number)].mean()
        tree.plot(x, 1, "D", color=CLASSES[number], ms=11, mec=paper)
        tree.text(x, 1.2, name, ha="center", va="bottom", color=ink)
    tree.text(-0.75, 0, "level 0", ha="right", va="center", color=soft)
    tree.text(-0.75, 1, "level 1", ha="right", va="center", color=soft)
    tree.set(xlim=(-2.1, 6.6), ylim=(-0.6, 1.65))
    tree.axis("off")

    _circle(circle, soft)
    angles = np.radians([50, 78, 127, 205, 240, 315, 350])
    for angle, parent in zip(angles, parents, strict=True):
        coarse = angles[np.equal(parents, parent)].mean()
        circle.plot(
            *zip(_at(angle), _at(coarse), strict=True), color=soft, lw=0.8, zorder=0
        )
        circle.plot(*_at(angle), "*", color=CLASSES[parent], ms=15, mec=paper)
        circle.plot(*_at(coarse, 0.985), "D", color=CLASSES[parent], ms=9, mec=paper)


def geometry(figure, ink, soft, paper):
    """A tree in the Poincare disk, and how distances grow towards its edge."""
    disk, curve = figure.subplots(1, 2)
    _circle(disk, soft)
    _grow(disk, 0j, 0.0, 4, 0, ink, paper)
    disk.plot(0, 0, "D", color=ink, ms=7, mec=paper)

    ball = khp.geometry.PoincareBall(curvature=1.0, clip_radius=None)
    radii = np.linspace(0, 0.985, 80)
    points = np.stack([radii, np.zeros_like(radii)], axis=1)
    distances = ball.exact_distance(np.zeros_like(points), points)
    curve.plot(radii, distances, color=CLASSES[0], lw=2.2, label="hyperbolic")
    curve.plot(radii, 2 * radii, color=soft, lw=1.4, ls="--", label="straight")
    curve.set(xlabel="distance from the origin, as drawn", xlim=(0, 1), ylim=(0, 5))
    curve.set_ylabel("distance from the origin, in the ball")
    curve.legend(frameon=False, labelcolor=ink, loc="upper left")
    curve.spines[["top", "right"]].set_visible(False)
    curve.spines[["left", "bottom"]].set_color(soft)
    curve.tick_params(colors=soft)
    curve.xaxis.label.set_color(ink)
    curve.yaxis.label.set_color(ink)


def evaluation(figure, ink, soft, paper):
    """Three queries, what they retrieve, and their scores."""
    axis = figure.subplots()
    rows = np.array([[1, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1], [0, 0, 1, 0, 0, 0]], bool)
    positives = np.array([3, 3, 1])
    scores = [
        khp.retrieval.recall_at_k(rows, positives, 1),
        khp.retrieval.recall_at_k(rows, positives, 2),
        khp.retrieval.r_precision(rows, positives),
        khp.retrieval.map_at_r(rows, positives),
    ]
    for y, relevance in enumerate(rows):
        axis.add_patch(_tile(-1.6, -y, CLASSES[2], paper))
        axis.text(-1.6, -y, "query", ha="center", va="center", color=paper, size=9)
        for x, hit in enumerate(relevance):
            axis.add_patch(_tile(x, -y, CLASSES[0] if hit else soft, paper))
            if x < positives[y]:
                axis.plot([x - 0.42, x + 0.42], [-y - 0.47] * 2, color=ink, lw=2)
        for column, values in enumerate(scores):
            axis.text(
                7.2 + 1.5 * column, -y, f"{values[y]:.2f}", ha="center", color=ink
            )
    for x in range(rows.shape[1]):
        axis.text(x, 0.62, x + 1, ha="center", color=soft)
    for column, name in enumerate(("R@1", "R@2", "R-Prec.", "MAP@R")):
        axis.text(7.2 + 1.5 * column, 0.62, name, ha="center", color=ink, weight="bold")
        mean = scores[column].mean()
        axis.text(7.2 + 1.5 * column, -3, f"{mean:.2f}", ha="center", color=CLASSES[1])
    axis.text(5.5, -3, "mean", ha="right", color=CLASSES[1])
    axis.set(xlim=(-2.3, 12.5), ylim=(-3.4, 1.1), aspect="equal")
    axis.axis("off")


def heads(figure, ink, soft, paper):
    """What each method adds to its base, on each data set, with intervals."""
    found = json.loads((PROJECT / "benchmarks" / "heads.json").read_text())
    found = [
        each
        for each in found
        if "differences" in each and each["photos"] == each["classes"] == 1
    ]
    data = list(dict.fromkeys(each["data"] for each in found))
    methods = list(dict.fromkeys(each["method"] for each in found))
    against = {each["method"]: each["against"] for each in found}
    metrics = {"recall@1": "Recall@1", "map@r": "MAP@R", "h_ap": "H-AP"}
    axes = figure.subplots(1, len(data), sharex=True, sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, data, strict=True):
        axis.axvline(0, color=soft, lw=1, zorder=0)
        for each in found:
            if each["data"] != name:
                continue
            for number, (metric, label) in enumerate(metrics.items()):
                gap, half = each["differences"][metric]
                axis.errorbar(
                    gap,
                    methods.index(each["method"]) + 0.24 * (number - 1),
                    xerr=half,
                    fmt="osD"[number],
                    color=CLASSES[number],
                    ms=4.5,
                    mec=paper,
                    mew=0.5,
                    elinewidth=1.3,
                    label=label,
                )
        axis.set_title(name, color=ink)
        axis.set_yticks(
            range(len(methods)), [f"{each}\nless {against[each]}" for each in methods]
        )
        axis.locator_params(axis="x", nbins=4)
        axis.tick_params(colors=soft, labelsize=8)
        axis.tick_params(axis="y", labelcolor=ink, length=0)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.spines["bottom"].set_color(soft)
        axis.grid(axis="y", color=soft, alpha=0.15)
    axis.invert_yaxis()
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles[: len(metrics)],
        labels[: len(metrics)],
        loc="outside upper center",
        ncols=len(metrics),
        frameon=False,
        labelcolor=ink,
    )


def _circle(axis, color):
    angles = np.linspace(0, 2 * np.pi, 200)
    axis.plot(np.cos(angles), np.sin(angles), color=color, lw=1, zorder=0)
    axis.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), aspect="equal")
    axis.axis("off")


def _at(angle, radius=1.0):
    return radius * np.cos(angle), radius * np.sin(angle)


def _tile(x, y, color, edge):
    return plt.Rectangle((x - 0.4, y - 0.4), 0.8, 0.8, fc=color, ec=edge)


def _moved(point, center):
    """A point of the disk, after the motion that brings 0 to `center`."""
    return (point + center) / (1 + np.conj(center) * point)


def _grow(axis, node, direction, depth, color, ink, paper):
    """Children of a node, all as far from it in hyperbolic distance, and theirs."""
    if not depth:
        return
    first = depth == 4
    turns = np.radians([90, 210, 330]) if first else np.radians([-52, 52])
    for number, turn in enumerate(turns):
        shade = CLASSES[number] if first else color
        step = 0.52 * np.exp(1j * (direction + turn))
        child = _moved(step, node)
        edge = _moved(np.linspace(0, 1, 20) * step, node)
        axis.plot(edge.real, edge.imag, color=shade, lw=0.5 + 0.35 * depth, zorder=0)
        # The direction in which the edge arrives.
        heading = np.angle(edge[-1] - edge[-2])
        # Children are placed around 0, then moved: what the motion turns is undone.
        turned = np.angle(_moved(1e-4, child) - child)
        _grow(axis, child, heading - turned, depth - 1, shade, ink, paper)
        axis.plot(
            child.real, child.imag, "o", color=shade, ms=1.5 + 1.6 * depth, mec=paper
        )


PICTURES = {
    "proxies": (proxies, (7.2, 3.7)),
    "hierarchy": (hierarchy, (8.4, 3.3)),
    "geometry": (geometry, (7.6, 3.7)),
    "evaluation": (evaluation, (8.0, 2.5)),
    "heads": (heads, (9.6, 7.2)),
}


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, (draw, size) in PICTURES.items():
        for scheme, (ink, soft, paper) in SCHEMES.items():
            with plt.rc_context(STYLE):
                figure = plt.figure(figsize=size, layout="constrained")
                draw(figure, ink, soft, paper)
                path = FOLDER / f"{name}-{scheme}.svg"
                figure.savefig(path, metadata={"Date": None})
                plt.close(figure)


if __name__ == "__main__":
    main()
