"""Recall@K over K, a line a level: where all of it stands in the drawing."""

import dataclasses
import math

WIDTH, HEIGHT = 440, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 12, 44
# Between two labels of the K axis, in units of the drawing.
_LABEL_ROOM = 30


@dataclasses.dataclass(frozen=True)
class Curve:
    """Lines with bands, and ticks, as the template draws them."""

    lines: list
    x_ticks: list
    y_ticks: list
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM
    width: float = WIDTH
    height: float = HEIGHT


@dataclasses.dataclass(frozen=True)
class Line:
    level: int
    name: str
    dots: list  # (x, y, K, Number)
    line: str
    band: str


def draw_curve(metrics, level_names):
    """The `Curve` of the recalls among `metrics`, or None if there are not two K."""
    recalls = sorted(
        (metric for metric in metrics.values() if metric.k), key=lambda m: m.k
    )
    levels = {
        level: [
            (metric.k, metric.numbers[level])
            for metric in recalls
            if level in metric.numbers and not math.isnan(metric.numbers[level].value)
        ]
        for level in range(len(level_names))
    }
    levels = {level: points for level, points in levels.items() if len(points) > 1}
    if not levels:
        return None
    ks = sorted({k for points in levels.values() for k, _ in points})
    shown = [number for points in levels.values() for _, number in points]
    y_ticks = _percent_ticks(min(_ends(number)[0] for number in shown))
    first, last = math.log(ks[0]), math.log(ks[-1])

    def x(k):
        share = (math.log(k) - first) / (last - first)
        return round(_LEFT + 10 + share * (WIDTH - _LEFT - _RIGHT - 20), 1)

    def y(value):
        share = (value - y_ticks[0]) / (1 - y_ticks[0])
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    lines = []
    for level, points in levels.items():
        low = [(x(k), y(_ends(number)[0])) for k, number in points]
        high = [(x(k), y(_ends(number)[1])) for k, number in points]
        dots = [(x(k), y(number.value), k, number) for k, number in points]
        lines.append(
            Line(
                level, level_names[level], dots,
                _path((at_x, at_y) for at_x, at_y, *_ in dots),
                _path([*high, *low[::-1]]),
            )
        )  # fmt: skip
    x_ticks = [(x(k), str(k)) for k in ks]
    return Curve(lines, _roomy(x_ticks), [(y(at), f"{at:g}") for at in y_ticks])


def _ends(number):
    """The ends of a number's interval; the number itself where it has none."""
    if number.interval is None or any(map(math.isnan, number.interval)):
        return number.value, number.value
    return number.interval


def _percent_ticks(lowest):
    """Round ticks from below `lowest` up to 1, not more than six."""
    for percent in (1, 2, 5, 10, 20):
        start = math.floor(lowest * 100 / percent) * percent
        if start + 5 * percent >= 100:
            break
    # Of a perfect recall, too, the axis has a length.
    start = min(start, 100 - percent)
    return [at / 100 for at in range(start, 101, percent)]


def _roomy(ticks):
    """Labels that do not touch; all ticks stay."""
    shown, end = [], -math.inf
    last = ticks[-1][0]
    for at, label in ticks:
        fits = at - end >= _LABEL_ROOM and (at == last or last - at >= _LABEL_ROOM)
        shown.append((at, label if fits or at == last else ""))
        end = at if shown[-1][1] else end
    return shown


def _path(points):
    return " ".join(f"{x},{y}" for x, y in points)
