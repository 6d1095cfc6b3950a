"""What the doctor reads: bounded, and only commands that change nothing, but for `mend`."""

import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hms_async.domain.audit import Actor
from hms_async.domain.queue import ALPHABET
from hms_async.errors import QueueNotFound, StoreProtocol, StoreRefused
from hms_async.storage.audit import as_args
from hms_async.storage.rights import as_map
from hms_async.storage.server import Server

_SETTINGS = ("save", "appendfsync", "protected-mode", "bind")
_PAGE = 1_000
_A_CALL = 50
_IN_ENVELOPE = re.compile(rb'"queue":"([^"\\]+)"')
_HEAD = 400  # where an envelope names its queue


async def facts(server: Server) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Return what a server says of itself, and some settings; what it withholds is missing."""
    info: Mapping[str, Any] = {}
    with suppress(StoreRefused, StoreProtocol):
        info = await server.ask("INFO")
    settings: dict[str, str] = {}
    for name in _SETTINGS:
        with suppress(StoreRefused, StoreProtocol):
            reply = as_map(await server.ask("CONFIG", "GET", name))
            settings |= {key: _text(value) for key, value in reply.items()}
    return info, settings


async def pings_ms(server: Server, count: int = 20) -> list[float]:
    """Return how long the server took to answer, each time."""
    took: list[float] = []
    for _ in range(count + 1):
        began = time.perf_counter()
        await server.ask("PING")
        took.append((time.perf_counter() - began) * 1_000)
    return took[1:]  # the first connects


async def clock_ahead_ms(server: Server) -> tuple[float, float]:
    """Return by how much the server's clock is ahead of ours, and how far that may be wrong."""
    best: tuple[float, float] | None = None
    for _ in range(3):
        before = time.time() * 1_000
        seconds, microseconds = await server.ask("TIME")
        after = time.time() * 1_000
        server_ms = int(seconds) * 1_000 + int(microseconds) / 1_000
        unsure = max(after - before, 0) / 2
        if best is None or unsure < best[1]:
            best = server_ms - (before + after) / 2, unsure
    return best or (0.0, 0.0)


async def swept_ms(server: Server, queue: str) -> int | None:
    """Return when a queue was last swept, by the server's clock; `None` if it never was."""
    found = await server.ask("GET", server.keys.part(queue, "swept"))
    when = re.match(r"\d+", _text(found or b""))
    return int(when[0]) if when else None


async def lanes(server: Server, queue: str) -> tuple[int, int]:
    """Return how many entries a queue's lanes have, and how many of them were left behind."""
    keys = server.keys
    async with server.pipeline() as pipe:
        for key in (keys.queue(queue), keys.part(queue, "express"), keys.part(queue, "suspects")):
            pipe.llen(key)
        pipe.hget(keys.part(queue, "counts"), "stale")
        *lengths, stale = await pipe.execute()
    return sum(lengths), int(stale or 0)


async def listed_ids(server: Server, queue: str, most: int) -> list[str]:
    """Return the first ids of each of a queue's places, whether anything is behind them or not."""
    keys = server.keys
    async with server.pipeline() as pipe:
        for key in (keys.queue(queue), keys.part(queue, "express"), keys.part(queue, "suspects")):
            pipe.lrange(key, 0, most - 1)
        for part in ("scheduled", "retry", "inflight"):
            pipe.zrange(keys.part(queue, part), 0, most - 1)
        replies = await pipe.execute(raise_on_error=False)
    found = dict.fromkeys(one for part in replies for one in _texts(part))
    return [one for one in found if ALPHABET.fullmatch(one)]


async def stored_tasks(server: Server, most: int) -> AsyncGenerator[Mapping[str, list[str]]]:
    """Yield the ids of tasks that are stored, by their queue, until so many keys were looked at."""
    prefix, cursor, seen = server.keys.task_prefix(""), 0, 0
    while True:
        reply = await server.ask("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", _PAGE)
        cursor, names = int(reply[0]), reply[1]
        seen += _PAGE
        ids = {_text(name).removeprefix(prefix).partition(":")[0] for name in names}
        yield await _by_queue(server, [one for one in ids if ALPHABET.fullmatch(one)])
        if not cursor or seen >= most:
            return


async def _by_queue(server: Server, ids: Sequence[str]) -> Mapping[str, list[str]]:
    keys = server.keys
    if not ids:
        return {}
    async with server.pipeline() as pipe:
        for task_id in ids:
            pipe.hget(keys.run("", task_id), "queue")
            pipe.getrange(keys.body("", task_id), 0, _HEAD)
        replies = await pipe.execute(raise_on_error=False)
    found: dict[str, list[str]] = {}
    for task_id, said, body in zip(ids, replies[::2], replies[1::2], strict=True):
        queue = said if isinstance(said, bytes) else None
        if queue is None and isinstance(body, bytes) and (named := _IN_ENVELOPE.search(body)):
            queue = named[1]
        if queue is not None and ALPHABET.fullmatch(_text(queue)):
            found.setdefault(_text(queue), []).append(task_id)
    return found


async def orphans(server: Server, queue: str, ids: Sequence[str]) -> dict[str, str]:
    """Return a word for each of these tasks with which something is wrong."""
    try:
        return await _orphans(server, queue, ids, "", None) or {}
    except QueueNotFound:
        return dict.fromkeys(ids, "no_queue")


async def mend(server: Server, queue: str, ids: Sequence[str], by: Actor) -> dict[str, str] | None:
    """Put back what nothing leads to, and return what was wrong with each.

    Returns:
        `None` when the queue is not paused; nothing was done then.

    Raises:
        QueueNotFound: If nobody created the queue.
    """
    return await _orphans(server, queue, ids, "1", by)


async def _orphans(
    server: Server, queue: str, ids: Sequence[str], mends: str, by: Actor | None
) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for start in range(0, len(ids), _A_CALL):
        some = ids[start : start + _A_CALL]
        words = await server.run("orphans", queue, mends, *as_args(by), *some)
        if words == b"not_paused":
            return None
        found |= {one: _text(word) for one, word in zip(some, words, strict=True) if word}
    return found


async def key_count(server: Server) -> int:
    """Return how many keys there are, of anybody's."""
    return int(await server.ask("DBSIZE"))


def _texts(reply: Any) -> list[str]:
    """Return a list's entries; none of a key of another type."""
    return [] if isinstance(reply, Exception) else [_text(one) for one in reply]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
