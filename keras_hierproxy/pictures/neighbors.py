"""Queries with their nearest neighbours."""

import textwrap

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

    columns = num_neighbors + 1
    figure = Figure(
        figsize=(columns + 1.8, 1.2 * len(chosen) + 0.8), layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    grid = figure.subplots(len(chosen), columns, squeeze=False)
    for row, query, neighbors, near in zip(
        grid, queries[chosen], indices[chosen], similarities[chosen], strict=True
    ):
        _draw(row[0], data.images[query], PLAIN, 1.0)
        row[0].set_ylabel(
            _caption(data, query),
            rotation=0, ha="right", va="center", fontsize=7, parse_math=False,
        )  # fmt: skip
        texts = similarity_texts(near, geometry)
        for axes, neighbor, text in zip(row[1:], neighbors, texts, strict=True):
            if neighbor < 0:  # the query retrieves no more
                axes.set_axis_off()
                continue
            kind, shared = verdict(
                data.labels[query], data.labels[neighbor], data.level_names
            )
            color = COLORS[kind]
            _draw(axes, data.images[neighbor], color, 2.5)
            axes.text(
                0.96, 0.05, SIGNS[kind], transform=axes.transAxes,
                ha="right", va="bottom", color="white", fontsize=8, fontweight="bold",
                bbox={"facecolor": color, "edgecolor": "none", "pad": 1.5},
            )  # fmt: skip
            if kind == "near" and data.num_levels > 2:
                text += f"\nsame {shortened(shared, 14)}"
            axes.set_xlabel(text, fontsize=6, labelpad=2, parse_math=False)
    grid[0, 0].set_title("query", fontsize=8)
    for rank, axes in enumerate(grid[0, 1:], start=1):
        axes.set_title(str(rank), fontsize=8)
    words = legend(data.level_names).items()
    figure.suptitle(
        "   ".join(f"{SIGNS[kind]} {text}" for kind, text in words)
        + f"\nchosen: {len(right)} queries with a right nearest neighbour, "
        f"{len(wrong)} with a wrong one; the numbers are {similarity_name(geometry)}",
        fontsize=10,
        parse_math=False,
    )
    save(figure, path, dpi=110)


def _caption(data, index):
    name = data.class_names[0][data.labels[index, 0]]
    return "\n".join(textwrap.wrap(name.replace("/", "/ "), 16)[:4])


def _draw(axes, image, color, width):
    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=width)
