"""The page as people see it, in a headless Chromium."""

import copy
import time

import numpy as np
import pytest

from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.report import write_report
from keras_hierproxy.retrieval import score_queries
from tests.browser import EXECUTABLE, Browser

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(
        EXECUTABLE is None, reason="needs chromium or google-chrome on the PATH"
    ),
]

DESKTOP, PHONE = {"width": 1280}, {"width": 390, "touch": True}
CELLS = (
    "[...document.querySelectorAll('#{} tbody tr')]"
    ".map(row => row.cells[{}].textContent)"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def written(folder, data, points, k):
    path = folder / "report.html"
    scores = score_queries(**data.retrieval_arguments(points), k=k)
    facts = [("Model", "a-name-without-any-space-" * 8)]
    write_report(path, data, points, scores, facts=facts)
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory, data, points):
    return written(tmp_path_factory.mktemp("report"), data, points, (1, 2, 4, 8, 16))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """11,000 classes, each with a query and an image of the gallery."""
    classes = np.tile(np.arange(11_000), 2)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(11_000, 6))[classes]
    points += rng.normal(scale=0.2, size=points.shape)
    data = RetrievalDataset(
        rng.integers(0, 256, (22_000, 4, 4, 1)).astype("uint8"),
        np.stack([classes, classes % 12], axis=1),
        [[f"Product {i}" for i in range(11_000)], [f"kind {i}" for i in range(12)]],
        is_query=np.arange(22_000) < 11_000,
    )
    return written(tmp_path_factory.mktemp("many"), data, points, 1)


def column(browser, index, table="classes-table"):
    return browser.run(CELLS.format(table, index))


def header(column, table="classes-table"):
    return f"#{table} th:nth-child({column + 1})"


def control(element, table="classes-table"):
    return f".controls {element}[aria-controls={table}]"


def sorted_by(browser):
    return browser.run(
        "[...document.querySelectorAll('#classes-table th[aria-sort]')]"
        ".map(th => [th.cellIndex, th.ariaSort])"
    )


def wait_for(browser, condition):
    for _ in range(300):
        if browser.run(condition):
            return
        time.sleep(0.1)
    pytest.fail(f"never came: {condition}")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_the_screen_and_asks_for_nothing(browser, report, screen, dark):
    browser.open(report, dark=dark, **screen)
    assert browser.run("document.documentElement.scrollWidth") <= screen["width"]
    assert browser.run("document.body.scrollWidth") <= screen["width"]
    loaded = [url for url in browser.requests if not url.startswith("data:")]
    assert loaded == [report.resolve().as_uri()]
    assert browser.complaints == []
    assert browser.run("[...document.images].every(i => i.complete && i.naturalWidth)")
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (not dark)


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_long_names_of_levels_fit_the_screen(browser, data, points, tmp_path, screen):
    data = copy.copy(data)
    data.level_names = ("a_column_of_a_catalogue_" * 3, "a_group_of_the_items_" * 3)
    browser.open(written(tmp_path, data, points, (1, 2)), **screen)
    assert browser.run("document.documentElement.scrollWidth") <= screen["width"]
    assert browser.run("document.body.scrollWidth") <= screen["width"]


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_can_be_read(browser, report, screen, dark):
    """At least 10 pixels high, and of a contrast of at least 4.5 (WCAG AA)."""
    browser.open(report, dark=dark, **screen)
    texts = browser.run("""(() => {
      const light = (color) => color.match(/[\\d.]+/g).slice(0, 3)
        .map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const paper = (e) => {
        for (; e; e = e.parentElement) {
          const color = getComputedStyle(e).backgroundColor;
          if (color !== "rgba(0, 0, 0, 0)") return color;
        }
      };
      const found = [];
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !e.checkVisibility()) continue;
        if (e.closest("title, desc")) continue;
        const style = getComputedStyle(e);
        const svg = e.closest("svg");
        const a = light(svg ? style.fill : style.color), b = light(paper(e));
        const scale = svg ? svg.getScreenCTM().a : 1;
        found.push([
          walker.currentNode.data,
          parseFloat(style.fontSize) * scale,
          (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05),
        ]);
      }
      return found;
    })()""")
    assert len(texts) > 300
    assert [text for text in texts if text[1] < 10 or text[2] < 4.5] == []


def test_names_are_not_run(browser, report):
    browser.open(report)
    assert browser.run("document.title") == "shop"
    assert browser.run("document.querySelectorAll('script').length") == 1
    names = column(browser, 0)
    assert "<script>document.title = 'taken'</script>" in names
    assert browser.run("document.querySelectorAll('#classes td b').length") == 0


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_click_sorts_and_another_turns_round(browser, report, screen):
    browser.open(report, **screen)
    assert sorted_by(browser) == [[2, "ascending"]]
    known = [float(text) for text in column(browser, 2)[:-1]]
    assert known == sorted(known) and known[0] < known[-1]
    for order in ("ascending", "descending"):
        browser.click(header(3) + " button")
        assert sorted_by(browser) == [[3, order]]
        texts = column(browser, 3)
        # What has no value stands last, whichever way.
        assert texts[-1] == "–"
        numbers = [float(text) for text in texts[:-1]]
        assert numbers == sorted(numbers, reverse=order == "descending")
        assert numbers[0] != numbers[-1]


def test_numbers_sort_as_numbers_and_names_with_theirs(browser, many):
    browser.open(many)
    browser.click(header(0) + " button")
    assert column(browser, 0) == [f"Product {i}" for i in range(25)]
    browser.click(header(2, "pairs-table") + " button")
    shown = [int(text) for text in column(browser, 2, "pairs-table")]
    assert shown == sorted(shown)


@pytest.mark.parametrize(("key", "text"), [("Enter", "\r"), (" ", " ")])
def test_keys_sort(browser, report, key, text):
    browser.open(report)
    browser.run(f"document.querySelector('{header(0)} button').focus()")
    browser.press(key, text)
    assert sorted_by(browser) == [[0, "ascending"]]
    browser.press("Tab")
    browser.press(key, text)
    assert sorted_by(browser) == [[1, "ascending"]]


def test_few_of_many_are_shown_until_all_are_asked_for_and_that_is_quick(browser, many):
    start = time.perf_counter()
    browser.open(many)
    # Some 0.5 s on two idle cores; the slack is for busy ones.
    assert time.perf_counter() - start < 5
    assert len(column(browser, 0)) == 25
    count = f"document.querySelector('{control('button')}').textContent"
    assert browser.run(count) == "Show all 11,000"
    browser.click(control("button"))
    rows = "document.querySelector('#classes-table').tBodies[0].rows.length"
    wait_for(browser, f"{rows} === 11000")
    assert len(set(column(browser, 0))) == 11_000
    took = browser.run("""[...document.querySelectorAll("#classes-table button")].map(
      (button) => {
        const start = performance.now();
        button.click();
        document.body.offsetHeight;
        return performance.now() - start;
      })""")
    assert len(took) == 8 and np.median(took) < 1000
    browser.click(control("button"))
    assert browser.run(rows) == 25


def test_the_filter_finds_names(browser, many):
    browser.open(many)
    browser.run(f"document.querySelector('{control('input')}').focus()")
    browser.send("Input.insertText", text="pRODUCT 1234")
    names = column(browser, 0)
    mistaken = column(browser, 5)
    assert "Product 1234" in names and 1 < len(names) <= 25
    for name, other in zip(names, mistaken, strict=True):
        assert "Product 1234" in name + " " + other
    status = browser.run("document.querySelector('#classes output').textContent")
    assert status == f"{len(names)} of {len(names)} matching classes"


def test_without_scripts_all_is_there(browser, report, many):
    browser.open(report, scripts=False)
    assert len(column(browser, 0)) == 7
    rows = "[...document.querySelectorAll('tbody tr')]"
    assert browser.run(rows + ".every(row => row.checkVisibility())")
    assert not browser.run("document.querySelector('.controls').checkVisibility()")
    # Sticky cells would take half a minute.
    start = time.perf_counter()
    browser.open(many, scripts=False, **PHONE)
    assert browser.run(f"{rows}.at(-1).checkVisibility()")
    assert time.perf_counter() - start < 20
    assert len(column(browser, 0)) == 11_000
