import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from keras_hierproxy import pictures
from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.retrieval import knn

pytestmark = pytest.mark.host

NUM_CLASSES, PER_CLASS = 6, 5
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def figures(monkeypatch):
    """The figures that are written, for a look at what is drawn in them."""
    written = []
    savefig = Figure.savefig

    def record(figure, *args, **kwargs):
        written.append(figure)
        return savefig(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", record)
    return written


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


def draw(figures, data, points, path, num_queries=6, num_neighbors=5, seed=0):
    """Draws; returns the grid of axes, a row for each query."""
    pictures.plot_neighbors(
        data, points, path, num_queries, num_neighbors, geometry=None, seed=seed
    )
    assert path.read_bytes().startswith(PNG)
    (figure,) = figures
    columns = figure.axes[0].get_gridspec().ncols
    return np.reshape(figure.axes, (-1, columns))


def frame(axes):
    return to_hex(axes.spines["left"].get_edgecolor())


def row_of(data, axes):
    """Which image of `data` an axes shows, told by its first pixel."""
    return int(axes.images[0].get_array().flat[0])


@pytest.fixture
def numbered(data):
    """Each image says by its pixels which row it is."""
    data.images[:] = np.arange(len(data))[:, None, None, None]
    return data


def test_neighbors_stand_in_their_order(figures, numbered, points, tmp_path):
    grid = draw(figures, numbered, points, tmp_path / "n.png")
    indices, _ = knn(points, k=5)
    assert grid.shape == (6, 1 + 5)
    for query, *neighbors in grid:
        shown = [row_of(numbered, axes) for axes in neighbors]
        assert shown == indices[row_of(numbered, query)].tolist()


def test_frames_and_marks_tell_right_near_and_wrong(
    figures, numbered, points, tmp_path
):
    seen = set()
    for query, *neighbors in draw(figures, numbered, points, tmp_path / "n.png"):
        label, parent = numbered.labels[row_of(numbered, query)]
        for axes in neighbors:
            neighbor, its_parent = numbered.labels[row_of(numbered, axes)]
            verdict = (
                (pictures.RIGHT, "✓")
                if neighbor == label
                else (pictures.NEAR, "~")
                if its_parent == parent
                else (pictures.WRONG, "✗")
            )
            assert (frame(axes), axes.texts[0].get_text()) == verdict
            seen.add(verdict)
    assert len(seen) == 3


def test_half_of_the_queries_have_a_wrong_first_neighbor(
    figures, numbered, points, tmp_path
):
    grid = draw(figures, numbered, points, tmp_path / "n.png")
    firsts = [frame(row[1]) == pictures.RIGHT for row in grid]
    assert len(firsts) == 6 and sum(firsts) == 3
    queries = [row_of(numbered, row[0]) for row in grid]
    assert len(set(queries)) == 6


def test_without_mistakes_all_queries_are_right(figures, numbered, tmp_path):
    points = np.eye(NUM_CLASSES)[numbered.labels[:, 0]]
    grid = draw(figures, numbered, points, tmp_path / "n.png")
    assert [frame(row[1]) for row in grid] == [pictures.RIGHT] * 6


def test_fewer_images_than_asked_for(figures, numbered, points, tmp_path):
    few = numbered.subset(np.arange(7))
    grid = draw(figures, few, points[:7], tmp_path / "n.png", 12, 8)
    assert grid.shape == (7, 1 + 6)


def test_the_seed_chooses_the_queries(figures, numbered, points, tmp_path):
    def queries(seed):
        figures.clear()
        path = tmp_path / "n.png"
        grid = draw(figures, numbered, points, path, num_queries=4, seed=seed)
        return [row_of(numbered, row[0]) for row in grid]

    assert queries(0) == queries(0)
    assert queries(0) != queries(1)


def test_names_are_no_formulas_and_may_be_of_any_script(figures, tmp_path):
    names = ["costs $5 or $6_7", "日本語", "fruit/apple/" + "very long " * 30]
    labels = np.repeat(np.arange(3), 2)
    data = RetrievalDataset(np.zeros((6, 8, 8, 3), "uint8"), labels, [names])
    points = np.random.default_rng(0).normal(size=(6, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid = draw(figures, data, points, tmp_path / "n.png")
    captions = {row[0].get_ylabel().replace("\n", " ") for row in grid}
    assert "costs $5 or $6_7" in captions
    assert max(map(len, captions)) < 80


def test_one_level_has_no_near_misses(figures, tmp_path):
    labels = np.arange(8) // 2
    data = RetrievalDataset(np.zeros((8, 8, 8, 1), "uint8"), labels)
    points = np.random.default_rng(0).normal(size=(8, 4))
    grid = draw(figures, data, points, tmp_path / "n.png")
    frames = {frame(axes) for axes in grid[:, 1:].flat}
    assert frames == {pictures.RIGHT, pictures.WRONG}
    assert "~" not in figures[0].get_suptitle()


def test_recall_has_a_panel_a_level_and_a_line_a_k(figures, tmp_path):
    history = {
        "loss": [3.0, 2.0, 1.0],
        "val_recall@10": [0.6, 0.7, 0.9],
        "val_recall@2": [0.1, 0.2, 0.3],
        "val_level1_recall@1": [0.4, 0.5, 0.6],
    }
    path = tmp_path / "recall.png"
    pictures.plot_recall(history, path, ("species", "genus", "not logged"))
    assert path.read_bytes().startswith(PNG)
    species, genus = figures[0].axes
    assert (species.get_title(), genus.get_title()) == ("species", "genus")
    drawn = {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in species.lines
    }
    epochs = [1, 2, 3]
    assert drawn == {
        "K = 2": (epochs, history["val_recall@2"]),
        "K = 10": (epochs, history["val_recall@10"]),
    }
    assert list(genus.lines[0].get_ydata()) == history["val_level1_recall@1"]


def test_another_prefix(figures, tmp_path):
    pictures.plot_recall({"test_recall@1": [0.5]}, tmp_path / "r.png", prefix="test_")
    assert len(figures[0].axes) == 1


def test_a_history_without_recall_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must hold val_recall@K.*Received: loss"):
        pictures.plot_recall({"loss": [1.0]}, tmp_path / "r.png")
