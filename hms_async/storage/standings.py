"""How many queues stand, in a few round trips, however many they are and whatever they hold."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from hms_async.domain.forecast import Forecast
from hms_async.domain.incident import Incident
from hms_async.domain.queue import Queue, QueueStats
from hms_async.errors import StoreError
from hms_async.storage import settings
from hms_async.storage.replies import optional_ms, read_stats
from hms_async.storage.store import Store
from hms_async.storage.watching import SAMPLE, read_incident, to_backlog

_A_TRIP = 50  # a few ms of the server's time
_REMEMBERED = 2_000
_UNREADABLE = (StoreError, ValueError, TypeError, LookupError, AttributeError)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands.

    Attributes:
        queue: The queue and its settings.
        stats: How many tasks are where, and the counters.
        forecast: What will become of those that wait.
        incidents: The last of each kind, those that are over included.
        swept_ms: When a supervisor last looked at its clocks; `None` for never, as below.
        tidied_ms: When one last tidied up.
        supervisors: Those that have tidied up lately, by a name of theirs.
        waited_ms: How long the first in line has waited, deliberate delays not counted;
            `None` when none waits.
        ran_ms: How long the attempt has run that runs longest, of a hundred; `None` without any.
        due_ms: When the most urgent open task is due; `None` without any that has a promise.
    """

    queue: Queue
    stats: QueueStats
    forecast: Forecast
    incidents: list[Incident]
    swept_ms: int | None
    tidied_ms: int | None
    supervisors: frozenset[str]
    waited_ms: int | None
    ran_ms: int | None
    due_ms: int | None

    @property
    def name(self) -> str:
        """The queue."""
        return self.queue.name

    @property
    def lag_ms(self) -> int:
        """For how long the oldest milestone is overdue of which nobody has spoken yet."""
        at_ms = self.stats.next_rung_ms
        return 0 if at_ms is None else max(self.stats.now_ms - at_ms, 0)


async def read_standings(store: Store, names: Sequence[str]) -> list[Standing]:
    """Return how queues stand; one that was removed, or that a foreign hand broke, is left out.

    What a queue costs is the same however long it is.

    Raises:
        StoreError: If the server cannot be asked.
    """
    found: list[Standing] = []
    for first in range(0, len(names), _A_TRIP):
        some = names[first : first + _A_TRIP]
        replies = await store.run_each(("standing", name, (SAMPLE,)) for name in some)
        told = map(_standing, some, replies)
        found += [one for one in told if one is not None]
    return found


def _standing(name: str, reply: Any) -> Standing | None:
    if isinstance(reply, Exception) or reply == b"no_queue":
        return None
    config, incidents, stats, backlog, measures = reply
    swept, tidied, supervisors, waited, ran, due = measures
    told = [read_incident(name, _fields(one)) for one in incidents if one]
    try:
        return Standing(
            queue=_queue(name, tuple(config)),
            stats=read_stats(name, stats),
            forecast=to_backlog(backlog).predict(),
            incidents=[one for one in told if one is not None],
            swept_ms=optional_ms(swept),
            tidied_ms=optional_ms(tidied),
            supervisors=frozenset(text.decode(errors="replace") for text in supervisors),
            waited_ms=optional_ms(waited),
            ran_ms=optional_ms(ran),
            due_ms=optional_ms(due),
        )
    except _UNREADABLE:
        return None


@lru_cache(_REMEMBERED)
def _queue(name: str, config: tuple[bytes, ...]) -> Queue:
    """Return a queue from its settings, which hardly ever change from one look to the next."""
    return settings.from_fields(name, _fields(config))


def _fields(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
