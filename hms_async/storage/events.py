"""Reading a queue's stream of events."""

import re
from typing import Any

from hms_async.domain.event import GAP, Event
from hms_async.errors import ConfigInvalid
from hms_async.storage import connect
from hms_async.storage.store import Store

PAGE = 500
START = "0-0"
_ID = re.compile(r"\d{1,20}-\d{1,20}")


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
        if after is not None and not _ID.fullmatch(after):
            raise ConfigInvalid(f"after={after!r} is not the id of an event, such as {START!r}")
        self._redis: Any = store.waiting
        self._key = store.keys.part(queue, "events")
        self._queue = queue
        self._after = after
        self._resumes = after is not None and after != START

    async def start(self) -> None:
        """Fix the place to read from, so that nothing from now on is missed."""
        if self._after is None:
            with connect.translated():
                last = await self._redis.xrevrange(self._key, count=1)
            self._after = last[0][0].decode() if last else START

    async def read(self, wait_ms: int) -> list[Event]:
        """Return the next events, at most a page of them; none when nothing came in time."""
        await self.start()
        events = await self._gap() if self._resumes else []
        self._resumes = False
        with connect.translated():
            reply = await self._redis.xread({self._key: self._after}, count=PAGE, block=wait_ms)
        for _, entries in reply:
            events += [self._event(entry_id, fields) for entry_id, fields in entries]
        if events:
            self._after = events[-1].id
        return events

    async def _gap(self) -> list[Event]:
        """A reader that comes back after entries were trimmed is told so (R20)."""
        with connect.translated():
            first = await self._redis.xrange(self._key, count=1)
            known = await self._redis.xrange(self._key, min=self._after, max=self._after)
        if known or (first and _place(first[0][0].decode()) <= _place(str(self._after))):
            return []
        return [Event(id=str(self._after), type=GAP, queue=self._queue, fields={})]

    def _event(self, entry_id: bytes, fields: dict[bytes, bytes]) -> Event:
        text = {
            key.decode(errors="replace"): value.decode(errors="replace")
            for key, value in fields.items()
        }
        return Event(
            id=entry_id.decode(),
            type=text.pop("type", ""),
            queue=self._queue,
            task_id=text.pop("id", None),
            correlation_id=text.pop("corr", None) or None,
            fields=text,
        )


def _place(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
