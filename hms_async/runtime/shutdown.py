"""How a worker stops: drain, then hand back, then leave."""

import os
import signal
from collections.abc import Callable

import anyio

from hms_async.runtime.leases import Held
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.worker")

CANCEL_GRACE_S = 1.0
"""How long a cancelled handler may take to end before its task is handed back over its head."""


class Stop:
    """Whether a worker is to stop, and how quickly."""

    def __init__(self) -> None:
        self.draining = False
        self.handing_back = False
        self.signal: int | None = None
        self._drain = anyio.Event()
        self._hand_back = anyio.Event()
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this whenever the answer changes."""
        self._listeners.append(listener)

    def drain(self) -> None:
        """Take nothing more, and finish what runs."""
        self.draining = True
        self._drain.set()
        self._tell()

    def hand_back(self) -> None:
        """Cancel what runs, and hand it back."""
        self.draining = self.handing_back = True
        self._drain.set()
        self._hand_back.set()
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    async def run(self, held: Held, *, timeout_s: float, worker_id: str) -> None:
        """Wait for the word to stop, then see it through.

        Returns when all that runs has been cancelled and had its time to end.
        """
        await self._drain.wait()
        log.info(
            "worker.draining",
            worker_id=worker_id,
            reason=signal.Signals(self.signal).name if self.signal else "asked to stop",
            running=len(held),
        )
        with anyio.move_on_after(timeout_s):
            await self._hand_back.wait()
        self.hand_back()
        held.cancel_all()
        await anyio.sleep(CANCEL_GRACE_S)

    async def watch_signals(self) -> None:
        """The first SIGTERM or SIGINT drains, the second hands back, the third ends at once."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                self.signal = int(number)
                if self.handing_back:
                    os._exit(128 + self.signal)
                if self.draining:
                    self.hand_back()
                else:
                    self.drain()
