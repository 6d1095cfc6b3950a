"""Lines over time as SVG: they need no scripts, and take their colours from the style sheet."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from hms_async.api.dashboard import words
from hms_async.domain.series import MINUTE_MS, Point, Series
from hms_async.runtime.trends import TREND_MS, Trend

WIDE: Final = 600
HIGH: Final = 100
SMALL: Final = 29, 20
"""Width and height of a sparkline, in its own units: a minute is one wide."""

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
        rows: The same as a table, of the steps in which something was measured: an instant, and a
            text for each line.
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


class Sparkline(NamedTuple):
    """A line in a row of a table.

    Attributes:
        points: Where it goes, as SVG has it.
        promise: At which height the promise is, from above; `None` without one.
        late: Whether the last of it is beyond the promise.
        summary: What it tells, for those who do not see it.
    """

    points: str
    promise: float | None
    late: bool
    summary: str


class _Wanted(NamedTuple):
    name: str
    style: str
    value: Callable[[Point], float | None]
    measured: bool = True


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
        wanted.append(_Wanted("promise", "promise", promise, measured=False))
    return _chart("Wait against the promise", series, wanted, words.exact_span)


def sparkline(trend: Trend, promise_ms: int | None, now_ms: int) -> Sparkline | None:
    """Return how long attempts waited in the last half hour; `None` if none began."""
    until_ms = now_ms // MINUTE_MS * MINUTE_MS
    line = [trend.get(at_ms) for at_ms in range(until_ms - TREND_MS, until_ms, MINUTE_MS)]
    told = [p95_ms for p95_ms in line if p95_ms is not None]
    if not told:
        return None
    top = max(*told, promise_ms or 0, 1)
    promise = "" if promise_ms is None else f", promise {words.span(promise_ms)}"
    return Sparkline(
        points=_path(line, top, *SMALL),
        promise=None if promise_ms is None else round(SMALL[1] * (1 - promise_ms / top), 1),
        late=promise_ms is not None and told[-1] > promise_ms,
        summary=f"p95 of waits in 30 min: last {words.exact_span(told[-1])}, "
        f"longest {words.exact_span(max(told))}{promise}",
    )


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
            if any(line[n] for line, one in zip(values, wanted, strict=True) if one.measured)
        ][-60:],
    )


def _last(line: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(line) if value is not None), None)


def _path(line: Sequence[float | None], top: float, wide: int = WIDE, high: int = HIGH) -> str:
    """Return a line as the data of a path; it is broken where there is nothing to tell."""
    step = wide / max(len(line) - 1, 1)
    parts: list[str] = []
    pen_is_down = False
    for n, value in enumerate(line):
        if value is None:
            pen_is_down = False
            continue
        parts.append(f"{'L' if pen_is_down else 'M'}{n * step:.0f} {high - value / top * high:.1f}")
        if not pen_is_down and (n + 1 == len(line) or line[n + 1] is None):
            parts.append("h0")  # a lone point: its caps are seen
        pen_is_down = True
    return "".join(parts)
