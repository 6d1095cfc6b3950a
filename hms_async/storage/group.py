"""Reading a queue's stream of events in a group: each event at least once, to one of its readers.

The group is one of Redis' own, so readers in other languages may be in it.
"""

import time
from typing import Any

from redis import exceptions

from hms_async.domain.event import Event
from hms_async.storage import connect
from hms_async.storage.entries import events_of, gap
from hms_async.storage.events import START, are_missing, check_place, place_before
from hms_async.storage.store import Store

TAKE_OVER_AFTER_MS = 60_000
LOOK_EVERY_S = 10.0
_FROM_NOW_ON = "$"
# The second from Redis 7.0 on, to one who waits when the stream is removed.
_NO_GROUP = ("NOGROUP", "UNBLOCKED")
_REPLY_OF_7 = 3

_Entry = tuple[bytes, dict[bytes, bytes]]


class GroupReader:
    """Reads one queue's events as one consumer of a group.

    It holds one entry at a time. So when it dies no more than that one has to wait for another
    consumer, and while one is slow the others have the rest.

    Args:
        store: Where the queue is.
        queue: Its name.
        group: The group's name; it is made at its first use.
        consumer: This reader's name. Two at a time must not share one.
        after: Where a group that is new begins: after this event, or with what comes from now on.

    Raises:
        ConfigInvalid: If `after` is not the id of an event.
    """

    def __init__(
        self, store: Store, queue: str, *, group: str, consumer: str, after: str | None = None
    ) -> None:
        self._redis: Any = store.waiting
        self._in_memory = connect.is_memory(store.url)
        self._key = store.keys.part(queue, "events")
        self._queue = queue
        self._group = group
        self._consumer = consumer
        self._begin = check_place(after)
        self._told: bytes | None = None
        self._comes_back = True
        self._has_pending = True
        self._cursor: bytes | str = START
        self._look_at = 0.0

    async def start(self) -> None:
        """Make the group where there is none, so that it misses nothing from now on."""
        with connect.translated():
            await self._make(_FROM_NOW_ON if self._begin is None else place_before(self._begin)[0])

    async def read(self, wait_ms: int) -> list[Event]:
        """Acknowledge what the call before returned, and return the events of one more entry.

        Returns:
            None when nothing came in time.
        """
        try:
            with connect.translated():
                return await self._read(wait_ms)
        except BaseException:
            # The answer may have been under way with an entry, which is ours then; and an outage
            # may last for longer than entries do.
            self._has_pending = self._comes_back = True
            raise

    async def _read(self, wait_ms: int) -> list[Event]:
        if self._told is not None:
            await self._redis.xack(self._key, self._group, self._told)
            self._told = None
        try:
            return await self._next(wait_ms)
        except exceptions.ResponseError as error:
            if not str(error).startswith(_NO_GROUP):
                raise
            # The server has lost its data, or somebody removed the group. What has been told
            # of what is there nobody knows.
            await self._make(START)
            return [gap(self._queue, START)]

    async def _make(self, place: str) -> None:
        try:
            await self._redis.xgroup_create(self._key, self._group, place, mkstream=True)
        except exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _next(self, wait_ms: int) -> list[Event]:
        if self._comes_back:
            seen = await self._last_delivered()
            missing = await are_missing(self._redis, self._key, seen)
            self._comes_back = False
            if missing:
                return [gap(self._queue, seen)]
        while True:
            if self._has_pending:
                entry = await self._ask(START)
                if entry is not None:
                    return self._tell(entry)
                self._has_pending = False
            gone = await self._take_over() if time.monotonic() >= self._look_at else []
            if gone:
                return [gap(self._queue, place) for place in gone]
            if not self._has_pending:
                entry = await self._new(wait_ms)
                return [] if entry is None else self._tell(entry)

    async def _last_delivered(self) -> str:
        for group in await self._redis.xinfo_groups(self._key):
            if group["name"].decode() == self._group:
                return str(group["last-delivered-id"].decode())
        return START

    async def _take_over(self) -> list[str]:
        """Take over an entry of a consumer that fell silent.

        Returns:
            The places of those whose entries are gone. Before Redis 7.0 they are taken over, too.
        """
        reply: list[Any] = await self._redis.xautoclaim(
            self._key,
            self._group,
            self._consumer,
            min_idle_time=TAKE_OVER_AFTER_MS,
            start_id=self._cursor,
            count=1,
        )
        self._cursor, taken = reply[:2]
        self._has_pending = bool(taken)
        if not taken and self._cursor == START.encode():
            self._look_at = time.monotonic() + LOOK_EVERY_S
        gone: list[bytes] = reply[2] if len(reply) == _REPLY_OF_7 else []
        return [place.decode() for place in gone]

    async def _new(self, wait_ms: int) -> _Entry | None:
        if not self._in_memory:
            return await self._ask(">", wait_ms)
        # fakeredis never waits in XREADGROUP; in XREAD it does.
        last = await self._redis.xrevrange(self._key, count=1)
        entry = await self._ask(">")
        if entry is None:
            place = last[0][0] if last else START
            await self._redis.xread({self._key: place}, count=1, block=wait_ms)
        return entry

    async def _ask(self, place: str, wait_ms: int | None = None) -> _Entry | None:
        reply = await self._redis.xreadgroup(
            self._group, self._consumer, {self._key: place}, count=1, block=wait_ms
        )
        entries = [entry for _, entries in reply for entry in entries]
        return entries[0] if entries else None

    def _tell(self, entry: _Entry) -> list[Event]:
        self._told, fields = entry
        entry_id = self._told.decode()
        # Pending, but trimmed away in the meantime.
        return events_of(self._queue, entry_id, fields) if fields else [gap(self._queue, entry_id)]
