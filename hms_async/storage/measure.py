"""All that is measured of all queues, in one bounded read: a few round trips, whatever they hold.

What a queue costs is the same however long it is.
"""

import msgspec

from hms_async.domain.forecast import Forecast
from hms_async.domain.queue import QueueSettings, QueueStats
from hms_async.domain.worker import WorkerCard
from hms_async.storage import registry
from hms_async.storage.replies import optional_ms
from hms_async.storage.standings import Standing, read_standings
from hms_async.storage.store import Store

MOST_QUEUES = 1_000
"""Of more than these nothing is measured; how many were left out is told."""


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
    standings = await read_standings(store, names[:MOST_QUEUES], also="measure")
    queues = [one for one in map(measures_of, standings) if one is not None]
    workers = await registry.cards(store, registry.MOST_CARDS)
    return Measurement(queues, workers, len(names) - len(queues))


def measures_of(one: Standing) -> QueueMeasures | None:
    """Return what is measured of a queue from a look that asked `measure` also.

    Returns:
        `None` if a foreign hand has broken something of it.
    """
    try:
        swept, tidied, supervisors, waited, ran, due = one.more
        return QueueMeasures(
            name=one.queue.name,
            settings=one.queue.settings,
            stats=one.stats,
            forecast=one.forecast,
            swept_ms=optional_ms(swept),
            tidied_ms=optional_ms(tidied),
            supervisors=frozenset(text.decode(errors="replace") for text in supervisors),
            waited_ms=optional_ms(waited),
            ran_ms=optional_ms(ran),
            due_ms=optional_ms(due),
        )
    except (ValueError, TypeError, AttributeError):
        return None
