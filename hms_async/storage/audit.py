"""What operators did: written by the scripts that do it, read here, the newest first."""

import re
from typing import Any

from hms_async.domain.audit import Actor, AuditEntry, AuditPage
from hms_async.errors import ConfigInvalid
from hms_async.storage.server import Server

MOST_ENTRIES = 10_000
_CURSOR = re.compile(r"(\d{1,20}-\d{1,20}):(.{0,128})")


def as_args(by: Actor | None) -> tuple[str, str, str]:
    """Return what a script is told of who acts: who, via, reason; nothing of one of its own."""
    if by is None:
        return "", "", ""
    who, via, reason = (
        text.encode(errors="replace").decode() for text in (by.who, by.via, by.reason)
    )
    return who, via, reason


async def append_audit(
    server: Server, by: Actor, act: str, fields: dict[str, str] | None = None
) -> None:
    """Write down an act on the namespace that is no script of ours.

    A script does it itself, with `-- include audit` and the key `Keys.audit`.
    """
    who, via, reason = as_args(by)
    entry = {"act": act, "who": who, "via": via, "reason": reason, **(fields or {})}
    async with server.pipeline() as pipe:
        pipe.xadd(server.keys.audit, entry, maxlen=MOST_ENTRIES, approximate=True)
        await pipe.execute()


async def read_audit(
    server: Server, queues: list[str | None], cursor: str | None, limit: int
) -> AuditPage:
    """Return a page of the acts on some queues, merged by time, the newest first.

    Args:
        server: Where they are.
        queues: The queues; `None` among them stands for the namespace.
        cursor: That of the page before.
        limit: How many at most; so many are read of each queue.

    Raises:
        ConfigInvalid: If the cursor is not one that a page gave.
    """
    async with server.pipeline() as pipe:
        for queue in queues:
            key = server.keys.audit if queue is None else server.keys.part(queue, "audit")
            pipe.xrevrange(key, max=_before(cursor, queue), count=limit)
        replies: list[Any] = await pipe.execute(raise_on_error=False)
    entries = [
        _entry(queue, entry_id, fields)
        for queue, found in zip(queues, replies, strict=True)
        if not isinstance(found, Exception)  # a foreign hand's key shows nothing
        for entry_id, fields in found
        if fields is not None
    ]
    entries.sort(key=_place, reverse=True)
    page = entries[:limit]
    more = len(page) == limit
    return AuditPage(page, f"{page[-1].id}:{page[-1].queue or ''}" if more else None)


def _place(entry: AuditEntry) -> tuple[int, int, str]:
    """Return what the acts of all queues are ordered by; ids alone may be the same in two."""
    milliseconds, _, number = entry.id.partition("-")
    return int(milliseconds), int(number), entry.queue or ""


def _before(cursor: str | None, queue: str | None) -> str:
    """Return from which id on a queue's acts come after those of a page."""
    if cursor is None:
        return "+"
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise ConfigInvalid(f"cursor={cursor!r} is not one that a page gave")
    # Of one instant those of the queues whose names come before are still to be told.
    return match[1] if (queue or "") < match[2] else f"({match[1]}"


def _entry(queue: str | None, entry_id: bytes, fields: dict[bytes, bytes]) -> AuditEntry:
    text = {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in fields.items()
    }
    place = entry_id.decode()
    return AuditEntry(
        id=place,
        at_ms=int(place.partition("-")[0]),
        queue=queue,
        act=text.pop("act", ""),
        task_id=text.pop("task", None),
        who=text.pop("who", ""),
        via=text.pop("via", ""),
        reason=text.pop("reason", ""),
        fields=text,
    )
