"""All that is measured of all queues, in one bounded read: a few round trips, whatever they hold.

What a queue costs is the same however long it is: `HGETALL` of its settings and three scripts.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from hms_async.domain.forecast import Forecast
from hms_async.domain.queue import QueueSettings, QueueStats
from hms_async.domain.worker import WorkerCard
from hms_async.errors import StoreError
from hms_async.storage import registry, settings
from hms_async.storage.replies import optional_ms, read_stats
from hms_async.storage.store import Store
from hms_async.storage.watching import SAMPLE, to_backlog

MOST_QUEUES = 1_000
"""Of more than these nothing is measured; how many were left out is told."""

_QUEUES_A_TRIP = 25
_SCRIPTS: tuple[tuple[str, Sequence[int]], ...] = (
    ("stats", ()),
    ("forecast", (SAMPLE,)),
    ("measure", ()),
)
_UNREADABLE = (StoreError, ValueError, TypeError, LookupError, AttributeError)


class QueueMeasures(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured of a queue.

    Attributes:
        name: The queue.
        settings: What it promises and takes.
        stats: How many tasks are where, and the counters.
        forecast: What will become of those that wait.
        swept_ms: When a supervisor last looked at its clocks; `None` for never, as below.
        tidied_ms: When one last tidied up.
        supervisors: Those that have tidied up lately, by a name of theirs.
        waited_ms: How long the first in line has waited, deliberate delays not counted;
            `None` when none waits.
        ran_ms: How long the attempt has run that runs longest, of a hundred; `None` without any.
        due_ms: When the most urgent open task is due; `None` without any that has a promise.
    """

    name: str
    settings: QueueSettings
    stats: QueueStats
    forecast: Forecast
    swept_ms: int | None
    tidied_ms: int | None
    supervisors: frozenset[str]
    waited_ms: int | None
    ran_ms: int | None
    due_ms: int | None

    @property
    def lag_ms(self) -> int:
        """For how long the oldest milestone is overdue of which nobody has spoken yet."""
        at_ms = self.stats.next_rung_ms
        return 0 if at_ms is None else max(self.stats.now_ms - at_ms, 0)


class Measurement(msgspec.Struct, frozen=True):
    """One look at everything.

    Attributes:
        queues: The queues, by name.
        workers: The workers that were heard of lately.
        left_out: How many queues could not be read, or were too many.
    """

    queues: list[QueueMeasures]
    workers: list[WorkerCard]
    left_out: int

    @property
    def supervisors(self) -> frozenset[str]:
        """All supervisors that have been seen lately at any queue."""
        return frozenset[str]().union(*(queue.supervisors for queue in self.queues))


async def read(store: Store) -> Measurement:
    """Look at all queues and workers.

    A queue that a foreign hand has broken, or that has just been removed, is left out.

    Raises:
        StoreError: If the server cannot be asked.
    """
    names = await store.queue_names()
    queues: list[QueueMeasures] = []
    for first in range(0, min(len(names), MOST_QUEUES), _QUEUES_A_TRIP):
        last = min(first + _QUEUES_A_TRIP, MOST_QUEUES)
        queues += await _read_some(store, names[first:last])
    workers = await registry.cards(store, registry.MOST_CARDS)
    return Measurement(queues, workers, len(names) - len(queues))


async def _read_some(store: Store, names: Sequence[str]) -> list[QueueMeasures]:
    async with store.pipeline() as pipe:
        for name in names:
            pipe.hgetall(store.keys.part(name, "config"))
        configs = await pipe.execute(raise_on_error=False)
    replies = await store.run_each(
        (script, name, args) for name in names for script, args in _SCRIPTS
    )
    parts = iter(replies)
    found = (
        _measures(name, *answers)
        for name, *answers in zip(names, configs, parts, parts, parts, strict=True)
    )
    return [one for one in found if one is not None]


def _measures(name: str, config: Any, stats: Any, forecast: Any, more: Any) -> QueueMeasures | None:
    for reply in (config, stats, forecast, more):
        if isinstance(reply, Exception) or reply in ({}, b"no_queue"):
            return None
    swept, tidied, supervisors, waited, ran, due = more
    try:
        return QueueMeasures(
            name=name,
            settings=settings.from_fields(name, config).settings,
            stats=read_stats(name, stats),
            forecast=to_backlog(forecast).predict(),
            swept_ms=optional_ms(swept),
            tidied_ms=optional_ms(tidied),
            supervisors=frozenset(text.decode(errors="replace") for text in supervisors),
            waited_ms=optional_ms(waited),
            ran_ms=optional_ms(ran),
            due_ms=optional_ms(due),
        )
    except _UNREADABLE:
        return None
