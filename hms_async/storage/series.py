"""A queue over time: rolling up its counters, and reading them.

The scripts count into one hash a minute. Those are kept for two days, ten minutes for two weeks,
hours for 400 days; what was not rolled up yet is read from what it will be made of.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

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
_PARTS = {HOUR_MS: "stats1h", TEN_MINUTES_MS: "stats10m"}
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

    Raises:
        QueueNotFound: If nobody created the queue.
    """
    reply = await server.run("counted", queue, *_asked(span_ms, step_ms))
    looks = [_Look(queue, reply, span_ms, step_ms)]
    return looks[0].now_ms, (await _read_days(server, looks))[0]


async def read_pieces_of(
    server: Server, queues: Sequence[str], span_ms: int, step_ms: int
) -> list[list[Piece]]:
    """Return the pieces of several queues, in two round trips for all of them.

    A queue that was removed, or that a foreign hand has broken, has none.
    """
    asked = _asked(span_ms, step_ms)
    replies: list[list[Any] | bytes | Exception] = await server.run_each(
        ("counted", queue, asked) for queue in queues
    )
    looks = [
        _Look(queue, reply if isinstance(reply, list) else (0, 0), span_ms, step_ms)
        for queue, reply in zip(queues, replies, strict=True)
    ]
    return await _read_days(server, looks)


def _asked(span_ms: int, step_ms: int) -> tuple[int, int, int]:
    return span_ms, step_ms, resolution_ms(step_ms)


class _Look:
    """What the script counted of a queue, and which days have to be read beside."""

    def __init__(self, queue: str, reply: Sequence[Any], span_ms: int, step_ms: int) -> None:
        self.now_ms, rolled_ms, *self._minutes = reply
        from_ms = (self.now_ms - span_ms) // step_ms * step_ms
        self.queue = queue
        self.days = list(_days(from_ms, rolled_ms, resolution_ms(step_ms)))

    def pieces(self, replies: Iterator[Any]) -> list[Piece]:
        """Return the pieces, given what the days hold."""
        found: list[Piece] = []
        for day in self.days:
            # A foreign hand may have made something else of it.
            if not isinstance(reply := next(replies), Exception):
                found += day.pieces(reply)
        minutes = zip(self._minutes[::2], self._minutes[1::2], strict=True)
        return found + [(minute * MINUTE_MS, _of_fields(flat)) for minute, flat in minutes]


async def _read_days(server: Server, looks: Sequence[_Look]) -> list[list[Piece]]:
    replies: list[Any] = []
    if any(look.days for look in looks):
        async with server.pipeline() as pipe:
            for look in looks:
                for day in look.days:
                    pipe.hgetall(server.keys.part(look.queue, day.part))
            replies = await pipe.execute(raise_on_error=False)
    in_order = iter(replies)
    return [look.pieces(in_order) for look in looks]


class _Day(NamedTuple):
    """The counters of a day's periods, all in one hash.

    Attributes:
        part: Which of the queue's keys.
        length_ms: How long each period is.
        at_ms: When the day began.
        first_ms: Of those from here on.
        last_ms: Until here, exclusive.
    """

    part: str
    length_ms: int
    at_ms: int
    first_ms: int
    last_ms: int

    def pieces(self, fields: Mapping[bytes, bytes]) -> Iterator[Piece]:
        """Yield the counters of each period."""
        for field, text in fields.items():
            at_ms = self.at_ms + (codec.decode_number(field) or 0) * self.length_ms
            if field.isdigit() and self.first_ms <= at_ms < self.last_ms:
                yield at_ms, _of_text(text)


def _days(from_ms: int, rolled_ms: int, longest_ms: int) -> Iterator[_Day]:
    """Yield where the counters of a span are that are rolled up, as coarse as they may be.

    Args:
        from_ms: The first instant.
        rolled_ms: From when on nothing is rolled up yet.
        longest_ms: How long a period may be.
    """
    begin_ms = from_ms
    for length_ms, part in _PARTS.items():
        end_ms = rolled_ms // length_ms * length_ms
        if length_ms <= longest_ms and begin_ms < end_ms:
            for day in _numbers(begin_ms, end_ms - 1, DAY_MS):
                yield _Day(f"{part}:{day}", length_ms, day * DAY_MS, begin_ms, end_ms)
            begin_ms = end_ms


def _numbers(first_ms: int, last_ms: int, length_ms: int) -> range:
    """Return the numbers of the periods in which two instants lie, and of all between."""
    return range(first_ms // length_ms, last_ms // length_ms + 1)


def _of_text(text: bytes) -> Counts:
    try:
        counted = _counted.decode(text.decode(errors="replace"))
    except codec.UNREADABLE:
        return {}
    return {name: int(value) for name, value in counted.items()}


def _of_fields(flat: Sequence[bytes]) -> Counts:
    numbers = zip(flat[::2], map(codec.decode_number, flat[1::2]), strict=True)
    return {name.decode(errors="replace"): n for name, n in numbers if n is not None}
