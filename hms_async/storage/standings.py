"""How many queues stand, in a few round trips, however many they are and whatever they hold."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from hms_async.domain.forecast import Forecast
from hms_async.domain.incident import KINDS, Incident
from hms_async.domain.queue import Queue, QueueStats
from hms_async.errors import StoreError
from hms_async.storage import settings
from hms_async.storage.replies import read_stats
from hms_async.storage.store import Store
from hms_async.storage.watching import SAMPLE, read_incident, to_backlog

_A_TRIP = 25
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


async def _read_some(store: Store, names: Sequence[str], also: str | None) -> Iterable[Standing]:
    keys = store.keys
    async with store.pipeline() as pipe:
        for name in names:
            pipe.hgetall(keys.part(name, "config"))
            for kind in KINDS:
                pipe.hgetall(keys.part(name, f"incident:{kind}"))
        hashes = iter(await pipe.execute(raise_on_error=False))
    scripts = [("stats", ()), ("forecast", (SAMPLE,)), *([(also, ())] if also else [])]
    replies = iter(
        await store.run_each((script, name, args) for name in names for script, args in scripts)
    )
    found: list[Standing] = []
    for name in names:
        config, *incidents = (next(hashes) for _ in range(1 + len(KINDS)))
        answers = [next(replies) for _ in scripts]
        if (one := _standing(name, config, incidents, answers)) is not None:
            found.append(one)
    return found


def _standing(
    name: str, config: Any, incidents: Sequence[Any], answers: Sequence[Any]
) -> Standing | None:
    for reply in (config, *answers):
        if isinstance(reply, Exception) or reply in ({}, b"no_queue"):
            return None
    stats, forecast, *more = answers
    try:
        return Standing(
            queue=settings.from_fields(name, config),
            stats=read_stats(name, stats),
            forecast=to_backlog(forecast).predict(),
            incidents=[one for raw in incidents if (one := read_incident(name, raw)) is not None],
            more=more[0] if more else None,
        )
    except _UNREADABLE:
        return None
