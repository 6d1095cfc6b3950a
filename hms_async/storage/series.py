"""A queue over time: rolling up its counters, and reading them; which promises it broke lately.

The scripts count into one hash a minute. Those are kept for two days, ten minutes for two weeks,
hours for 400 days; what was not rolled up yet is read from what it will be made of.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from hms_async.domain.queue import ALPHABET
from hms_async.domain.series import (
    DAY_MS,
    HOUR_MS,
    KEPT_MS,
    MINUTE_MS,
    TEN_MINUTES_MS,
    Counts,
    Piece,
    resolution_ms,
)
from hms_async.storage import codec
from hms_async.storage.server import Server

_TENS_A_CALL = 36
_MOST_MISSES = 1_000
_PARTS = {TEN_MINUTES_MS: "stats10m", HOUR_MS: "stats1h"}
_counted = msgspec.json.Decoder(dict[str, float])


async def roll_up(server: Server, queue: str) -> bool:
    """Roll up a bounded number of the periods that are over; returns whether more are due.

    Raises:
        QueueNotFound: If nobody created the queue.
    """
    return bool(await server.run("roll_up", queue, _TENS_A_CALL))


def key_names(server: Server, queue: str, now_ms: int) -> list[str]:
    """Return every key that the counters of a queue's periods may be in."""
    names = [
        server.keys.part(queue, f"stats:{minute}")
        for minute in _numbers(now_ms - KEPT_MS[MINUTE_MS], now_ms + MINUTE_MS, MINUTE_MS)
    ]
    for length_ms, part in _PARTS.items():
        days = _numbers(now_ms - KEPT_MS[length_ms] - DAY_MS, now_ms + DAY_MS, DAY_MS)
        names += [server.keys.part(queue, f"{part}:{day}") for day in days]
    return names


async def read_pieces(
    server: Server, queue: str, span_ms: int, step_ms: int
) -> tuple[int, list[Piece]]:
    """Return what was counted in a queue lately, in pieces of which steps can be made.

    Args:
        server: Where the queue is.
        queue: The queue.
        span_ms: How far back.
        step_ms: The length of the steps; the piece of the first one is whole.

    Returns:
        The server's clock, and the pieces in which something was counted.
    """
    async with server.pipeline() as pipe:
        pipe.time()
        pipe.get(server.keys.part(queue, "rolled"))
        time, rolled = await pipe.execute(raise_on_error=False)
    now_ms = server.now_ms(time)
    from_ms = (now_ms - span_ms) // step_ms * step_ms
    resolution = resolution_ms(step_ms)
    tens = None if isinstance(rolled, Exception) else codec.decode_number(rolled)
    # From where on nothing of that length has been rolled up.
    rolled_ms = min((tens or 0) * TEN_MINUTES_MS, now_ms)
    begin_ms = from_ms
    reads: list[tuple[int, int, int]] = []
    for length_ms in (HOUR_MS, TEN_MINUTES_MS):
        end_ms = rolled_ms // length_ms * length_ms
        if length_ms <= resolution and begin_ms < end_ms:
            reads.append((length_ms, begin_ms, end_ms))
            begin_ms = end_ms
    minutes_ms = max(begin_ms, now_ms - KEPT_MS[MINUTE_MS])
    minutes = _numbers(minutes_ms, now_ms, MINUTE_MS)
    async with server.pipeline() as pipe:
        for length_ms, first_ms, last_ms in reads:
            for day in _numbers(first_ms, last_ms - 1, DAY_MS):
                pipe.hgetall(server.keys.part(queue, f"{_PARTS[length_ms]}:{day}"))
        for minute in minutes:
            pipe.hgetall(server.keys.part(queue, f"stats:{minute}"))
        replies = iter(await pipe.execute(raise_on_error=False))
    pieces: list[Piece] = []
    for length_ms, first_ms, last_ms in reads:
        for day in _numbers(first_ms, last_ms - 1, DAY_MS):
            found = _of_day(next(replies), day * DAY_MS, length_ms)
            pieces += [piece for piece in found if first_ms <= piece[0] < last_ms]
    pieces += [
        (minute * MINUTE_MS, _of_minute(reply))
        for minute, reply in zip(minutes, replies, strict=True)
    ]
    return now_ms, [piece for piece in pieces if piece[1]]


class Miss(NamedTuple):
    """A task that broke its promise, as its end noted it.

    Attributes:
        id: The task.
        late_ms: By how much; 0 for one that expired before it was due.
        ended_ms: When.
    """

    id: str
    late_ms: int
    ended_ms: int


async def read_misses(server: Server, queue: str, since_ms: int) -> list[Miss]:
    """Return those of the latest 1,000 misses of a queue that are no older, the worst first."""
    key = server.keys.part(queue, "missed")
    async with server.pipeline() as pipe:
        pipe.zrangebyscore(key, since_ms, "+inf", start=0, num=_MOST_MISSES, withscores=True)
        (found,) = await pipe.execute(raise_on_error=False)
    if isinstance(found, Exception):  # a foreign hand has made something else of it
        return []
    entries: list[tuple[bytes, float]] = found
    misses: list[Miss] = []
    for member, ended_ms in entries:
        late, _, task_id = member.decode(errors="replace").partition(":")
        if late.isdecimal() and ALPHABET.fullmatch(task_id):
            misses.append(Miss(task_id, int(late), int(ended_ms)))
    return sorted(misses, key=lambda miss: miss.late_ms, reverse=True)


def _numbers(first_ms: int, last_ms: int, length_ms: int) -> range:
    """Return the numbers of the periods in which two instants lie, and of all between."""
    return range(first_ms // length_ms, last_ms // length_ms + 1)


def _of_day(reply: Any, day_ms: int, length_ms: int) -> Iterable[Piece]:
    if isinstance(reply, Exception):  # a foreign hand has made something else of it
        return
    for field, text in reply.items():
        number = codec.decode_number(field)
        if number is not None:
            yield day_ms + number * length_ms, _of_text(text)


def _of_text(text: bytes) -> Counts:
    try:
        counted = _counted.decode(text.decode(errors="replace"))
    except codec.UNREADABLE:
        return {}
    return {name: int(value) for name, value in counted.items()}


def _of_minute(reply: Any) -> Counts:
    if isinstance(reply, Exception):
        return {}
    counted: Mapping[bytes, bytes] = reply
    numbers = {name: codec.decode_number(value) for name, value in counted.items()}
    return {
        name.decode(errors="replace"): value for name, value in numbers.items() if value is not None
    }
