"""The cards of workers: who works on what, for operators. Nothing depends on them."""

import re
from collections.abc import Mapping

from hms_async.domain.worker import WorkerCard
from hms_async.storage.codec import decode_number
from hms_async.storage.server import Server

MOST_CARDS = 1_000
_LISTED_MS = 60_000
_SAID = ("host", "pid", "slots", "running", "version")


async def register(
    server: Server, worker_id: str, card: dict[str, str], ttl_s: int, now_ms: int | None = None
) -> None:
    """Leave a card for so long; take those off the list that have gone.

    Args:
        server: Where the list is.
        worker_id: Whose card it is.
        card: What it says.
        ttl_s: For how long.
        now_ms: The server's time, if it is known; asked for if not.
    """
    seen_ms = server.now_ms(await server.ask("TIME")) if now_ms is None else now_ms
    keys = server.keys
    async with server.pipeline() as pipe:
        pipe.hset(keys.worker(worker_id), mapping=card | {"seen_ms": str(seen_ms)})
        pipe.expire(keys.worker(worker_id), ttl_s)
        pipe.zadd(keys.workers, {worker_id: seen_ms})
        pipe.zremrangebyscore(keys.workers, "-inf", seen_ms - max(ttl_s * 1_000, _LISTED_MS))
        await pipe.execute()


async def unregister(server: Server, worker_id: str) -> None:
    """Take a card away."""
    async with server.pipeline() as pipe:
        pipe.delete(server.keys.worker(worker_id))
        pipe.zrem(server.keys.workers, worker_id)
        await pipe.execute()


async def cards(server: Server, limit: int) -> list[WorkerCard]:
    """Return the cards that have not gone, those heard of last first."""
    names = await server.ask("ZREVRANGE", server.keys.workers, 0, limit - 1)
    ids = [name.decode(errors="replace") for name in names]
    if not ids:
        return []
    async with server.pipeline() as pipe:
        for worker_id in ids:
            pipe.hgetall(server.keys.worker(worker_id))
        replies: list[dict[bytes, bytes] | Exception] = await pipe.execute(raise_on_error=False)
    return [
        _card(worker_id, fields)
        for worker_id, fields in zip(ids, replies, strict=True)
        # A card ends by itself, and its place in the list only when the next one is written.
        if fields and not isinstance(fields, Exception)
    ]


def _card(worker_id: str, fields: Mapping[bytes, bytes]) -> WorkerCard:
    text = {name.decode(errors="replace"): value for name, value in fields.items()}
    host, pid, slots, running, version = (text.get(name) for name in _SAID)
    return WorkerCard(
        name=worker_id,
        via="rest" if text.get("via") == b"rest" else "native",
        queues=tuple(re.findall(r"\S+", text.get("queues", b"").decode(errors="replace"))),
        seen_ms=decode_number(text.get("seen_ms")) or 0,
        host=None if host is None else host.decode(errors="replace"),
        version=None if version is None else version.decode(errors="replace"),
        pid=decode_number(pid),
        slots=decode_number(slots),
        running=decode_number(running),
    )
