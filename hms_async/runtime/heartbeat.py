"""The thread that keeps leases alive.

It has a connection of its own, so a handler that blocks the event loop does not lose its
siblings' leases. It stops renewing when the loop has not turned for a minute: a worker that is
stuck for good must not hold its tasks for good.
"""

import asyncio
import math
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

import anyio
from anyio import to_thread

from hms_async.errors import HMSError
from hms_async.runtime.leases import Held
from hms_async.storage.renewal import LeaseRenewer
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.worker")

LOOP_STALL_LIMIT_S = 60.0
_BLOCKED_AFTER_S = 1.0
_PULSE_S = 0.25
_AGAIN_S = 1.0


class Heartbeat:
    """Renews all leases at a third of the lease.

    Args:
        renewer: The thread's own way to the store.
        held: What to renew.
        lease_s: Returns the shortest lease of the queues that are served.
        worker_id: Whose leases they are, for the log.
        stall_limit_s: For how long the loop may stand still before its leases are let go.
    """

    def __init__(
        self,
        renewer: LeaseRenewer,
        held: Held,
        *,
        lease_s: Callable[[], float],
        worker_id: str,
        stall_limit_s: float = LOOP_STALL_LIMIT_S,
    ) -> None:
        self._worker_id = worker_id
        self._renewer = renewer
        self._held = held
        self._lease_s = lease_s
        self._stall_limit_s = stall_limit_s
        self._stop = threading.Event()
        self._pulse = time.monotonic()
        self._blocked = False

    async def run(self) -> None:
        """Beat until cancelled; the loop's own part is only to show that it still turns."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(
            target=self._beat, args=(loop, threading.get_ident()), name="hms-heartbeat", daemon=True
        )
        thread.start()
        try:
            while True:
                self._pulse = time.monotonic()
                await anyio.sleep(_PULSE_S)
        finally:
            self._stop.set()
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(thread.join, self._lease_s())

    def _beat(self, loop: asyncio.AbstractEventLoop, loop_thread: int) -> None:
        last, failed = 0.0, False
        while not self._stop.wait(_PULSE_S):
            now = time.monotonic()
            still_for = now - self._pulse
            self._watch(still_for, loop_thread)
            # Asked each time: the lease may have become shorter since the last beat.
            pause = min(self._lease_s() / 3, _AGAIN_S if failed else math.inf)
            if still_for < self._stall_limit_s and now - last >= pause:
                last, failed = now, not self._renew(loop)
        self._renewer.close()

    def _renew(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Renew all leases, each queue by itself; returns whether all could be."""
        renewed = True
        for queue, pairs in self._held.by_queue().items():
            try:
                lost = self._renewer.extend(queue, pairs)
            except HMSError as error:
                renewed = False
                log.warning(
                    "heartbeat.failed", queue=queue, error=str(error), worker_id=self._worker_id
                )
                continue
            if lost:
                with suppress(RuntimeError):  # the loop is closed: the worker is at its end
                    loop.call_soon_threadsafe(self._held.lose, lost)
        return renewed

    def _watch(self, still_for: float, loop_thread: int) -> None:
        """Say once, with the stack, that something blocks the loop; and that it is over."""
        if still_for < _BLOCKED_AFTER_S:
            self._blocked = False
            return
        if self._blocked:
            return
        self._blocked = True
        frame = sys._current_frames().get(loop_thread)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the only way to see another thread's stack
        log.warning(
            "loop.blocked",
            worker_id=self._worker_id,
            lag_s=round(still_for, 3),
            task_ids=[attempt.claim.id for attempt in self._held.attempts()][:10],
            stack="".join(traceback.format_stack(frame)) if frame else "",
        )
