"""All queues at a glance: the table that `hms stats` prints once, and `hms top` again and again."""

from collections.abc import Sequence

from hms_async.cli import show
from hms_async.domain.forecast import Forecast
from hms_async.runtime.board import Standing
from hms_async.runtime.promises import ClockWord

COLUMNS = ("QUEUE", "CLOCK", "PROMISE", "WAITING", "RUNNING", "LATER", "FAILED/1h", "OLDEST",
           "NEXT DUE", "FORECAST", "KEPT 24h")  # fmt: skip
SPARE = ("LATER", "PROMISE", "FAILED/1h", "RUNNING", "OLDEST", "KEPT 24h")
"""What a narrow terminal goes without, in this order."""

_MARKS: dict[ClockWord, tuple[str, str]] = {
    "breached": ("#", "red"),
    "at_risk": ("^", "yellow"),
    "paused": ("||", "magenta"),
}


def clock(word: ClockWord) -> show.Cell:
    """Return how a promise stands, as a shape and words and, on a terminal, a colour."""
    said = word.replace("_", " ")
    mark = _MARKS.get(word)
    return show.Marked(f"{mark[0]} {said}", mark[1]) if mark else said


def rows(found: Sequence[Standing]) -> list[list[show.Cell]]:
    """Return the cells of each queue."""
    return [_row(one) for one in found]


def _row(one: Standing) -> list[show.Cell]:
    stats, settings = one.stats, one.promise.queue.settings
    running = str(stats.in_progress) if one.slots is None else f"{stats.in_progress}/{one.slots}"
    return [
        one.name,
        show.Marked("|| paused", "magenta")
        if stats.paused and one.clock in ("none", "on_track")
        else clock(one.clock),
        show.span(settings.sla_ms),
        stats.waiting,
        running,
        stats.scheduled + stats.retrying,
        show.Marked(str(one.failed), "yellow") if one.failed else 0,
        _oldest(one),
        _due(one),
        _foreseen(one.promise.forecast),
        show.share(one.kept.ratio, settings.goal),
    ]


def _oldest(one: Standing) -> str:
    """Return the arrival of the task that leads the queue; on a terminal its age."""
    arrived_ms, now_ms = one.stats.oldest_arrived_ms, one.stats.now_ms
    if not arrived_ms or not show.is_terminal():
        return show.moment(arrived_ms)
    return show.about(max(now_ms - arrived_ms, 0))


def _due(one: Standing) -> show.Cell:
    """Return when the most urgent task is due; on a terminal how much time it has left."""
    if one.due_ms is None or not show.is_terminal():
        return show.moment(one.due_ms)
    left_ms = one.due_ms - one.stats.now_ms
    return show.about(left_ms) if left_ms > 0 else show.Marked(f"-{show.about(-left_ms)}", "red")


def _foreseen(one: Forecast) -> show.Cell:
    """Return when the first of the tasks that wait will be late, and how many will."""
    if not one.known:
        return "unknown"
    if not one.misses:
        return show.NONE
    first_ms = one.first_miss_ms or one.at_ms
    when = "now" if first_ms <= one.at_ms else show.moment(first_ms, one.at_ms)
    return show.Marked(f"{when} ({one.misses})", "yellow")
