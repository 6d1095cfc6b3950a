"""The stream of hints to a browser: its page is told of changes, and asks for its part then."""

import time
from collections.abc import Sequence
from typing import Final

import anyio
import msgspec
from starlette.types import Send

from hms_async.api.dashboard.entry import Look
from hms_async.api.dashboard.hub import Hub, Topic
from hms_async.api.stream import PING_S, Stream, say

MOST_STREAMS: Final = 200
MOST_TOPICS: Final = 20


class Hints(Stream):
    """Which topic has which version now, at most once a second."""

    def __init__(self, look: Look, hub: Hub, topics: Sequence[str]) -> None:
        super().__init__(look)
        self._hub = hub
        self._names = topics

    async def tell(self, send: Send) -> None:
        """Tell of new versions as topics change."""
        with self._hub.watching(self._names) as topics:
            await self._follow(send, topics)

    async def _follow(self, send: Send, topics: dict[str, Topic]) -> None:
        told: dict[str, int] = {}
        while True:
            changed = [topic.changed for topic in topics.values()]
            now = {name: topic.version for name, topic in topics.items()}
            if now != told and self._hub.knows(topics.values()):
                data = {"now": time.time_ns() // 1_000_000, "away": self._hub.away, "topics": now}
                event = b"hello" if not told else b"change"
                await say(send, b"event: %s\ndata: %s\n\n" % (event, msgspec.json.encode(data)))
                told = now
            with anyio.move_on_after(PING_S) as quiet:
                await _any_of(changed)
            if quiet.cancelled_caught:
                await say(send, b"event: ping\ndata: %d\n\n" % (time.time_ns() // 1_000_000))


async def _any_of(events: Sequence[anyio.Event]) -> None:
    async with anyio.create_task_group() as group:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            group.cancel_scope.cancel()

        for event in events:
            group.start_soon(wait, event, name="topic")
