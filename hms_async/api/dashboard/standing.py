"""How all queues stand: one reading a second at the most, however many pages show it."""

import time
from typing import Final

import anyio
import msgspec

from hms_async.client import AsyncOMSClient
from hms_async.domain.worker import WorkerCard
from hms_async.runtime.promises import Promise

_FRESH_S: Final = 0.9


class Standing(msgspec.Struct, frozen=True):
    """One reading.

    Attributes:
        promises: Each queue's, the worst first.
        workers: Those that were heard of lately.
        now_ms: The server's clock.
    """

    promises: list[Promise]
    workers: list[WorkerCard]
    now_ms: int

    def of(self, queue: str) -> list[WorkerCard]:
        """Return the workers that serve a queue."""
        return [card for card in self.workers if queue in card.queues]


class Standings:
    """Reads how all queues stand, and keeps that for a moment."""

    def __init__(self) -> None:
        self._reading = anyio.Lock()
        self._last: Standing | None = None
        self._read_at = 0.0

    async def get(self, oms: AsyncOMSClient) -> Standing:
        """Return the last reading, or a new one.

        Raises:
            StoreError: If the store cannot be asked.
        """
        async with self._reading:
            if self._last is None or time.monotonic() - self._read_at > _FRESH_S:
                promises = await oms.sla.ls()
                self._last = Standing(
                    promises=promises,
                    workers=await oms.workers(),
                    now_ms=max([one.stats.now_ms for one in promises], default=0)
                    or time.time_ns() // 1_000_000,
                )
                self._read_at = time.monotonic()
            return self._last

    def forget(self) -> None:
        """Read anew the next time: something was done."""
        self._last = None
