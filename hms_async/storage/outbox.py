"""The outbox of a queue: what somebody outside is to be told or asked (R19)."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from hms_async.domain.audit import Actor
from hms_async.storage.audit import as_args
from hms_async.storage.codec import decode_number
from hms_async.storage.server import Server


class Action(msgspec.Struct, frozen=True):
    """One thing to carry out.

    Attributes:
        queue: The queue whose promise asks for it.
        id: What receivers deduplicate by: `<task>:<rung>:<action>:<instant>`, or of an
            incident.
        kind: `webhook`, `notify`, `reroute` or `call`.
        tries: How often it was taken, this time included.
        fields: What it is about, as the script wrote it.
    """

    queue: str
    id: str
    kind: str
    tries: int
    fields: Mapping[str, str]


async def take(
    server: Server, queue: str, *, limit: int, lease_ms: int, able: Iterable[str] = ()
) -> list[Action]:
    """Take actions that are due; after the lease another may take them.

    Args:
        server: Where the queue is.
        queue: The queue.
        limit: How many at most.
        lease_ms: For how long.
        able: What can be carried out here, kinds and `call:<function>`; everything if not given.
            What is due for others only is left to them for a minute.
    """
    taken = await server.run("take_actions", queue, limit, lease_ms, *able)
    return [_action(queue, action_id, tries, flat) for action_id, tries, *flat in taken]


async def end(
    server: Server, action: Action, word: str, *, delay_ms: int = 0, error: str = ""
) -> bool:
    """Say what became of an action.

    Args:
        server: Where the queue is.
        action: What was taken.
        word: `done`, `retry` (after a delay) or `dead`.
        delay_ms: How long until the next try.
        error: Why not.

    Returns:
        False when another has taken it since.
    """
    args = (action.id, action.tries, word, delay_ms, error)
    return bool(await server.run("end_action", action.queue, *args) == b"ok")


async def undelivered(server: Server, queue: str, limit: int = 100) -> list[Action]:
    """Return actions that were given up, the last ones first."""
    async with server.pipeline() as pipe:
        pipe.zrevrange(server.keys.part(queue, "actions:dead"), 0, limit - 1)
        ids = [action_id.decode(errors="replace") for action_id in (await pipe.execute())[0]]
    async with server.pipeline() as pipe:
        for action_id in ids:
            pipe.hgetall(server.keys.part(queue, f"action:{action_id}"))
        records: list[Any] = await pipe.execute(raise_on_error=False) if ids else []
    return [
        _action(queue, action_id.encode(), decode_number(record.get(b"tries")) or 0, _flat(record))
        for action_id, record in zip(ids, records, strict=True)
        if record and not isinstance(record, Exception)
    ]


async def send_again(
    server: Server, queue: str, action_id: str, *, by: Actor | None = None
) -> bool:
    """Put an action that was given up back into the outbox; False when it is not among those."""
    return await _end_dead(server, queue, action_id, "again", by)


async def drop(server: Server, queue: str, action_id: str, *, by: Actor | None = None) -> bool:
    """Forget an action that was given up; False when it is not among those."""
    return await _end_dead(server, queue, action_id, "drop", by)


async def _end_dead(
    server: Server, queue: str, action_id: str, word: str, by: Actor | None
) -> bool:
    args = (action_id, 0, word, 0, "", *as_args(by))
    reply = await server.run("end_action", queue, *args)
    return bool(reply == b"ok")


def _flat(record: dict[bytes, bytes]) -> list[bytes]:
    return [part for pair in record.items() for part in pair]


def _action(queue: str, action_id: bytes, tries: int, flat: list[Any]) -> Action:
    text = [part.decode(errors="replace") for part in flat]
    fields = dict(zip(text[::2], text[1::2], strict=True))
    fields.pop("tries", None)
    return Action(
        queue=queue,
        id=action_id.decode(errors="replace"),
        kind=fields.pop("kind", ""),
        tries=tries,
        fields=fields,
    )
