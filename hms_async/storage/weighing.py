"""How much memory a queue takes, reckoned from a part of what it keeps."""

from collections.abc import Iterable, Iterator
from typing import Any

from hms_async.domain.diagnosis.queues import Size
from hms_async.domain.queue import ALPHABET, QueueStats
from hms_async.domain.series import DAY_MS, HOUR_MS, KEPT_MS, MINUTE_MS, TEN_MINUTES_MS
from hms_async.errors import StoreRefused
from hms_async.storage.server import Server

_PARTS = (
    *("express", "suspects", "scheduled", "retry", "inflight", "sla", "at_risk", "actions"),
    *("done", "failed", "cancelled", "expired", "missed", "counts", "config", "events", "audit"),
)
_SAMPLES = 20


async def weigh(server: Server, queues: Iterable[QueueStats]) -> dict[str, int]:
    """Return about how many bytes each queue takes in the server's memory.

    A queue is missing where the server does not tell. Not to be asked for all the time: it is about
    a hundred commands a queue.

    Raises:
        StoreError: If the server cannot be asked.
    """
    weights: dict[str, int] = {}
    for stats in queues:
        try:
            size = await size_of(server, stats.name, stats)
        except StoreRefused:
            continue
        weights[stats.name] = size.bytes
    return weights


async def size_of(server: Server, queue: str, stats: QueueStats) -> Size:
    """Return how large a queue is, reckoned from a few of its tasks and of its counters.

    Raises:
        StoreRefused: If the server does not tell.
    """
    keys = server.keys
    own = [keys.queue(queue), *(keys.part(queue, part) for part in _PARTS)]
    counters = list(_counters(stats.now_ms))
    tasks = sum((stats.open, stats.done, stats.failed, stats.cancelled, stats.expired))
    ids = await _some_ids(server, queue)
    async with server.pipeline() as pipe:
        for key in (*own, *(keys.part(queue, part) for part, _ in counters)):
            pipe.memory_usage(key)
        for task_id in ids:
            for name in (keys.body, keys.run, keys.attempts):
                pipe.memory_usage(name(queue, task_id))
        replies = await pipe.execute(raise_on_error=False)
    if refused := next((one for one in replies if isinstance(one, Exception)), None):
        raise StoreRefused(f"MEMORY USAGE: {refused}")
    sizes = iter([int(one or 0) for one in replies])
    other_bytes = sum(next(sizes) for _ in own)
    counter_bytes = sum(next(sizes) * stands_for for _, stands_for in counters)
    oldest_ms = stats.oldest_arrived_ms
    return Size(
        tasks=tasks,
        task_bytes=sum(sizes) * tasks // len(ids) if ids else 0,
        counter_bytes=counter_bytes,
        other_bytes=other_bytes,
        oldest_ms=max(stats.now_ms - oldest_ms, 0) if oldest_ms else None,
    )


def _counters(now_ms: int) -> Iterator[tuple[str, int]]:
    """Yield some keys of what was counted over time, and for how many each stands."""
    for part, length_ms, kept_ms in (
        ("stats", MINUTE_MS, KEPT_MS[MINUTE_MS]),
        ("stats10m", DAY_MS, KEPT_MS[TEN_MINUTES_MS]),
        ("stats1h", DAY_MS, KEPT_MS[HOUR_MS]),
    ):
        every = max(kept_ms // length_ms // _SAMPLES, 1)
        for n in range(0, kept_ms // length_ms, every):
            yield f"{part}:{now_ms // length_ms - n}", every


async def _some_ids(server: Server, queue: str) -> list[str]:
    """Return the ids of a few tasks from each of a queue's places."""
    keys = server.keys
    async with server.pipeline() as pipe:
        for key in (keys.queue(queue), keys.part(queue, "express")):
            pipe.lrange(key, 0, _SAMPLES - 1)
        for part in ("scheduled", "retry", "inflight", "done", "failed"):
            pipe.zrange(keys.part(queue, part), 0, _SAMPLES - 1)
        replies = await pipe.execute(raise_on_error=False)
    places = [_texts(found) for found in replies]
    mixed = [place[n] for n in range(_SAMPLES) for place in places if n < len(place)]
    return [one for one in dict.fromkeys(mixed) if ALPHABET.fullmatch(one)][:_SAMPLES]


def _texts(found: Any) -> list[str]:
    if isinstance(found, Exception):  # a foreign hand has made something else of it
        return []
    return [one.decode(errors="replace") for one in found]
