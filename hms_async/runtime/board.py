"""All queues at a glance, the one that will first do harm in front: what `hms top` shows."""

from collections.abc import Sequence
from contextlib import suppress
from math import inf

import msgspec

from hms_async.domain.objective import Kept
from hms_async.domain.queue import QueueStats
from hms_async.domain.series import DAY_MS, HOUR_MS, TEN_MINUTES_MS, add_up
from hms_async.domain.worker import WorkerCard
from hms_async.errors import QueueNotFound
from hms_async.runtime.promises import Promise, Promises
from hms_async.storage.series import read_pieces
from hms_async.storage.store import Store

_PAST_IS_NEWS_FOR_MS = 10_000

Past = tuple[int, Kept]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A queue at a glance.

    Attributes:
        promise: How its promise stands, and how many tasks are where.
        due_ms: When the most urgent of its open tasks is due, as far as that can be told at once.
        slots: How many tasks the workers that serve it can run at once, whichever queue they take
            them from; `None` when none of them has said so.
        failed: Tasks that failed in the last hour, or up to ten minutes less.
        kept: Promises that closed in the last day.
    """

    promise: Promise
    due_ms: int | None
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
    def harm(self) -> tuple[int, float]:
        """How near harm is: the smaller, the nearer.

        First what is late, the longest first; then what is foreseen to be, the first first; then
        what is at risk, what has time, and what promises nothing or has its clock stopped.
        """
        now_ms, due_ms = self.stats.now_ms, self.due_ms
        left_ms = inf if due_ms is None else due_ms - now_ms
        first_ms = self.promise.forecast.first_miss_ms
        match self.promise.clock:
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
    """Looks at all queues, as often as one likes: what changes slowly is read every ten seconds.

    Args:
        store: Where they are.
        promises: How to look at one.
    """

    def __init__(self, store: Store, promises: Promises) -> None:
        self._store = store
        self._promises = promises
        self._past: dict[str, tuple[int, Past]] = {}

    async def look(self, queues: Sequence[str] = ()) -> list[Standing]:
        """Return a look at each queue, or at all of them, the one nearest to harm first.

        Raises:
            QueueNotFound: If nobody created one of those that were named.
        """
        found: list[Standing] = []
        cards = await self._store.workers()
        for name in queues or await self._store.queue_names():
            try:
                found.append(await self._look_at(name, cards))
            except QueueNotFound:
                if queues:
                    raise
                self._past.pop(name, None)  # it was removed
        return sorted(found, key=lambda one: (one.harm, one.name))

    async def _look_at(self, name: str, cards: list[WorkerCard]) -> Standing:
        promise = await self._promises.status(name)
        stats = promise.stats
        slots = [card.slots for card in cards if name in card.queues and card.slots is not None]
        failed, kept = await self._past_of(name, stats.now_ms)
        return Standing(
            promise=promise,
            due_ms=await self._due_ms(promise),
            slots=sum(slots) if slots else None,
            failed=failed,
            kept=kept,
        )

    async def _due_ms(self, promise: Promise) -> int | None:
        """Return when the first of those at risk is due, else of those that wait."""
        stats = promise.stats
        if stats.at_risk or stats.breached:
            with suppress(QueueNotFound):
                for task in await self._promises.at_risk(stats.name, limit=1):
                    return task.due_ms
        return promise.next_due_ms

    async def _past_of(self, name: str, now_ms: int) -> Past:
        read_ms, past = self._past.get(name, (0, None))
        if past is None or not 0 <= now_ms - read_ms < _PAST_IS_NEWS_FOR_MS:
            _, day = await read_pieces(self._store, name, DAY_MS, TEN_MINUTES_MS)
            hour = add_up(counts for at_ms, counts in day if at_ms > now_ms - HOUR_MS)
            past = (hour.get("failed", 0), Kept.of(add_up(counts for _, counts in day)))
            self._past[name] = (now_ms, past)
        return past
