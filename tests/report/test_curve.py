import math

import pytest

from keras_hierproxy.report.curve import draw_curve
from keras_hierproxy.report.numbers import MetricNumbers, Number, read_metrics

pytestmark = pytest.mark.host


def recalls(*levels):
    """Metrics from a dict of K to (low, value, high) for each level."""
    metrics = {}
    for level, points in enumerate(levels):
        for k, (low, value, high) in points.items():
            metric = metrics.setdefault(
                f"recall@{k}", MetricNumbers(f"Recall@{k}", "", False, {}, k)
            )
            metric.numbers[level] = Number(value, (low, high))
    return metrics


def test_points_stand_where_their_numbers_say():
    curve = draw_curve(
        recalls({1: (0.1, 0.2, 0.3), 10: (0.5, 0.6, 0.7), 100: (1, 1, 1)}), ["class"]
    )
    heights = {float(label): y for y, label in curve.y_ticks}
    places = {int(label): x for x, label in curve.x_ticks}
    assert heights[0] == curve.bottom and heights[1] == curve.top
    (line,) = curve.lines
    xs, ys, ks, _ = zip(*line.dots, strict=True)
    assert ks == (1, 10, 100) and xs == tuple(places[k] for k in ks)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert ys == (heights[0.2], heights[0.6], heights[1])
    band = [tuple(map(float, point.split(","))) for point in line.band.split()]
    assert band[0][1] < ys[0] < band[-1][1] and band[0][0] == band[-1][0] == xs[0]


@pytest.mark.parametrize("lowest", [0.0, 0.03, 0.48, 0.83, 0.93, 0.997, 1.0])
def test_ticks_are_few_round_and_hold_all(lowest):
    curve = draw_curve(recalls({1: (lowest,) * 3, 2: (1, 1, 1)}), ["class"])
    ticks = [float(label) for _, label in curve.y_ticks]
    assert 2 <= len(ticks) <= 6 and ticks[-1] == 1
    assert ticks[0] <= lowest
    steps = {round(b - a, 9) for a, b in zip(ticks[:-1], ticks[1:], strict=True)}
    assert len(steps) == 1 and steps <= {0.01, 0.02, 0.05, 0.1, 0.2}


def test_labels_of_many_k_do_not_touch():
    ks = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    curve = draw_curve(recalls({k: (0.5, 0.5, 0.5) for k in ks}), ["class"])
    shown = [(x, label) for x, label in curve.x_ticks if label]
    assert len(curve.x_ticks) == len(ks)
    assert shown[0][1] == "1" and shown[-1][1] == "100"
    gaps = [b[0] - a[0] for a, b in zip(shown[:-1], shown[1:], strict=True)]
    assert min(gaps) >= 30


def test_a_level_without_numbers_has_no_line():
    nan = (math.nan,) * 3
    metrics = recalls({1: (0.1, 0.2, 0.3), 2: (0.3, 0.4, 0.5)}, {1: nan, 2: nan})
    assert [line.name for line in draw_curve(metrics, ["a", "b"]).lines] == ["a"]


def test_one_k_is_no_curve():
    assert draw_curve(recalls({1: (0.1, 0.2, 0.3)}), ["class"]) is None
    assert draw_curve({}, ["class"]) is None


def test_metrics_are_read_by_level(scores):
    metrics = read_metrics(scores)
    means, intervals = scores.means(), scores.intervals()
    assert [metric.title for metric in metrics.values()] == [
        "Recall@1", "Recall@2", "Recall@4", "Recall@8",
        "Precision@1", "R-Precision", "MAP@R",
    ]  # fmt: skip
    for name, metric in metrics.items():
        assert metric.meaning
        for level, prefix in enumerate(["", "level1_"]):
            number = metric.numbers[level]
            assert number.value == means[prefix + name]
            assert number.interval == intervals[prefix + name]
