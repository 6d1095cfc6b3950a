"""What pages are about, and how it is seen that something about it has changed."""

import time
from typing import TYPE_CHECKING, Final

from hms_async.errors import NameInvalid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hms_async.api.dashboard.standing import Standings
    from hms_async.api.house import House

OVERVIEW: Final = "overview"
SLOW: Final = ("workers", "operations", "failed", "report", "cases", "server")
"""What is of all queues, or of none; most of it is looked at every five seconds only."""

_SLOW_S: Final = 5


class Pulse:
    """Looks at topics, for the hub.

    Args:
        house: Whose client is used.
        standings: How all queues stand.
    """

    def __init__(self, house: "House", standings: "Standings") -> None:
        self._house = house
        self._standings = standings
        self._looks: dict[str, Callable[[str], Awaitable[object]]] = {
            "queue": self._queue,
            "task": self._task,
            "failed": self._failed,
            "operations": self._operations,
        }

    async def __call__(self, topic: str) -> object:
        """Return what differs when a topic has changed."""
        kind, _, name = topic.partition(":")
        if kind == OVERVIEW:
            return await self._overview()
        if look := self._looks.get(kind):
            return await look(name)
        return _tick()

    async def _overview(self) -> object:
        look = await self._standings.get(self._house.oms)
        return [
            (one.name, one.promise.clock, one.stats.totals, one.promise.forecast.misses)
            for one in look.queues
        ], [(card.name, card.running) for card in look.workers]

    async def _queue(self, name: str) -> object:
        stats = await self._house.oms.stats(name)
        return (
            stats.paused,
            stats.clock_stopped_ms,
            stats.at_risk,
            stats.breached,
            stats.undelivered,
            (stats.waiting, stats.in_progress, stats.scheduled, stats.retrying),
            dict(stats.totals),
        )

    async def _failed(self, _: str) -> object:
        look = await self._standings.get(self._house.oms)
        return [(one.name, one.stats.failed, one.stats.totals) for one in look.queues]

    async def _operations(self, _: str) -> object:
        latest = await self._house.oms.operations.list(20)
        # Of all else on that page only now and then.
        return _tick(), [(one.id, one.state, one.done, one.refused) for one in latest]

    async def _task(self, task_id: str) -> object:
        record = await self._house.oms.get_task(task_id)
        return (
            record.state,
            record.attempt,
            record.crashes,
            record.worker,
            record.cancel_asked_ms,
            record.starts_ms,
            record.waived,
            record.priority,
            record.finished_ms,
        )


def _tick() -> int:
    return int(time.monotonic()) // _SLOW_S


def check_topic(topic: str) -> tuple[str, str]:
    """Return a topic's kind and name.

    Raises:
        NameInvalid: If there is no such topic.
    """
    kind, _, name = topic.partition(":")
    if (kind in ("queue", "task", "case") and name) or (not name and kind in (OVERVIEW, *SLOW)):
        return kind, name
    raise NameInvalid(f"there is no topic {topic!r}")
