import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from matplotlib.colors import to_hex

from keras_hierproxy import pictures
from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.pictures.neighbors import COLORS
from keras_hierproxy.pictures.retrieved import (
    SIGNS,
    legend,
    similarity_texts,
    verdict,
)
from keras_hierproxy.retrieval import knn

pytestmark = pytest.mark.host

NUM_CLASSES, PER_CLASS = 6, 5
RIGHT, NEAR, WRONG = COLORS.values()
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def data():
    """Three super-classes of two classes of five images."""
    classes = np.repeat(np.arange(NUM_CLASSES), PER_CLASS)
    images = np.zeros((len(classes), 8, 8, 1), "uint8")
    return RetrievalDataset(images, np.stack([classes, classes // 2], axis=1))


@pytest.fixture
def points(data):
    """Embeddings in which some first neighbours are wrong, and some right."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(NUM_CLASSES, 8))[data.labels[:, 0]]
    return directions + rng.normal(scale=0.9, size=directions.shape)


@dataclass
class Cell:
    """An image as it is drawn, with the texts on it and below."""

    row: int  # of `data`, told by its first pixel
    frame: str
    sign: str
    below: str


def draw(figures, data, points, path, num_queries=6, num_neighbors=5, seed=0):
    """Draws; returns a list of cells for each query, its own first."""
    pictures.plot_neighbors(
        data, points, path, num_queries, num_neighbors, geometry=None, seed=seed
    )
    assert path.read_bytes().startswith(PNG)
    (figure,) = figures
    (axes,) = figure.axes
    rows = {}
    for image, frame in zip(axes.images, axes.patches, strict=True):
        left, right, bottom, top = image.get_extent()
        np.testing.assert_allclose(frame.get_bbox().extents, [left, top, right, bottom])
        sign = below = ""
        for text in axes.texts:
            x, y = text.get_position()
            if left < x < right and top < y < bottom:
                sign = text.get_text()
            elif left < x < right and bottom < y < bottom + 0.1:
                below = text.get_text()
        pixel = int(image.get_array().flat[0])
        cell = Cell(pixel, to_hex(frame.get_edgecolor()), sign, below)
        rows.setdefault(top, []).append(cell)
    return list(rows.values())


def title(figures):
    return figures[0].axes[0].texts[0].get_text()


@pytest.fixture
def numbered(data):
    """Each image says by its pixels which row it is."""
    data.images[:] = np.arange(len(data))[:, None, None, None]
    return data


def test_neighbors_stand_in_their_order(figures, numbered, points, tmp_path):
    grid = draw(figures, numbered, points, tmp_path / "n.png")
    indices, _ = knn(points, k=5)
    assert [len(row) for row in grid] == [1 + 5] * 6
    for query, *neighbors in grid:
        assert [cell.row for cell in neighbors] == indices[query.row].tolist()


def test_frames_and_marks_tell_right_near_and_wrong(
    figures, numbered, points, tmp_path
):
    seen = set()
    for query, *neighbors in draw(figures, numbered, points, tmp_path / "n.png"):
        label, parent = numbered.labels[query.row]
        for cell in neighbors:
            neighbor, its_parent = numbered.labels[cell.row]
            verdict = (
                (RIGHT, "✓")
                if neighbor == label
                else (NEAR, "~")
                if its_parent == parent
                else (WRONG, "✗")
            )
            assert (cell.frame, cell.sign) == verdict
            seen.add(verdict)
    assert len(seen) == 3


def test_half_of_the_queries_have_a_wrong_first_neighbor(
    figures, numbered, points, tmp_path
):
    grid = draw(figures, numbered, points, tmp_path / "n.png")
    firsts = [row[1].frame == RIGHT for row in grid]
    assert len(firsts) == 6 and sum(firsts) == 3
    assert len({row[0].row for row in grid}) == 6


def test_without_mistakes_all_queries_are_right(figures, numbered, tmp_path):
    points = np.eye(NUM_CLASSES)[numbered.labels[:, 0]]
    grid = draw(figures, numbered, points, tmp_path / "n.png")
    assert [row[1].frame for row in grid] == [RIGHT] * 6


def test_fewer_images_than_asked_for(figures, numbered, points, tmp_path):
    few = numbered.subset(np.arange(7))
    grid = draw(figures, few, points[:7], tmp_path / "n.png", 12, 8)
    assert [len(row) for row in grid] == [1 + 6] * 7


def test_queries_retrieve_from_the_gallery(figures, numbered, points, tmp_path):
    is_query = np.arange(len(numbered)) % 3 == 0
    split = RetrievalDataset(numbered.images, numbered.labels, is_query=is_query)
    for query, *neighbors in draw(figures, split, points, tmp_path / "n.png"):
        assert is_query[query.row]
        assert not is_query[[cell.row for cell in neighbors]].any()


def test_the_seed_chooses_the_queries(figures, numbered, points, tmp_path):
    def queries(seed):
        figures.clear()
        path = tmp_path / "n.png"
        grid = draw(figures, numbered, points, path, num_queries=4, seed=seed)
        return [row[0].row for row in grid]

    assert queries(0) == queries(0)
    assert queries(0) != queries(1)


@pytest.mark.filterwarnings("ignore:Glyph .* missing")
def test_names_are_no_formulas_and_may_be_of_any_script(figures, tmp_path):
    names = [
        "costs $5 or $6_7",
        "日本語" + "W" * 13,
        "fruit/apple/" + "very long " * 30,
    ]
    labels = np.repeat(np.arange(3), 2)
    data = RetrievalDataset(np.zeros((6, 8, 8, 3), "uint8"), labels, [names])
    points = np.random.default_rng(0).normal(size=(6, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(figures, data, points, tmp_path / "n.png")
    axes = figures[0].axes[0]
    edge = axes.images[0].get_extent()[0]
    left = [text for text in axes.texts if text.get_position()[0] < edge]
    captions = {text.get_text().replace("\n", " ") for text in left}
    for text in left:
        assert text.get_window_extent().x0 > 0, text
    assert "costs $5 or $6_7" in captions and len(captions) == 3
    assert max(map(len, captions)) < 80


def test_one_level_has_no_near_misses(figures, tmp_path):
    labels = np.arange(8) // 2
    data = RetrievalDataset(np.zeros((8, 8, 8, 1), "uint8"), labels)
    points = np.random.default_rng(0).normal(size=(8, 4))
    grid = draw(figures, data, points, tmp_path / "n.png")
    assert {cell.frame for row in grid for cell in row[1:]} == {RIGHT, WRONG}
    assert "~" not in title(figures)


def test_below_a_neighbor_stands_which_level_it_shares(figures, tmp_path):
    """Of four levels, as in the report; and its similarity."""
    classes = np.repeat(np.arange(12), 4)
    labels = np.stack([classes, classes // 2, classes // 4, classes // 8], axis=1)
    images = np.zeros((48, 8, 8, 1), "uint8") + np.arange(48)[:, None, None, None]
    names = ("product", "colour", "type", "season")
    data = RetrievalDataset(images.astype("uint8"), labels, level_names=names)
    points = np.random.default_rng(0).normal(size=(48, 3))
    seen = set()
    indices, similarities = knn(points, k=5)
    for query, *neighbors in draw(figures, data, points, tmp_path / "n.png"):
        texts = similarity_texts(similarities[query.row], None)
        for cell, text in zip(neighbors, texts, strict=True):
            shared = labels[query.row] == labels[cell.row]
            if shared[0] or not shared.any():
                assert cell.below == text
                assert cell.sign == ("✓" if shared[0] else "✗")
            else:
                level = names[shared.argmax()]
                assert cell.below == f"{text}\nsame {level}" and cell.sign == "~"
                seen.add(level)
    assert seen == {"colour", "type", "season"}
    for kind, words in legend(names).items():
        assert f"{SIGNS[kind]} {words}" in title(figures)
    assert "same colour, type or season" in title(figures)


def test_no_class_is_shared_by_none():
    names = ("item", "place")
    assert verdict(np.array([1, 0]), np.array([-1, 0]), names) == ("near", "place")
    assert verdict(np.array([-1, -1]), np.array([-1, -1]), names) == ("wrong", "")
    assert verdict(np.array([1, 0]), np.array([1, 0]), names) == ("right", "item")


@pytest.mark.parametrize(
    "geometry, similarities, texts",
    [
        (Sphere(), [0.9, 0.5, -0.25], ["0.900", "0.500", "-0.250"]),
        (Sphere(), [0.99991, 0.99987, 0.5], ["0.99991", "0.99987", "0.50000"]),
        (Sphere(), [1, 0.9999999, 0.9999998], ["1.0000000", "0.9999999", "0.9999998"]),
        (Sphere(), [1, 1, 1], ["1.000"] * 3),
        (Sphere(), [-1e-5], ["-1.000e-05"]),
        (Sphere(), [0.5, -1e-9], ["0.500", "0.000"]),
        (PoincareBall(), [-0.0, -3.25], ["0.000", "3.250"]),
        (PoincareBall(), [-1e-6, -2e-6], ["1.000e-06", "2.000e-06"]),
        (None, [], []),
    ],
)
def test_digits_tell_neighbors_apart(geometry, similarities, texts):
    shown = similarity_texts(np.array(similarities, "float32"), geometry)
    assert shown == texts


@pytest.mark.parametrize("name", ["num_queries", "num_neighbors"])
@pytest.mark.parametrize("number", [0, -1, 2.5, True, "3"])
def test_numbers_that_are_none(name, number, data, points, tmp_path):
    path = tmp_path / "neighbors.png"
    with pytest.raises(ValueError, match=f"`{name}` must be a positive int"):
        pictures.plot_neighbors(data, points, path, **{name: number})
    assert not path.exists()
