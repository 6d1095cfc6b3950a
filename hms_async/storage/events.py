"""Reading a queue's stream of events, each reader for itself."""

import re
from typing import Any

from hms_async.domain.event import Event
from hms_async.errors import ConfigInvalid
from hms_async.storage import connect
from hms_async.storage.entries import events_of, gap
from hms_async.storage.store import Store

PAGE = 500
START = "0-0"
_ID = re.compile(r"\d{1,20}-\d{1,20}(\.\d{1,3})?")
_LAST_NUMBER = 2**64 - 1


class EventReader:
    """Reads one queue's events in order, from a place on.

    Args:
        store: Where the queue is.
        queue: Its name.
        after: The id of the last event that was read; `None` for what comes from now on.

    Raises:
        ConfigInvalid: If `after` is not the id of an event.
    """

    def __init__(self, store: Store, queue: str, after: str | None = None) -> None:
        self._redis: Any = store.waiting
        self._key = store.keys.part(queue, "events")
        self._queue = queue
        self._seen = check_place(after)
        self._comes_back = after is not None

    async def start(self) -> None:
        """Fix the place to read from, so that nothing from now on is missed."""
        await self._start()

    async def _start(self) -> str:
        if self._seen is None:
            with connect.translated():
                last = await self._redis.xrevrange(self._key, count=1)
            self._seen = last[0][0].decode() if last else START
        return self._seen

    async def read(self, wait_ms: int) -> list[Event]:
        """Return the next events, at most a page of them; none when nothing came in time."""
        seen = await self._start()
        after, first = place_before(seen)
        events: list[Event] = []
        try:
            with connect.translated():
                # A reader that comes back after entries were trimmed is told so (R20).
                if self._comes_back and await are_missing(self._redis, self._key, seen):
                    events.append(gap(self._queue, seen))
                reply = await self._redis.xread({self._key: after}, count=PAGE, block=wait_ms)
        except BaseException:
            self._comes_back = True  # an outage may last for longer than entries do
            raise
        self._comes_back = False
        for _, entries in reply:
            for name, fields in entries:
                entry_id = name.decode()
                skipped = first if entry_id == entry_of(seen) else 0
                events += events_of(self._queue, entry_id, fields, first=skipped)
                self._seen = entry_id
        return events


def check_place(after: str | None) -> str | None:
    """Return the id of an event, or nothing.

    Raises:
        ConfigInvalid: If it is none.
    """
    if after is not None and not _ID.fullmatch(after):
        raise ConfigInvalid(f"after={after!r} is not the id of an event, such as {START!r}")
    return after


def entry_of(event_id: str) -> str:
    """Return the id of the entry that tells of an event."""
    return event_id.partition(".")[0]


def place_before(event_id: str) -> tuple[str, int]:
    """Return after which entry to read on from an event, and which of the next one's it is.

    Of an entry that tells of several tasks the rest is still to be read.
    """
    entry_id, _, number = event_id.partition(".")
    if not number:
        return entry_id, 0
    milliseconds, count = _numbers(entry_id)
    before = f"{milliseconds}-{count - 1}" if count else f"{milliseconds - 1}-{_LAST_NUMBER}"
    return before, int(number) + 1


async def are_missing(redis: Any, key: str, seen: str) -> bool:
    """Tell whether entries after this event may have been trimmed away: it is gone itself."""
    entry_id = entry_of(seen)
    if entry_id == START:
        return False
    first = await redis.xrange(key, count=1)
    if first and _numbers(first[0][0].decode()) <= _following(_numbers(entry_id)):
        return False
    return not await redis.xrange(key, min=entry_id, max=entry_id)


def _following(numbers: tuple[int, int]) -> tuple[int, int]:
    milliseconds, count = numbers
    return (milliseconds, count + 1) if count < _LAST_NUMBER else (milliseconds + 1, 0)


def _numbers(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
