"""What pages are about, and how it is seen that something about it has changed."""

import time
from typing import TYPE_CHECKING, Final

from hms_async.errors import NameInvalid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hms_async.api.dashboard.standing import Standings
    from hms_async.api.house import House

OVERVIEW: Final = "overview"
EVERY_S: Final = {"case": 2, "workers": 5, "operations": 2, "failed": 5, "report": 60}
"""What is not looked at, but shown anew after so many seconds."""


_NAMED: Final = frozenset({"queue", "task", "case"})


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
        }

    async def __call__(self, topic: str) -> object:
        """Return what differs when a topic has changed."""
        kind, _, name = topic.partition(":")
        if kind == OVERVIEW:
            return await self._overview()
        if look := self._looks.get(kind):
            return await look(name)
        return int(time.monotonic()) // EVERY_S[kind]

    async def _overview(self) -> object:
        look = await self._standings.get(self._house.oms)
        return (
            [
                (one.name, one.clock, one.stats.totals, one.promise.forecast.misses)
                for one in look.queues
            ],
            look.trends,
            [(card.name, card.running) for card in look.workers],
        )

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


def check_topic(topic: str) -> tuple[str, str]:
    """Return a topic's kind and name.

    Raises:
        NameInvalid: If there is no such topic.
    """
    kind, _, name = topic.partition(":")
    if (kind in _NAMED) if name else (kind == OVERVIEW or kind in EVERY_S.keys() - _NAMED):
        return kind, name
    raise NameInvalid(f"there is no topic {topic!r}")
