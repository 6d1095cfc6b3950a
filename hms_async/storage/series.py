"""A queue over time: rolling up its counters, and reading them; which promises it broke lately.

The scripts count into one hash a minute. Those are kept for two days, ten minutes for two weeks,
hours for 400 days; what was not rolled up yet is read from what it will be made of.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    now_ms, (pieces,) = await read_pieces_of(server, [queue], span_ms, step_ms)
    return now_ms, pieces


async def read_pieces_of(
    server: Server, queues: Sequence[str], span_ms: int, step_ms: int
) -> tuple[int, list[list[Piece]]]:
    """Return the same of several queues, in two round trips for all of them."""
    async with server.pipeline() as pipe:
        pipe.time()
        for queue in queues:
            pipe.get(server.keys.part(queue, "rolled"))
        time, *marks = await pipe.execute(raise_on_error=False)
    now_ms = server.now_ms(time)
    plans = [_Plan(now_ms, span_ms, step_ms, mark) for mark in marks]
    async with server.pipeline() as pipe:
        for queue, plan in zip(queues, plans, strict=True):
            for name in plan.names():
                pipe.hgetall(server.keys.part(queue, name))
        replies = iter(await pipe.execute(raise_on_error=False))
    return now_ms, [plan.pieces(replies) for plan in plans]


class _Plan:
    """Which keys hold what was counted, each read in what it was rolled up into."""

    def __init__(self, now_ms: int, span_ms: int, step_ms: int, mark: Any) -> None:
        tens = None if isinstance(mark, Exception) else codec.decode_number(mark)
        # From where on nothing of that length has been rolled up.
        rolled_ms = min((tens or 0) * TEN_MINUTES_MS, now_ms)
        begin_ms = (now_ms - span_ms) // step_ms * step_ms
        self._rolled: list[tuple[int, int, int]] = []
        for length_ms in (HOUR_MS, TEN_MINUTES_MS):
            end_ms = rolled_ms // length_ms * length_ms
            if length_ms <= resolution_ms(step_ms) and begin_ms < end_ms:
                self._rolled.append((length_ms, begin_ms, end_ms))
                begin_ms = end_ms
        self._minutes = _numbers(max(begin_ms, now_ms - KEPT_MS[MINUTE_MS]), now_ms, MINUTE_MS)

    def names(self) -> Iterator[str]:
        for length_ms, first_ms, last_ms in self._rolled:
            for day in _numbers(first_ms, last_ms - 1, DAY_MS):
                yield f"{_PARTS[length_ms]}:{day}"
        for minute in self._minutes:
            yield f"stats:{minute}"

    def pieces(self, replies: Iterator[Any]) -> list[Piece]:
        found: list[Piece] = []
        for length_ms, first_ms, last_ms in self._rolled:
            for day in _numbers(first_ms, last_ms - 1, DAY_MS):
                of_day = _of_day(next(replies), day * DAY_MS, length_ms)
                found += [piece for piece in of_day if first_ms <= piece[0] < last_ms]
        found += [(minute * MINUTE_MS, _of_minute(next(replies))) for minute in self._minutes]
        return [piece for piece in found if piece[1]]


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
