"""Who is told that a page has changed: one look a second at each thing watched, however many watch.

A *topic* is what a page is about, such as `queue:kyc`. Its *version* grows when a look at it finds
something else than the look before. A stream tells its browser of new versions, and the browser
then asks for the page's part, which is rendered once for each version (`parts.py`).
"""

import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Final

import anyio

from hms_async.errors import HMSError, StoreError
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.web")

LOOK_EVERY_S: Final = 1.0

Pulse = Callable[[str], Awaitable[object]]
"""Looks at a topic; what it returns differs from the last look's when something has changed."""


class Topic:
    """Something that is watched, and its version."""

    def __init__(self) -> None:
        self.watchers = 0
        self.version = time.time_ns() // 1_000_000  # so that it grows over restarts, too
        self.seen: object = None
        self.changed = anyio.Event()

    def move_on(self) -> None:
        """Count a change, and wake those who wait for one."""
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
        self._topics: dict[str, Topic] = {}
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
            except Exception as error:
                log.exception("dashboard.look_failed", topic=name)
                seen = repr(error)  # the pages of others go on
            if seen != topic.seen:
                topic.seen = seen
                topic.move_on()
        if away != self.away:
            self.away = away
            for topic in self._topics.values():
                topic.move_on()

    def knows(self, topics: Iterable[Topic]) -> bool:
        """Return whether all of these were looked at: from then on no change is missed."""
        return self.away or all(topic.seen is not None for topic in topics)

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
    def watching(self, names: Sequence[str]) -> Generator[dict[str, Topic]]:
        """Have topics looked at while inside."""
        mine = {name: self._topics.setdefault(name, Topic()) for name in names}
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
