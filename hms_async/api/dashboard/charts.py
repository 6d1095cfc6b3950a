"""Lines over time as SVG: they need no scripts, and take their colours from the style sheet."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from hms_async.api.dashboard import words
from hms_async.domain.series import Point, Series

WIDE: Final = 600
HIGH: Final = 100

Span = Literal["1h", "6h", "24h", "7d", "28d"]
"""How far back a chart goes."""


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
        name: What it is.
        style: How it looks, a class of the style sheet.
        points: Where it goes, as SVG has it.
        last: What it is now, in words.
    """

    name: str
    style: str
    points: str
    last: str


class Chart(NamedTuple):
    """A chart.

    Attributes:
        title: What it tells.
        top: What its upper edge stands for, in words.
        since_ms: Where it begins.
        lines: What is drawn.
        rows: The same as a table: an instant, and a text for each line.
    """

    title: str
    top: str
    since_ms: int
    lines: list[Line]
    rows: list[tuple[int, list[str]]]

    @property
    def summary(self) -> str:
        """It in one sentence, for those who do not see it."""
        told = ", ".join(f"{line.name} {line.last}" for line in self.lines)
        return f"{self.title}: {told}; at the top {self.top}"


class _Wanted(NamedTuple):
    name: str
    style: str
    value: Callable[[Point], float | None]


def in_and_out(series: Series) -> Chart:
    """Return how many tasks came in, and how many ended."""
    per_s = 1_000 / series.step_ms

    def arrived(point: Point) -> float:
        return point.arrived * per_s

    def ended(point: Point) -> float:
        return (point.done + point.failed + point.cancelled + point.expired) * per_s

    wanted = [_Wanted("in", "in", arrived), _Wanted("out", "out", ended)]
    return _chart("In and out", series, wanted, words.rate)


def wait(series: Series, promise_ms: int | None) -> Chart:
    """Return how long attempts had waited, beside the promise."""

    def p95(point: Point) -> float | None:
        return point.wait.p95_ms if point.wait else None

    def p50(point: Point) -> float | None:
        return point.wait.p50_ms if point.wait else None

    def promise(_: Point) -> float | None:
        return promise_ms

    wanted = [_Wanted("p95", "in", p95), _Wanted("p50", "out", p50)]
    if promise_ms is not None:
        wanted.append(_Wanted("promise", "promise", promise))
    return _chart("Wait against the promise", series, wanted, words.exact_span)


def _chart(
    title: str,
    series: Series,
    wanted: Sequence[_Wanted],
    say: Callable[[float | None], str],
) -> Chart:
    # The last step is not over: its sums would look like a fall.
    points = series.points[:-1] or series.points
    values = [[one.value(point) for point in points] for one in wanted]
    top = max((value for line in values for value in line if value is not None), default=0) or 1
    return Chart(
        title,
        say(top),
        points[0].at_ms if points else series.now_ms,
        [
            Line(one.name, one.style, _path(line, top), say(_last(line)))
            for one, line in zip(wanted, values, strict=True)
        ],
        [
            (point.at_ms, [say(line[n]) for line in values])
            for n, point in enumerate(points)
            if any(line[n] for line in values)
        ][-60:],
    )


def _last(line: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(line) if value is not None), None)


def _path(line: Sequence[float | None], top: float) -> str:
    """Return a line as the data of a path; it is broken where there is nothing to tell."""
    step = WIDE / max(len(line) - 1, 1)
    parts: list[str] = []
    pen_is_down = False
    for n, value in enumerate(line):
        if value is None:
            pen_is_down = False
            continue
        parts.append(f"{'L' if pen_is_down else 'M'}{n * step:.0f} {HIGH - value / top * HIGH:.1f}")
        if not pen_is_down and (n + 1 == len(line) or line[n + 1] is None):
            parts.append("h1")  # a lone point
        pen_is_down = True
    return "".join(parts)
