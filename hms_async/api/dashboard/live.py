"""Who is told that a page has changed: one look a second at each thing watched, however many watch.

A *topic* is what a page is about, such as `queue:kyc`. Its *version* grows when a look at it finds
something else than the look before. A stream tells its browser of new versions, and the browser
then asks for the page's part, which is rendered once for each version (`parts.py`).
"""

import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import anyio
import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hms_async.api.dashboard.entry import Look
from hms_async.errors import AccessError, HMSError, StoreError

LOOK_EVERY_S: Final = 1.0
MOST_STREAMS: Final = 200
MOST_TOPICS: Final = 20
_PING_S: Final = 15.0

Pulse = Callable[[str], Awaitable[object]]
"""Looks at a topic; what it returns differs from the last look's when something has changed."""


class _Topic:
    def __init__(self) -> None:
        self.watchers = 0
        self.version = time.time_ns() // 1_000_000  # so that it grows over restarts, too
        self.seen: object = None
        self.changed = anyio.Event()

    def move_on(self) -> None:
        self.version += 1
        self.changed.set()
        self.changed = anyio.Event()


class Hub:
    """Looks at what is watched.

    Args:
        pulse: How to look at a topic.

    Attributes:
        streams: How many browsers are listening.
        away: Whether the last look found the store away.
    """

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._topics: dict[str, _Topic] = {}
        self._wanted = anyio.Event()
        self.streams = 0
        self.away = False

    async def run(self) -> None:
        """Look at each topic once a second, while there are any."""
        while True:
            if not self._topics:
                self._wanted = anyio.Event()
                await self._wanted.wait()
            began = anyio.current_time()
            await self._look()
            await anyio.sleep(max(began + LOOK_EVERY_S - anyio.current_time(), 0.1))

    async def _look(self) -> None:
        away = False
        for name, topic in list(self._topics.items()):
            try:
                seen = await self._pulse(name)
            except StoreError:
                away = True
                continue
            except HMSError as error:  # it was removed
                seen = error.code
            if topic.seen is not None and seen != topic.seen:
                topic.move_on()
            topic.seen = seen
        if away != self.away:
            self.away = away
            for topic in self._topics.values():
                topic.move_on()

    def touch(self, name: str) -> None:
        """Say that a topic has just been changed here: whoever did so is to see it at once."""
        if topic := self._topics.get(name):
            topic.move_on()

    def versions(self, names: Sequence[str]) -> tuple[int, ...] | None:
        """Return the versions of topics; `None` if nobody watches one, so that nobody knows."""
        found = [self._topics.get(name) for name in names]
        known = [topic.version for topic in found if topic is not None and topic.seen is not None]
        return tuple(known) if names and len(known) == len(names) and not self.away else None

    @contextmanager
    def watching(self, names: Sequence[str]) -> Generator[dict[str, _Topic]]:
        """Have topics looked at while inside."""
        mine = {name: self._topics.setdefault(name, _Topic()) for name in names}
        for topic in mine.values():
            topic.watchers += 1
        self.streams += 1
        self._wanted.set()
        try:
            yield mine
        finally:
            self.streams -= 1
            for name, topic in mine.items():
                topic.watchers -= 1
                if not topic.watchers:
                    self._topics.pop(name, None)


class Hints(Response):
    """A stream of hints: which topic has which version now, at most once a second."""

    def __init__(self, look: Look, hub: Hub, topics: Sequence[str]) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self.headers["X-Accel-Buffering"] = "no"
        self._look = look
        self._hub = hub
        self._names = topics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then hints as topics change."""
        del scope, receive  # the look has both
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _say(send, b"retry: 3000\n\n")
        self._look.house.streams += 1
        try:
            with suppress(AccessError), self._hub.watching(self._names) as topics:
                async with self._look.while_there():
                    await self._tell(send, topics)
        finally:
            self._look.house.streams -= 1
        if not self._look.gone:
            body = b"event: bye\ndata: {}\n\n"
            await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _tell(self, send: Send, topics: dict[str, _Topic]) -> None:
        told: dict[str, int] = {}
        while True:
            changed = [topic.changed for topic in topics.values()]
            now = {name: topic.version for name, topic in topics.items()}
            if now != told:
                data = {"now": time.time_ns() // 1_000_000, "away": self._hub.away, "topics": now}
                event = b"hello" if not told else b"change"
                await _say(send, b"event: " + event + b"\ndata: " + msgspec.json.encode(data))
                told = now
            with anyio.move_on_after(_PING_S) as quiet:
                await _any_of(changed)
            if quiet.cancelled_caught:
                await _say(send, b"event: ping\ndata: %d" % (time.time_ns() // 1_000_000))


async def _any_of(events: Sequence[anyio.Event]) -> None:
    async with anyio.create_task_group() as group:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            group.cancel_scope.cancel()

        for event in events:
            group.start_soon(wait, event, name="topic")


async def _say(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data + b"\n\n", "more_body": True})
