"""Reading a queue's stream of events."""

import re
from typing import Any

import msgspec

from hms_async.domain.event import GAP, Event
from hms_async.errors import ConfigInvalid
from hms_async.storage import connect
from hms_async.storage.store import Store

PAGE = 500
START = "0-0"
_ID = re.compile(r"\d{1,20}-\d{1,20}(\.\d{1,3})?")
_LAST_NUMBER = 2**64 - 1


class EventReader:
    """Reads one queue's events in order, from a place on.

    An entry of the stream may tell of several tasks. Each is an event of its own, with the id
    `<entry>.<number>`, so that a reader can go on from any of them.

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
        self._resumes = after is not None and after != START
        self._given = after or START
        # Of the entry that `after` is a part of, the rest is still to be read.
        self._last_entry, _, number = self._given.partition(".")
        self._read_of_it = int(number) + 1 if number else 0
        self._after = _before(self._last_entry) if number else after

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
            for entry_id, fields in entries:
                self._after = entry_id.decode()
                events += self._events(self._after, fields)
        return events

    async def _gap(self) -> list[Event]:
        """A reader that comes back after entries were trimmed is told so (R20)."""
        with connect.translated():
            first = await self._redis.xrange(self._key, count=1)
            known = await self._redis.xrange(self._key, min=self._last_entry, max=self._last_entry)
        if known or (first and _place(first[0][0].decode()) <= _place(self._last_entry)):
            return []
        return [Event(id=self._given, type=GAP, queue=self._queue, fields={})]

    def _events(self, entry_id: str, fields: dict[bytes, bytes]) -> list[Event]:
        text = {key.decode(errors="replace"): _text(value) for key, value in fields.items()}
        kind, ids = text.pop("type", ""), text.pop("ids", None)
        if ids is None:
            task_id, corr = text.pop("id", None), text.pop("corr", None)
            return [self._event(entry_id, kind, task_id, corr, text)]
        cases = _cases(text.pop("corrs", ""))
        start = self._read_of_it if entry_id == self._last_entry else 0
        return [
            self._event(f"{entry_id}.{number}", kind, task_id, cases.get(number), text)
            for number, task_id in enumerate(ids.split())
            if number >= start
        ]

    def _event(
        self, place: str, kind: str, task_id: str | None, corr: str | None, fields: dict[str, str]
    ) -> Event:
        return Event(
            id=place,
            type=kind,
            queue=self._queue,
            task_id=task_id,
            correlation_id=corr or None,
            fields=fields,
        )


def _cases(corrs: str) -> dict[int, str]:
    try:
        return dict(enumerate(msgspec.json.decode(corrs, type=list[str]))) if corrs else {}
    except msgspec.DecodeError:  # a foreign hand's
        return {}


def _text(value: bytes) -> str:
    # A foreign producer's bytes may be none of UTF-8.
    return value.decode(errors="replace")


def _before(entry_id: str) -> str:
    """Return the place right before an entry."""
    milliseconds, number = _place(entry_id)
    return f"{milliseconds}-{number - 1}" if number else f"{milliseconds - 1}-{_LAST_NUMBER}"


def _place(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
