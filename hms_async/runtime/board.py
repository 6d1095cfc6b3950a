"""All queues at a glance, the one that will first do harm in front: what `hms top` shows."""

from collections.abc import Sequence
from math import inf

import msgspec

from hms_async.domain.objective import Kept
from hms_async.domain.queue import QueueStats
from hms_async.domain.series import DAY_MS, HOUR_MS, TEN_MINUTES_MS, Piece, add_up
from hms_async.domain.worker import WorkerCard
from hms_async.runtime.promises import ClockWord, Promise, Promises
from hms_async.runtime.trends import Trend, Trends
from hms_async.storage.series import read_pieces_of
from hms_async.storage.standings import Standing as Look
from hms_async.storage.standings import read_standings
from hms_async.storage.store import Store

_PAST_IS_NEWS_FOR_MS = 10_000

_A_TRIP = 25
_RENEWED = 5
"""So many at a look, so that none takes much longer than others."""

UNWATCHED_MS = 15_000
"""A supervisor looks once a second; so much may be lost when one dies and another starts."""

Past = tuple[int, int, Kept]
"""When it was read, how many failed in the last hour, and which promises closed in a day."""

_NO_PAST: Past = (0, 0, Kept.of({}))


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A queue at a glance.

    Attributes:
        promise: How its promise stands, and how many tasks are where.
        due_ms: When the most urgent of its open tasks is due; `None` if none has a promise.
        swept_ms: When a supervisor last looked at its clocks; `None` for never.
        slots: How many tasks the workers that serve it can run at once, whichever queue they take
            them from; `None` when none of them has said so.
        failed: Tasks that failed in the last hour, or up to ten minutes less.
        kept: Promises that closed in the last day.
    """

    promise: Promise
    due_ms: int | None
    swept_ms: int | None
    slots: int | None
    failed: int
    kept: Kept

    @property
    def name(self) -> str:
        """The queue."""
        return self.promise.queue.name

    @property
    def stats(self) -> QueueStats:
        """How many of its tasks are where."""
        return self.promise.stats

    @property
    def clock(self) -> ClockWord:
        """How it stands; what is late is late, whether or not a supervisor has noticed."""
        now_ms, due_ms = self.stats.now_ms, self.due_ms
        stopped = self.stats.clock_stopped_ms is not None
        late = due_ms is not None and due_ms < now_ms and not stopped
        return "breached" if late else self.promise.clock

    @property
    def unwatched(self) -> bool:
        """Whether it has a promise to keep, and no supervisor has looked at it for a while."""
        if self.due_ms is None or self.stats.clock_stopped_ms is not None:
            return False
        return self.swept_ms is None or self.stats.now_ms - self.swept_ms > UNWATCHED_MS

    @property
    def harm(self) -> tuple[int, float]:
        """How near harm is: the smaller, the nearer.

        First what is late, the longest first; then what is foreseen to be, the first first; then
        what is at risk, what has time, and what promises nothing or has its clock stopped.
        """
        now_ms, due_ms = self.stats.now_ms, self.due_ms
        left_ms = inf if due_ms is None else due_ms - now_ms
        first_ms = self.promise.forecast.first_miss_ms
        match self.clock:
            case "breached":
                return 0, left_ms
            case "at_risk" if self.promise.forecast.misses and first_ms is not None:
                return 1, first_ms - now_ms
            case "at_risk":
                return 2, left_ms
            case "on_track":
                return 3, left_ms
            case _:
                return 4, left_ms


class Board:
    """Looks at all queues, as often as one likes.

    What changes slowly is read anew after ten seconds, of a few queues at each look.

    Args:
        store: Where they are.
        promises: How to look at one.
    """

    def __init__(self, store: Store, promises: Promises) -> None:
        self._store = store
        self._promises = promises
        self._trends = Trends(store)
        self._past: dict[str, Past] = {}

    async def look(self, queues: Sequence[str] = ()) -> list[Standing]:
        """Return a look at each queue, or at all of them, the one nearest to harm first.

        Raises:
            QueueNotFound: If nobody created one of those that were named.
        """
        names = list(queues) or await self._store.queue_names()
        looks = await read_standings(self._store, names)
        for name in set(queues) - {one.name for one in looks}:
            await self._promises.status(name)  # which says what is wrong with it
        if not queues:
            there = {one.name for one in looks}
            self._past = {name: past for name, past in self._past.items() if name in there}
        cards = await self._store.workers()
        await self._renew_past(looks)
        found = [self._standing(one, cards) for one in looks]
        return sorted(found, key=lambda one: (one.harm, one.name))

    async def trends(self, found: Sequence[Standing]) -> dict[str, Trend]:
        """Return how long attempts waited lately in all queues that were found by a look.

        Those of many queues become known over several looks, the first in the order given first.

        Raises:
            StoreError: If the store cannot be asked.
        """
        return await self._trends.look([one.name for one in found], _now_ms(found))

    def _standing(self, look: Look, cards: Sequence[WorkerCard]) -> Standing:
        name = look.name
        slots = [card.slots for card in cards if name in card.queues and card.slots is not None]
        _, failed, kept = self._past.get(name, _NO_PAST)
        return Standing(
            promise=Promise.of(look),
            due_ms=look.due_ms,
            swept_ms=look.swept_ms,
            slots=sum(slots) if slots else None,
            failed=failed,
            kept=kept,
        )

    async def _renew_past(self, looks: Sequence[Look]) -> None:
        """Read what happened lately where nobody knows it, and of some where it is old news."""
        names, now_ms = [one.name for one in looks], _now_ms(looks)
        unknown = [name for name in names if name not in self._past]
        old = [name for name in names if name in self._past and not self._is_fresh(name, now_ms)]
        old = unknown + sorted(old, key=lambda name: self._past[name][0])[:_RENEWED]
        for first in range(0, len(old), _A_TRIP):
            some = old[first : first + _A_TRIP]
            found = await read_pieces_of(self._store, some, DAY_MS, TEN_MINUTES_MS)
            for name, pieces in zip(some, found, strict=True):
                hour = [piece for piece in pieces if piece[0] > now_ms - HOUR_MS]
                self._past[name] = now_ms, _sums(hour).get("failed", 0), Kept.of(_sums(pieces))

    def _is_fresh(self, name: str, now_ms: int) -> bool:
        read_ms, _, _ = self._past.get(name, _NO_PAST)
        return 0 <= now_ms - read_ms < _PAST_IS_NEWS_FOR_MS


def _now_ms(looks: Sequence[Look | Standing]) -> int:
    """Return the server's clock at the last of some looks."""
    return max((one.stats.now_ms for one in looks), default=0)


def _sums(pieces: list[Piece]) -> dict[str, int]:
    return add_up(counts for _, counts in pieces)
