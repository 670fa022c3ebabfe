"""Queries with their nearest neighbours."""

import string
import textwrap

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.pictures.names import shortened
from keras_hierproxy.pictures.retrieved import (
    SIGNS,
    choose_queries,
    legend,
    nearest_images,
    similarity_name,
    similarity_texts,
    verdict,
)
from keras_hierproxy.pictures.save import save

COLORS = {"right": "#1b7837", "near": "#e08214", "wrong": "#b2182b"}
PLAIN = "#444444"
# In inches: of the title, of what an image has with its texts, of its longer side, and
# of the picture at least.
TOP = 0.75
CELL_WIDTH, CELL_HEIGHT = 1.0, 1.24
IMAGE = 0.88
LEAST_WIDTH = 7.6


def plot_neighbors(
    data,
    points,
    path,
    num_queries=12,
    num_neighbors=8,
    geometry=None,
    seed=0,
    scores=None,
):
    """Draws queries with their nearest neighbours, right and wrong ones marked.

    A half of the queries, if there are so many, have a wrong first neighbour. A
    neighbour of another class is amber if it shares a coarser level with the query,
    else red; where there are several coarser levels, the finest that it shares stands
    below it. So does its similarity: the cosine, or on the ball the distance.

    Args:
        data: `khp.datasets.RetrievalDataset` of n images.
        points: float array `(n, d)`, their embeddings.
        path: where to write the picture; its ending gives the format.
        num_queries: int, rows; fewer if there are fewer images.
        num_neighbors: int, columns; fewer if there are fewer images.
        geometry: where the points live; the sphere by default.
        seed: int, of the choice of queries.
        scores: `khp.retrieval.QueryScores` of these points, which hold neighbours:
            nothing is searched again. By default the points are searched.
    """
    from matplotlib.figure import Figure

    num_queries = checks.integer("num_queries", num_queries, least=1)
    num_neighbors = checks.integer("num_neighbors", num_neighbors, least=1)
    num_neighbors = min(num_neighbors, data.gallery_size)
    queries, indices, similarities = nearest_images(
        data, points, num_neighbors, geometry, scores
    )
    first_right = data.labels[queries, 0] == data.labels[indices[:, 0], 0]
    right, wrong = choose_queries(first_right, num_queries, seed)
    chosen = [*right, *wrong]

    # All in one axes, in inches from the upper left corner: with one for each image a
    # picture takes four times as long.
    columns = num_neighbors + 1
    captions = [_caption(data, query) for query in queries[chosen]]
    left = 0.15 + max(map(_width, captions), default=0)
    width = max(left + columns * CELL_WIDTH + 0.1, LEAST_WIDTH)
    height = TOP + len(chosen) * CELL_HEIGHT
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    words = legend(data.level_names).items()
    axes.text(
        width / 2, 0.06,
        "   ".join(f"{SIGNS[kind]} {text}" for kind, text in words)
        + f"\nchosen: {len(right)} queries with a right nearest neighbour, "
        f"{len(wrong)} with a wrong one; the numbers are {similarity_name(geometry)}",
        ha="center", va="top", fontsize=10, parse_math=False,
    )  # fmt: skip
    for column, title in enumerate(["query", *range(1, columns)]):
        middle = left + (column + 0.5) * CELL_WIDTH
        axes.text(middle, TOP - 0.05, title, ha="center", va="bottom", fontsize=8)
    for row, (place, caption) in enumerate(zip(chosen, captions, strict=True)):
        query, neighbors, near = queries[place], indices[place], similarities[place]
        _draw(axes, left, row, data.images[query], PLAIN, 1.0)
        axes.text(
            left - 0.05, TOP + row * CELL_HEIGHT + IMAGE / 2, caption,
            ha="right", va="center", fontsize=7, parse_math=False,
        )  # fmt: skip
        texts = similarity_texts(near, geometry)
        for rank, (neighbor, text) in enumerate(zip(neighbors, texts, strict=True), 1):
            if neighbor < 0:  # the query retrieves no more
                break
            at = left + rank * CELL_WIDTH
            kind, shared = verdict(
                data.labels[query], data.labels[neighbor], data.level_names
            )
            x, y = _draw(axes, at, row, data.images[neighbor], COLORS[kind], 2.5)
            axes.text(
                x - 0.04, y - 0.05, SIGNS[kind],
                ha="right", va="bottom", color="white", fontsize=8, fontweight="bold",
                bbox={"facecolor": COLORS[kind], "edgecolor": "none", "pad": 1.5},
            )  # fmt: skip
            if kind == "near" and data.num_levels > 2:
                text += f"\nsame {shortened(shared, 12)}"
            axes.text(
                at + CELL_WIDTH / 2, y + 0.05, text,
                ha="center", va="top", fontsize=6, parse_math=False,
            )  # fmt: skip
    save(figure, path, dpi=110)


def _caption(data, index):
    name = data.class_names[0][data.labels[index, 0]]
    return "\n".join(textwrap.wrap(name.replace("/", "/ "), 16)[:4])


def _width(caption):
    """At least as wide as a caption is, in inches: capitals and all scripts but Latin
    may be twice as wide as other letters."""
    narrow = set(string.printable) - set(string.ascii_uppercase + "mw@%")
    return max(
        sum(0.07 if letter in narrow else 0.115 for letter in line)
        for line in caption.split("\n")
    )


def _draw(axes, left, row, image, color, line_width):
    """Draws an image with its frame; returns the lower right corner, `(x, y)`."""
    from matplotlib.patches import Rectangle

    height, width = IMAGE * np.divide(image.shape[:2], max(image.shape[:2]))
    x = left + (CELL_WIDTH + width) / 2
    y = TOP + row * CELL_HEIGHT + (IMAGE + height) / 2
    axes.imshow(
        image.squeeze(), cmap="gray", vmin=0, vmax=255,
        extent=(x - width, x, y, y - height), aspect="auto",
    )  # fmt: skip
    axes.add_patch(
        Rectangle(
            (x - width, y - height),
            width,
            height,
            fill=False,
            edgecolor=color,
            linewidth=line_width,
        )
    )
    return x, y
