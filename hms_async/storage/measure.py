"""All that is measured of all queues, in one bounded read: a few round trips, whatever they hold.

What a queue costs is the same however long it is.
"""

import msgspec

from hms_async.domain.worker import WorkerCard
from hms_async.storage import registry
from hms_async.storage.standings import Standing, read_standings
from hms_async.storage.store import Store

MOST_QUEUES = 1_000
"""Of more than these nothing is measured; how many were left out is told."""


class Measurement(msgspec.Struct, frozen=True):
    """One look at everything.

    Attributes:
        queues: The queues, by name.
        workers: The workers that were heard of lately.
        left_out: How many queues could not be read, or were too many.
    """

    queues: list[Standing]
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
    queues = await read_standings(store, names[:MOST_QUEUES])
    workers = await registry.cards(store, registry.MOST_CARDS)
    return Measurement(queues, workers, len(names) - len(queues))
