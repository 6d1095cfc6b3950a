"""How a queue's promise stands: its incidents, and what a forecast is made from."""

from contextlib import suppress

import msgspec

from hms_async.domain.incident import KINDS, Incident, Kind
from hms_async.storage.server import Server

SAMPLE = 17


class Backlog(msgspec.Struct, frozen=True):
    """What a forecast is made from.

    Attributes:
        now_ms: The server's clock.
        paused: Whether the queue is.
        waiting: Tasks in its lanes.
        running: Tasks under a lease.
        served_per_s: How many tasks ended in a second while others waited; `None` when unknown.
        sample: Of some waiting tasks, in the order in which they will be taken, how many go
            before, and when they are due, if they are.
    """

    now_ms: int
    paused: bool
    waiting: int
    running: int
    served_per_s: float | None
    sample: list[tuple[int, int | None]]


_LEAST_WATCHED_MS = 2_000.0


async def read_backlog(server: Server, queue: str) -> Backlog:
    """Return what is known of a queue's backlog.

    Raises:
        QueueNotFound: If nobody created the queue.
    """
    reply = await server.run("forecast", queue, SAMPLE)
    now_ms, paused, waiting, running, served, over_ms, flat = reply
    watched_ms = float(over_ms)
    return Backlog(
        now_ms=now_ms,
        paused=paused == 1,
        waiting=waiting,
        running=running,
        served_per_s=float(served) * 1_000 / watched_ms
        if watched_ms >= _LEAST_WATCHED_MS
        else None,
        sample=[
            (position, None if due == b"" else int(due))
            for position, due in zip(flat[::2], flat[1::2], strict=True)
        ],
    )


async def read_incidents(server: Server, queue: str) -> list[Incident]:
    """Return the last incident of each kind that a queue has had."""
    async with server.pipeline() as pipe:
        for kind in KINDS:
            pipe.hgetall(server.keys.part(queue, f"incident:{kind}"))
        records = await pipe.execute(raise_on_error=False)
    incidents: list[Incident] = []
    for record in records:
        # A foreign hand's record shows nothing; the next raise writes it anew.
        if isinstance(record, dict) and record:
            fields = {key.decode(): value.decode(errors="replace") for key, value in record.items()}
            with suppress(LookupError, ValueError):
                incidents.append(Incident.read(queue, fields))
    return incidents


async def change_incident(
    server: Server, queue: str, kind: Kind, act: str, *, who: str = "", reason: str = ""
) -> str:
    """Acknowledge, raise or resolve an incident.

    Args:
        server: Where the queue is.
        queue: The queue.
        kind: Which of its incidents.
        act: `acknowledge`, `raise` or `resolve`.
        who: Who acknowledges it; the severity of one that is raised.
        reason: What they say.

    Returns:
        `ok`, `already`, or `none` when no such incident is open.
    """
    reply: bytes = await server.run("incident", queue, kind, act, who, reason)
    return reply.decode()
