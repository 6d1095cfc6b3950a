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
from hms_async.storage.replies import read_stats
from hms_async.storage.store import Store
from hms_async.storage.watching import SAMPLE, read_incident, to_backlog

_A_TRIP = 25
_REMEMBERED = 2_000
_SCRIPTS: tuple[tuple[str, Sequence[int]], ...] = (
    ("look", ()),
    ("stats", ()),
    ("forecast", (SAMPLE,)),
)
_UNREADABLE = (StoreError, ValueError, TypeError, LookupError, AttributeError)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands.

    Attributes:
        queue: The queue and its settings.
        stats: How many tasks are where, and the counters.
        forecast: What will become of those that wait.
        incidents: The last of each kind, those that are over included.
        more: What a further script replied, if one was asked.
    """

    queue: Queue
    stats: QueueStats
    forecast: Forecast
    incidents: list[Incident]
    more: Any = None


async def read_standings(
    store: Store, names: Sequence[str], *, also: str | None = None
) -> list[Standing]:
    """Return how queues stand; one that was removed, or that a foreign hand broke, is left out.

    Args:
        store: Where they are.
        names: Which.
        also: A further script that is to be run on each, without arguments.

    Raises:
        StoreError: If the server cannot be asked.
    """
    found: list[Standing] = []
    for first in range(0, len(names), _A_TRIP):
        found += await _read_some(store, names[first : first + _A_TRIP], also)
    return found


async def _read_some(store: Store, names: Sequence[str], also: str | None) -> list[Standing]:
    scripts: list[tuple[str, Sequence[int]]] = [*_SCRIPTS, *([(also, ())] if also else [])]
    replies = iter(
        await store.run_each((script, name, args) for name in names for script, args in scripts)
    )
    found = [_standing(name, [next(replies) for _ in scripts]) for name in names]
    return [one for one in found if one is not None]


def _standing(name: str, answers: Sequence[Any]) -> Standing | None:
    if any(isinstance(reply, Exception) or reply == b"no_queue" for reply in answers):
        return None
    (config, *incidents), stats, forecast, *more = answers
    told = [read_incident(name, _fields(one)) for one in incidents]
    try:
        return Standing(
            queue=_queue(name, tuple(config)),
            stats=read_stats(name, stats),
            forecast=to_backlog(forecast).predict(),
            incidents=[one for one in told if one is not None],
            more=more[0] if more else None,
        )
    except _UNREADABLE:
        return None


@lru_cache(_REMEMBERED)
def _queue(name: str, config: tuple[bytes, ...]) -> Queue:
    """Return a queue from its settings, which hardly ever change from one look to the next."""
    return settings.from_fields(name, _fields(config))


def _fields(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
