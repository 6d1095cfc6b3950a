"""How a queue's promises were kept, against its goal: what `oms.sla.report` tells."""

import msgspec

from hms_async.domain.objective import Kept
from hms_async.domain.queue import Queue
from hms_async.domain.series import DAY_MS, HOUR_MS, MINUTE_MS, TEN_MINUTES_MS, Piece, add_up
from hms_async.domain.task import TaskRecord
from hms_async.domain.time_spent import TimeSpent, time_spent
from hms_async.storage.reading import read_tasks
from hms_async.storage.series import read_pieces
from hms_async.storage.store import Store
from hms_async.storage.watching import Miss, read_misses

BURNS = (
    (HOUR_MS, 5 * MINUTE_MS, 14.4),
    (6 * HOUR_MS, 30 * MINUTE_MS, 6.0),
)
"""Spans over which a budget may burn too fast, and how fast that is: the long one shows that it is
worth a word, the short one that it still goes on. 14.4 uses up 28 days in two, 6 in five."""


class Window(msgspec.Struct, frozen=True):
    """The promises that closed in the last so many ms."""

    length_ms: int
    kept: Kept


class Burn(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the error budget goes.

    Attributes:
        long_ms: The longer of two spans that both end now.
        short_ms: The shorter one.
        long: How many times faster than the goal allows, over the longer one; `None` when no
            promise closed in it.
        short: The same over the shorter one.
        limit: From where on somebody should be told.
    """

    long_ms: int
    short_ms: int
    long: float | None
    short: float | None
    limit: float

    @property
    def too_fast(self) -> bool:
        """Whether it goes too fast, and still does."""
        return min(self.long or 0, self.short or 0) >= self.limit


class Missed(msgspec.Struct, frozen=True):
    """A task that broke its promise.

    Attributes:
        task: Its record.
        late_ms: By how much; 0 for one that expired before it was due.
        spent: Where its time went.
    """

    task: TaskRecord
    late_ms: int
    spent: TimeSpent


class PromiseReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue's promises were kept.

    Attributes:
        queue: The queue, with its goal.
        now_ms: The server's clock.
        windows: The last hour, the last day, and the span that was asked for.
        burns: How fast the error budget goes, over an hour and over six.
        worst: The worst of its latest 1,000 misses in that span, as far as they are still stored.
    """

    queue: Queue
    now_ms: int
    windows: tuple[Window, Window, Window]
    burns: tuple[Burn, ...]
    worst: list[Missed]

    @property
    def kept(self) -> Kept:
        """The promises that closed in the span that was asked for."""
        return self.windows[-1].kept

    @property
    def budget_left(self) -> float | None:
        """The share of its error budget that is left; `None` when no promise has closed."""
        return self.kept.budget_left(self.queue.settings.goal)


async def report_of(store: Store, queue: Queue, span_ms: int, worst: int) -> PromiseReport:
    """Return how a queue's promises were kept.

    Args:
        store: Where it is.
        queue: The queue.
        span_ms: How far back; an hour at the least.
        worst: How many of the worst misses at most.
    """
    name, goal = queue.name, queue.settings.goal
    now_ms, hour = await read_pieces(store, name, HOUR_MS, MINUTE_MS)
    _, day = await read_pieces(store, name, DAY_MS, TEN_MINUTES_MS)
    _, all_asked = await read_pieces(store, name, span_ms, HOUR_MS)

    def over(length_ms: int) -> Kept:
        # Whole periods, so that what is on the edge of the span counts.
        if length_ms <= HOUR_MS:
            return _kept(hour, now_ms - length_ms - MINUTE_MS)
        if length_ms <= DAY_MS:
            return _kept(day, now_ms - length_ms - TEN_MINUTES_MS)
        return _kept(all_asked, now_ms - length_ms - HOUR_MS)

    return PromiseReport(
        queue=queue,
        now_ms=now_ms,
        windows=(
            Window(HOUR_MS, over(HOUR_MS)),
            Window(DAY_MS, over(DAY_MS)),
            Window(span_ms, over(span_ms)),
        ),
        burns=tuple(
            Burn(
                long_ms=long_ms,
                short_ms=short_ms,
                long=over(long_ms).burn(goal),
                short=over(short_ms).burn(goal),
                limit=limit,
            )
            for long_ms, short_ms, limit in BURNS
        ),
        worst=await _worst(store, name, now_ms, span_ms, worst),
    )


def _kept(pieces: list[Piece], after_ms: int) -> Kept:
    """Return the promises that closed in pieces that began after an instant."""
    return Kept.of(add_up(counts for at_ms, counts in pieces if at_ms > after_ms))


async def _worst(store: Store, queue: str, now_ms: int, span_ms: int, number: int) -> list[Missed]:
    found: list[Missed] = []
    misses = await read_misses(store, queue, now_ms - span_ms)
    # No more at once than are wanted: each comes with its payload.
    for first in range(0, len(misses), number):
        page = misses[first : first + number]
        tasks = {
            task.id: task for task in await read_tasks(store, [(queue, one.id) for one in page])
        }
        found += [
            Missed(tasks[one.id], one.late_ms, time_spent(tasks[one.id], now_ms))
            for one in page
            if _is_still(tasks.get(one.id), one)
        ]
        if len(found) >= number:
            break
    return found[:number]


def _is_still(task: TaskRecord | None, miss: Miss) -> bool:
    """Tell whether a record is that of a miss: a task may be forgotten, or requeued since."""
    return task is not None and task.state.ended and task.finished_ms == miss.ended_ms
