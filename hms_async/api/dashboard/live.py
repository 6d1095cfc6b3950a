"""The stream of hints to a browser: its page is told of changes, and asks for its part then."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import anyio
import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hms_async.api.dashboard.entry import Look
from hms_async.api.dashboard.hub import Hub, Topic
from hms_async.errors import AccessError

MOST_STREAMS: Final = 200
MOST_TOPICS: Final = 20
_PING_S: Final = 15.0


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

    async def _tell(self, send: Send, topics: dict[str, Topic]) -> None:
        told: dict[str, int] = {}
        while True:
            changed = [topic.changed for topic in topics.values()]
            now = {name: topic.version for name, topic in topics.items()}
            if now != told and self._hub.knows(topics.values()):
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
