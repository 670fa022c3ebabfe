import doctest
import os
import re

import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.datasets import ImageFiles, RetrievalDataset
from keras_hierproxy.pictures.retrieved import similarity_texts
from keras_hierproxy.report import classes, write, write_report
from keras_hierproxy.retrieval import knn, score_queries

pytestmark = pytest.mark.host


@pytest.fixture
def page(write, data, points, scores):
    facts = [("Model", "conv4 <small>"), ("Split", "test")]
    return write(data, points, scores, title="Shop & co", facts=facts)


def test_title_and_facts(page):
    assert "<title>Shop &amp; co</title>" in page.source
    assert "Model conv4 <small> Split test" in page.text


def test_numbers_have_intervals(page, scores):
    header, rows = page.table(None)
    assert header == ["Metric", "item", "place"]
    means, intervals = scores.means(), scores.intervals()
    by_class = scores.means("class")
    cells = {title: values for title, *values in rows}
    for title, name in (("Recall@4", "recall@4"), ("MAP@R", "map@r")):
        for cell, key in zip(cells[title], (name, f"level1_{name}"), strict=True):
            low, high = intervals[key]
            number = f"{means[key]:.3f} {low:.3f} – {high:.3f}"
            assert cell == f"{number} {by_class[key]:.3f} by class"
    assert cells["Counted"] == ["54", "54"] and cells["Left out"] == ["1", "1"]
    assert all(text in page.text for text in scores.conventions.values())


def test_names_are_text(page, data):
    # The one script and the favicon are the page's own.
    assert len(page.all("script")) == 1
    assert not page.all("b", onerror="document.title = 1")
    assert not [
        attributes for _, attributes in page.elements if "onerror" in attributes
    ]
    for name in data.class_names[0]:
        shown = name if len(name) <= 80 else name[:26] + "…" + name[-53:]
        assert shown in page.text


def test_nothing_comes_from_elsewhere(page):
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy[0]["content"].startswith("default-src 'none'; img-src data:;")
    for _, attributes in page.elements:
        for name in ("src", "href", "action", "poster", "srcset", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert not re.search(r"url\(|@import|https?:", page.source)


def neighbors_shown(page):
    """The alternative texts of each query and its neighbours, in their order."""
    rows = []
    for image in page.all("img"):
        if image["alt"].startswith("Query: "):
            rows.append([image["alt"][7:]])
        elif image["alt"][0].isdigit():
            rows[-1].append(image["alt"])
    return [row for row in rows if len(row) > 1]


@pytest.mark.parametrize("kind", ["data", "split"])
def test_queries_are_shown_with_their_neighbors(kind, request, write, points):
    data = request.getfixturevalue(kind)
    page = write(data, points)
    rows = neighbors_shown(page)
    assert len(rows) == 12
    titles = [image["title"] for image in page.all("img")]
    queries = np.flatnonzero(data.is_query) if kind == "split" else np.arange(len(data))
    gallery = np.flatnonzero(~data.is_query) if kind == "split" else queries
    others = None if kind == "data" else points[gallery]
    indices, similarities = knn(points[queries], others, k=8)
    place = 0
    seen = set()
    for _, *neighbors in rows:
        query = int(titles[place].removeprefix("image "))
        found = [int(t.removeprefix("image ")) for t in titles[place + 1 : place + 9]]
        at = np.flatnonzero(queries == query)[0]
        assert found == gallery[indices[at]].tolist()
        for alt, row in zip(neighbors, found, strict=True):
            same = data.labels[row] == data.labels[query]
            verdict = "right" if same[0] else "wrong"
            if same[1] and not same[0]:
                verdict += f", same {data.level_names[1]}"
            assert alt.endswith(f", {verdict}")
            seen.add(verdict)
        assert similarity_texts(similarities[at], None)[0] in page.text
        place += 9
    assert len(seen) == 3


def test_pairs_and_classes_are_tables(page, data):
    header, rows = page.table("pairs-table")
    assert header == ["Query", "First neighbour", "Queries", "Share of class", "place"]
    counts = [int(row[2]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    header, rows = page.table("classes-table")
    assert header == [
        "item", "Queries", "Recall@1", "R-Precision", "MAP@R",
        "Most mistaken for", "Times", "place",
    ]  # fmt: skip
    assert len(rows) == data.num_classes
    assert rows[-1] == ["alone", "1", "–", "–", "–", "", "0", "sky"]


def test_errors_within_a_super_class_are_summed_up(page):
    assert re.search(
        r"[\d]+ of 54 queries have a wrong first neighbour \(\d+%\)\. "
        r"[\d.]+% of errors stay within the same place; of random ones [\d.]+% would",
        page.text,
    )


def test_gallery_is_named(write, split, points):
    page = write(split, points)
    assert "from a gallery of 36 images" in page.text


def test_without_errors(write, data):
    page = write(data, np.eye(7)[data.labels[:, 0]])
    assert "No first neighbour is wrong." in page.text
    assert "Wrong first neighbour" not in page.text
    assert len(neighbors_shown(page)) == 12


def test_one_level(write, data, points):
    one = RetrievalDataset(data.images, data.labels[:, 0])
    page = write(one, points)
    assert "of errors stay" not in page.text and "~" not in page.text
    assert page.table("classes-table")[0][-1] == "Times"


def test_two_images_of_one_class(write):
    data = RetrievalDataset(np.zeros((2, 8, 8, 1), "uint8"), [0, 0])
    page = write(data, np.eye(2))
    assert "1.000 1.000 – 1.000" in page.text
    assert "Recall curve" not in page.text


def test_no_query_has_a_positive(write):
    data = RetrievalDataset(np.zeros((3, 8, 8, 1), "uint8"), [0, 1, 2])
    page = write(data, np.eye(3))
    assert "No query has a positive to find." in page.text
    assert [row[2] for row in page.table("classes-table")[1]] == ["–"] * 3


def test_graded_metrics_span_the_levels(write, data, points):
    scores = score_queries(
        **data.retrieval_arguments(points), metrics=["ndcg", "nmi", "map"]
    )
    page = write(data, points, scores)
    _, rows = page.table(None)
    (ndcg,) = [row for row in rows if row[0] == "NDCG"]
    assert len(ndcg) == 2 and ndcg[1].endswith("over all levels")
    (nmi,) = [row for row in rows if row[0] == "NMI"]
    assert nmi[1] == f"{scores.means()['nmi']:.3f}"
    assert "MAP" in page.table("classes-table")[0]


def test_the_ball_has_distances(write, data, points):
    ball = khp.geometry.PoincareBall()
    inside = points / 20
    page = write(data, inside, geometry=ball)
    _, similarities = knn(inside, k=1, geometry=ball)
    assert "The numbers are distances." in page.text
    shown = [float(text) for text in re.findall(r"<small>(-?\d\.\d+)", page.source)]
    assert min(shown) >= round(-float(similarities.max()), 3) > 0


def test_image_files_and_their_paths(write, data, points, tmp_path):
    from PIL import Image

    paths = [tmp_path / "photos" / f"{i}.png" for i in range(len(data))]
    paths[0].parent.mkdir()
    for path, pixels in zip(paths, data.images, strict=True):
        Image.fromarray(pixels).save(path)
    files = ImageFiles(paths, (150, 160))
    page = write(RetrievalDataset(files, data.labels), points)
    titles = {image["title"] for image in page.all("img")}
    assert titles <= {path.name for path in paths}
    assert str(tmp_path) not in page.source


def test_names_that_are_no_unicode(write, data, points):
    names = [[os.fsdecode(b"caf\xe9"), *"bcdefg"], list("wxyz")]
    page = write(RetrievalDataset(data.images, data.labels, names), points)
    assert "caf?" in page.text


def test_the_file_is_small_whatever_is_in_it(monkeypatch, write):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (60, 200, 200, 3)).astype("uint8")
    names = [[f"{i}{'<日' * 100}" for i in range(30)]]
    monkeypatch.setattr(classes, "MAX_BYTES", 10_000)
    points = rng.normal(size=(60, 4))
    page = write(RetrievalDataset(noise, np.arange(60) // 2, names), points)

    images = [len(image["src"]) for image in page.all("img")]
    assert len(images) == 12 * 9 + 12 * 2 and sum(images) < 3e6
    rows = len(page.table("classes-table")[1])
    assert 10 < rows < 30 and f"The {rows} worst of 30 classes" in page.text
    table = page.source.partition('id="classes-table"')[2].partition("</table>")[0]
    assert 6_000 < len(table.encode()) < 10_000 + 1_000


def test_an_old_report_stays_until_the_new_one_is_whole(
    data, points, scores, tmp_path, monkeypatch
):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            write_report(path, data, points, scores)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    write_report(path, data, points, scores)
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_the_same_input_gives_the_same_file(data, points, scores, tmp_path):
    for name in "ab":
        write_report(tmp_path / name, data, points, scores)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_does_not_fit_is_refused_before_the_search(
    data, points, scores, split, tmp_path, monkeypatch
):
    monkeypatch.setattr(write, "search_neighbors", lambda *_: pytest.fail("searched"))
    path = tmp_path / "report.html"
    with pytest.raises(ValueError, match="points must hold a row for each of the 55"):
        write_report(path, data, points[:-1], scores)
    with pytest.raises(ValueError, match="scores must be of the 19 queries"):
        write_report(path, split, points, scores)
    floats = RetrievalDataset(data.images / 255, data.labels)
    with pytest.raises(ValueError, match="must be uint8"):
        write_report(path, floats, points, scores)
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_report(tmp_path / "new" / "report.html", data, points, scores)
    with pytest.raises(IsADirectoryError, match="must name a file"):
        write_report(tmp_path, data, points, scores)


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"khp": khp, "np": np}
    test = doctest.DocTestFinder().find(write_report, globs=names)[0]
    assert test.examples and doctest.DocTestRunner().run(test).failed == 0
    assert (tmp_path / "report.html").exists()
