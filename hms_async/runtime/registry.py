"""The worker's card: who works on what, for operators. Nothing depends on it."""

import os
import socket
import time
from collections.abc import Sequence

from hms_async.errors import StoreError
from hms_async.runtime.feed import Feed
from hms_async.runtime.periodic import run_every
from hms_async.storage.store import Store
from hms_async.telemetry.logs import package_version

_EVERY_S = 20.0


class Card:
    """Shows a worker in the list of workers while it lives.

    Args:
        store: Where the list is.
        worker_id: The worker's id.
        slots: How many tasks it can run at once.
        feeds: The queues that it serves.
    """

    def __init__(self, store: Store, worker_id: str, slots: int, feeds: Sequence[Feed]) -> None:
        self._store = store
        self._worker_id = worker_id
        self._slots = slots
        self._feeds = feeds

    async def run(self) -> None:
        """Keep the card fresh until cancelled; without us it goes by itself."""
        await run_every(_EVERY_S, self._write, name="registry")

    async def _write(self) -> bool:
        now = time.monotonic()
        card = {
            "version": package_version(),
            "host": socket.gethostname(),
            "pid": str(os.getpid()),
            "slots": str(self._slots),
            "queues": " ".join(feed.name for feed in self._feeds),
            "running": str(sum(feed.running for feed in self._feeds)),
        }
        # What an exchange has told of the server's time of late is not asked for again.
        latest = max(self._feeds, key=lambda feed: feed.heard_at)
        now_ms = latest.server_ms(now) if now - latest.heard_at < _EVERY_S else None
        await self._store.register_worker(
            self._worker_id, card, ttl_s=int(3 * _EVERY_S), now_ms=now_ms
        )
        return False

    async def take_away(self) -> None:
        """Leave the list."""
        try:
            await self._store.unregister_worker(self._worker_id)
        except StoreError:
            return  # it goes by itself
