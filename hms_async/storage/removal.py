"""Taking a queue out of service, and clearing its keys."""

import msgspec

from hms_async.domain.operation import Operation
from hms_async.storage import series
from hms_async.storage.server import Server

_NAMES_A_CALL = 500
_AUDIT_KEPT_MS = 30 * 86_400_000


class Closing(msgspec.Struct, frozen=True):
    """What a queue held when it was to be closed.

    Attributes:
        closed: Whether it is.
        waiting: Entries of its lanes.
        in_progress: Tasks that workers hold.
        scheduled: Tasks that are not due yet.
        retrying: Tasks that wait for another attempt.
        to_do: Messages, and tasks on their way to other queues, in its outbox.
        undelivered: Messages that were given up.
    """

    closed: bool
    waiting: int
    in_progress: int
    scheduled: int
    retrying: int
    to_do: int
    undelivered: int

    @property
    def counts(self) -> dict[str, int]:
        """What was open, by name."""
        names = ("waiting", "in_progress", "scheduled", "retrying", "to_do")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


async def begin_removal(server: Server, operation: Operation) -> None:
    """Let a queue take no more tasks; those that are there can still come to their end."""
    await server.run("remove", operation.queue, "begin", operation.id, "")


async def reopen(server: Server, operation: Operation) -> bool:
    """Let a queue take tasks again; False when this operation has closed it already."""
    reply = await server.run("remove", operation.queue, "reopen", operation.id, "")
    return bool(reply == b"ok")


async def close(server: Server, operation: Operation, *, whatever: bool) -> Closing:
    """Take a queue out of service if nothing is open in it, or whatever is."""
    word = "1" if whatever else ""
    *numbers, closed = await server.run("remove", operation.queue, "close", operation.id, word)
    return Closing(closed == b"1", *map(int, numbers))


async def clear(server: Server, operation: Operation, limit: int) -> tuple[bool, int] | None:
    """Clear a part of the keys of a queue that this operation has closed.

    Returns:
        Whether there is more, and how many tasks were forgotten. `None` of a queue that has been
        forgotten: a queue of that name is another.
    """
    reply = await server.run("clear", operation.queue, operation.id, limit)
    if reply == b"stale":
        return None
    more, cleared = reply
    return more == 1, cleared


async def forget_queue(server: Server, operation: Operation, now_ms: int) -> None:
    """Take away what is left of a cleared queue, its name at the last.

    Its counters would expire by themselves, but are not those of a later queue.
    The name leaves the set of queues before the mark by which nobody can create it: the other way
    round it would take away the name of one that has just been created anew.
    """
    names = series.key_names(server, operation.queue, now_ms)
    async with server.pipeline() as pipe:
        for first in range(0, len(names), _NAMES_A_CALL):
            pipe.unlink(*names[first : first + _NAMES_A_CALL])
        # What operators did to it is kept as long as what they did to many tasks at once.
        pipe.pexpire(server.keys.part(operation.queue, "audit"), _AUDIT_KEPT_MS)
        await pipe.execute()
    await server.ask("SREM", server.keys.queues, operation.queue)
    await server.run("remove", operation.queue, "forget", operation.id, "")
