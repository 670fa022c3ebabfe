import numpy as np
import pytest

from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.report import write_report
from keras_hierproxy.retrieval import score_queries
from tests.report.page import Page

NAMES = [
    [
        "<script>document.title = 'taken'</script>",
        '"><img src=x onerror="document.title = 1">',
        "日本語",
        "עברית",
        "fruit/" + "very-long-" * 20 + "apple",
        "plain & simple",
        "alone",
    ],
    ["<b>kitchen</b>", "garden", "street", "sky"],
]


@pytest.fixture(scope="session")
def data():
    """Six classes of nine images in three super-classes, and an image alone in its."""
    classes = np.append(np.repeat(np.arange(6), 9), 6)
    images = np.random.default_rng(0).integers(0, 256, (55, 20, 24, 3)).astype("uint8")
    labels = np.stack([classes, classes // 2], axis=1)
    return RetrievalDataset(images, labels, NAMES, ["item", "place"], "shop")


@pytest.fixture(scope="session")
def points(data):
    """Embeddings in which about half of the first neighbours are wrong."""
    rng = np.random.default_rng(1)
    places = rng.normal(size=(4, 8))[data.labels[:, 1]]
    items = rng.normal(size=(7, 8))[data.labels[:, 0]]
    return places + items + rng.normal(scale=1.4, size=items.shape)


@pytest.fixture(scope="session")
def scores(data, points):
    return score_queries(**data.retrieval_arguments(points))


@pytest.fixture(scope="session")
def split(data):
    """The same, but one image in three retrieves from the others."""
    is_query = np.arange(len(data)) % 3 == 0
    return RetrievalDataset(data.images, data.labels, NAMES, is_query=is_query)


@pytest.fixture
def write(tmp_path):
    """Writes a report and reads it."""

    def write(data, points, scores=None, **options):
        if scores is None:
            k = [k for k in (1, 2, 4, 8) if k <= data.gallery_size]
            arguments = data.retrieval_arguments(points)
            scores = score_queries(**arguments, k=k, geometry=options.get("geometry"))
        path = tmp_path / "report.html"
        write_report(path, data, points, scores, **options)
        return Page(path.read_text("utf-8"))

    return write
