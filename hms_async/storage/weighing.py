"""How much memory queues take, by weighing a part of what they keep."""

from collections.abc import Iterable, Sequence
from typing import Any

from hms_async.domain.queue import QueueStats
from hms_async.storage.store import Store

_PARTS = (
    "express", "suspects", "scheduled", "retry", "inflight", "sla", "at_risk", "done", "failed",
    "cancelled", "expired", "events", "audit", "counts", "config", "actions",
)  # fmt: skip
_WEIGHED = 5
_LONGEST_ID = 128


async def weigh(store: Store, queues: Iterable[QueueStats]) -> dict[str, int]:
    """Return about how many bytes each queue takes in the server's memory.

    Its own keys are weighed by the server, and of its tasks a few of each kind, which stand for
    the others. A queue is missing where the server does not tell. Not to be asked for all the time:
    it is about sixty commands a queue.

    Raises:
        StoreError: If the server cannot be asked.
    """
    weights = {stats.name: await _weigh(store, stats) for stats in queues}
    return {name: weight for name, weight in weights.items() if weight is not None}


async def _weigh(store: Store, stats: QueueStats) -> int | None:
    keys, queue = store.keys, stats.name
    async with store.pipeline() as pipe:
        for name in (keys.queue(queue), *(keys.part(queue, part) for part in _PARTS)):
            pipe.memory_usage(name)
        pipe.lrange(keys.queue(queue), 0, 0)
        for part in ("inflight", "done", "failed"):
            pipe.zrange(keys.part(queue, part), 0, _WEIGHED - 1)
        *parts, waiting, running, done, failed = await pipe.execute(raise_on_error=False)
    own = _sum(parts)
    if own is None:
        return None
    ended = stats.done + stats.cancelled + stats.expired
    for count, ids in (
        (stats.open, [*_ids(waiting), *_ids(running)]),
        (ended, _ids(done)),
        (stats.failed, _ids(failed)),
    ):
        if ids:
            own += count * await _weigh_tasks(store, queue, ids) // len(ids)
    return own


async def _weigh_tasks(store: Store, queue: str, ids: Sequence[str]) -> int:
    keys = store.keys
    async with store.pipeline() as pipe:
        for task_id in ids:
            for key in (keys.body, keys.run, keys.attempts):
                pipe.memory_usage(key(queue, task_id))
        return _sum(await pipe.execute(raise_on_error=False)) or 0


def _sum(replies: Sequence[Any]) -> int | None:
    if any(isinstance(reply, Exception) for reply in replies):
        return None
    return sum(reply or 0 for reply in replies)


def _ids(reply: Any) -> list[str]:
    if isinstance(reply, Exception):
        return []
    # Anything longer is an entry of a foreign hand.
    return [entry.decode(errors="replace") for entry in reply if len(entry) <= _LONGEST_ID]
