"""Which acts on many tasks are open: all that one needs to know who has none."""

from hms_async.storage.server import Server

_MOST = 100


async def due(server: Server) -> list[str]:
    """Return the ids of operations on which nobody works, those left longest in front.

    It is one small command as long as none is open.
    """
    if not await server.ask("ZCARD", server.keys.open_operations):
        return []
    now_ms = server.now_ms(await server.ask("TIME"))
    found = await server.ask(
        "ZRANGEBYSCORE", server.keys.open_operations, "-inf", now_ms, "LIMIT", 0, _MOST
    )
    return [one.decode(errors="replace") for one in found]


async def queue_of(server: Server, operation_id: str) -> str | None:
    """Return the queue of an operation; `None` when it is gone."""
    reply = await server.ask("HGET", server.keys.operation(operation_id), "queue")
    return None if reply is None else str(reply.decode(errors="replace"))
