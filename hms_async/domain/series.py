"""What happened in a queue over time: counters of periods, and how to put them together."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil

import msgspec

from hms_async.domain.duration import Duration, to_exact_text, to_ms
from hms_async.domain.histogram import RUN_MS, WAIT_MS, percentile, seen
from hms_async.errors import ConfigInvalid

MINUTE_MS = 60_000
TEN_MINUTES_MS = 10 * MINUTE_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

KEPT_MS = {MINUTE_MS: 2 * DAY_MS, TEN_MINUTES_MS: 14 * DAY_MS, HOUR_MS: 400 * DAY_MS}
"""How long the counters of a period are kept, by its length."""

STEPS_MS = (MINUTE_MS, 5 * MINUTE_MS, TEN_MINUTES_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS)
MOST_POINTS = 3_000
_ENOUGH_POINTS = 500

Counts = Mapping[str, int]
Piece = tuple[int, Counts]
"""The instant at which a period began, in ms, and what was counted in it."""


class Spread(msgspec.Struct, frozen=True):
    """How long something took, of all that were seen; from the buckets of a histogram.

    Attributes:
        count: How many were seen.
        p50_ms: Half of them took no longer; likewise the two below.
        p95_ms: 95 of a hundred.
        p99_ms: 99 of a hundred.
    """

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def of(cls, counts: Counts, name: str, bounds: Sequence[float]) -> "Spread | None":
        """Return the spread of a histogram among some counters; `None` if it saw nothing."""
        buckets = seen(counts, name, bounds)
        if not any(buckets):
            return None
        return cls(sum(buckets), *(percentile(buckets, bounds, p) for p in (0.5, 0.95, 0.99)))


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one step of a series.

    Attributes:
        at_ms: When the step began.
        arrived: Tasks that came in: enqueued, adopted from foreign entries, or requeued.
        started: Attempts that began.
        done: Tasks that ended so; likewise the three below.
        failed: Failed tasks.
        cancelled: Cancelled tasks.
        expired: Expired tasks.
        retried: Attempts after which the task is to be tried again.
        rescued: Leases that were lost.
        met: Promises kept.
        missed: Promises broken by tasks that have ended.
        wait: How long attempts had waited in a lane.
        run: How long attempts ran.
        total: How long done tasks took, from their arrival to their end.
    """

    at_ms: int
    arrived: int
    started: int
    done: int
    failed: int
    cancelled: int
    expired: int
    retried: int
    rescued: int
    met: int
    missed: int
    wait: Spread | None
    run: Spread | None
    total: Spread | None

    @classmethod
    def of(cls, at_ms: int, counts: Counts) -> "Point":
        """Return the point that some counters make."""
        return cls(
            at_ms=at_ms,
            arrived=sum(counts.get(name, 0) for name in ("accepted", "adopted", "requeued")),
            started=counts.get("claimed", 0),
            done=counts.get("done", 0),
            failed=counts.get("failed", 0),
            cancelled=counts.get("cancelled", 0),
            expired=counts.get("expired", 0),
            retried=counts.get("retried", 0),
            rescued=counts.get("rescued", 0),
            met=counts.get("met", 0),
            missed=counts.get("missed", 0),
            wait=Spread.of(counts, "wait", WAIT_MS),
            run=Spread.of(counts, "run", RUN_MS),
            total=Spread.of(counts, "total", WAIT_MS),
        )


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A queue over time.

    Attributes:
        queue: The queue.
        step_ms: How long each step is.
        now_ms: The server's clock; the last step is not over.
        points: One for each step, the earliest first; those in which nothing happened too.
    """

    queue: str
    step_ms: int
    now_ms: int
    points: list[Point]


def choose_step(span_ms: int, wanted: Duration | None = None) -> int:
    """Return the length of a series' steps, in ms.

    Args:
        span_ms: How far back the series goes.
        wanted: The step asked for; the finest that gives at most 500 points if not given.

    Raises:
        ConfigInvalid: If a series of that step would be too long, or none is kept so finely.
    """
    longest_ms = max(KEPT_MS.values())
    if span_ms > longest_ms:
        raise ConfigInvalid(
            f"since={to_exact_text(span_ms)} is longer ago than counters are kept: "
            f"{to_exact_text(longest_ms)}"
        )
    if wanted is None:
        most = _ENOUGH_POINTS
        return next(
            step for step in STEPS_MS if span_ms <= step * most and span_ms <= kept_ms(step)
        )
    step_ms = to_ms(wanted, name="step")
    if step_ms not in STEPS_MS:
        steps = ", ".join(map(to_exact_text, STEPS_MS))
        raise ConfigInvalid(f"step={wanted!r} is none of {steps}")
    if span_ms > kept_ms(step_ms):
        raise ConfigInvalid(
            f"step={wanted!r} is too fine for since={to_exact_text(span_ms)}: "
            f"it is kept for {to_exact_text(kept_ms(step_ms))}"
        )
    points = ceil(span_ms / step_ms)
    if points > MOST_POINTS:
        raise ConfigInvalid(f"step={wanted!r} gives {points} points, and {MOST_POINTS} is the most")
    return step_ms


def resolution_ms(step_ms: int) -> int:
    """Return the length of the periods that steps of a length are made of."""
    return max(length for length in KEPT_MS if length <= step_ms)


def kept_ms(step_ms: int) -> int:
    """Return how long the counters are kept that steps of a length are made of."""
    return KEPT_MS[resolution_ms(step_ms)]


def add_up(counts: Iterable[Counts]) -> dict[str, int]:
    """Return the sums of some counters, name by name."""
    sums: dict[str, int] = {}
    for one in counts:
        for name, value in one.items():
            sums[name] = sums.get(name, 0) + value
    return sums


def fold(pieces: Iterable[Piece], from_ms: int, until_ms: int, step_ms: int) -> list[Point]:
    """Return the points of a series, from pieces that are none longer than a step.

    Args:
        pieces: The counters of periods, in any order.
        from_ms: The first instant; its whole step is told.
        until_ms: The last.
        step_ms: How long each step is.
    """
    steps: dict[int, list[Counts]] = {}
    for at_ms, counts in pieces:
        steps.setdefault(at_ms // step_ms, []).append(counts)
    return [
        Point.of(step * step_ms, add_up(steps.get(step, ())))
        for step in range(from_ms // step_ms, until_ms // step_ms + 1)
    ]
