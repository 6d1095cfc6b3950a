"""Reading who holds what: the holders of tasks, and what a lane has seen last (R2)."""

from collections.abc import Sequence
from typing import NamedTuple

from hms_async.storage.server import Server


class Holder(NamedTuple):
    """Who holds a task, or held it last.

    Attributes:
        queue: The task's queue.
        worker: Its worker; empty for a task that nobody has claimed yet.
    """

    queue: str
    worker: str


class LaneRecord(NamedTuple):
    """The last call that a queue has seen in a lane; without one, number 0.

    Attributes:
        seq: Its number.
        ids: The tasks that it claimed.
    """

    seq: int
    ids: tuple[str, ...]


_UNUSED = LaneRecord(0, ())


async def read_holders(server: Server, task_ids: Sequence[str]) -> list[Holder | None]:
    """Return the holder of each task; `None` for one that is not stored."""
    if not task_ids:
        return []
    async with server.pipeline() as pipe:
        for task_id in task_ids:
            pipe.hmget(server.keys.run("", task_id), "queue", "worker")
        replies = await pipe.execute(raise_on_error=False)
    # An error stands for a foreign key in its place.
    return [
        None
        if isinstance(reply, Exception) or reply[0] is None
        else Holder(*((part or b"").decode(errors="replace") for part in reply))
        for reply in replies
    ]


async def read_lanes(
    server: Server, queues: Sequence[str], incarnation: str, lane: int
) -> list[LaneRecord]:
    """Return the last call of a lane in each queue."""
    async with server.pipeline() as pipe:
        for queue in queues:
            pipe.get(server.keys.part(queue, f"lane:{incarnation}:{lane}"))
        replies = await pipe.execute()
    return [_UNUSED if reply is None else _lane(reply) for reply in replies]


def _lane(record: bytes) -> LaneRecord:
    seq, _, *ids = record.decode(errors="replace").split(" ")
    return LaneRecord(int(seq), tuple(filter(None, ids)))
