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
from typing import Any

import anyio
from anyio import to_thread

from hms_async.runtime.leases import Held
from hms_async.runtime.slots import Slots
from hms_async.storage.renewal import LeaseRenewer
from hms_async.telemetry.logs import get_logger
from hms_async.telemetry.text import as_text
from hms_async.telemetry.vitals import PULSE_S, Vitals

log = get_logger("hms_async.worker")

_PULSE_S = PULSE_S
_BLOCKED_AFTER_S = 1.0
_FROZEN_AFTER_S = 1.5
_AGAIN_S = 1.0
_AGAIN_SHARE = 10


class Heartbeat:
    """Renews all leases at a third of the lease.

    Args:
        renewer: The thread's own way to the store.
        held: What to renew.
        slots: Where handlers run, to name the one that blocks the loop.
        lease_s: Returns the shortest lease of the queues that are served.
        worker_id: Whose leases they are, for the log.
        stall_limit_s: For how long the loop may stand still before its leases are let go.
        vitals: Where it is noted that the loop turns, and what came of renewals.
    """

    def __init__(
        self,
        renewer: LeaseRenewer,
        held: Held,
        slots: Slots,
        *,
        lease_s: Callable[[], float],
        worker_id: str,
        stall_limit_s: float,
        vitals: Vitals | None = None,
    ) -> None:
        self._vitals = vitals or Vitals()
        self._renewer = renewer
        self._held = held
        self._lease_s = lease_s
        self._stall_limit_s = stall_limit_s
        self._stop = threading.Event()
        self._watch = _LoopWatch(
            self._vitals, held, slots, worker_id=worker_id, stall_limit_s=stall_limit_s
        )
        self._worker_id = worker_id

    async def run(self) -> None:
        """Beat until cancelled; the loop's own part is only to show that it still turns."""
        self._watch.begin()
        loop = asyncio.get_running_loop()
        thread = threading.Thread(
            target=self._beat, args=(loop,), name="hms-heartbeat", daemon=True
        )
        thread.start()
        try:
            await self._vitals.beat(_PULSE_S)
        finally:
            self._stop.set()
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(thread.join, self._lease_s())

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        last, failed = -math.inf, False
        began = time.monotonic()
        while not self._stop.wait(_PULSE_S):
            still_for = self._watch.look(slept_s=time.monotonic() - began)
            # Asked each time: the lease may have become shorter since the last beat.
            lease_s = self._lease_s()
            pause = min(_AGAIN_S, lease_s / _AGAIN_SHARE) if failed else lease_s / 3
            now = time.monotonic()
            if still_for < self._stall_limit_s and now - last >= pause:
                last, failed = now, not self._renew(loop)
            began = time.monotonic()
        self._renewer.close()

    def _renew(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Renew all leases, each queue by itself; returns whether all could be."""
        renewed = True
        for queue, pairs in self._held.by_queue().items():
            try:
                extended = self._renewer.extend(queue, pairs)
            except Exception as error:  # noqa: BLE001  # without this thread all leases would go
                renewed = False
                self._vitals.renewals["error"] += len(pairs)
                log.warning(
                    "heartbeat.failed", queue=queue, error=as_text(error), worker_id=self._worker_id
                )
                continue
            self._vitals.renewals["ok"] += len(pairs) - len(extended.lost)
            self._vitals.renewals["lost"] += len(extended.lost)
            with suppress(RuntimeError):  # the loop is closed: the worker is at its end
                if extended.lost:
                    loop.call_soon_threadsafe(self._held.lose, extended.lost)
                if extended.cancelling:
                    loop.call_soon_threadsafe(self._held.ask_to_cancel, extended.cancelling)
        return renewed


class _LoopWatch:
    """Says once when something blocks the loop, who it is, and when the leases are let go."""

    def __init__(
        self, vitals: Vitals, held: Held, slots: Slots, *, worker_id: str, stall_limit_s: float
    ) -> None:
        self._vitals = vitals
        self._held = held
        self._slots = slots
        self._worker_id = worker_id
        self._stall_limit_s = stall_limit_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._blocked = self._stalled = False

    def begin(self) -> None:
        """Watch the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()

    def look(self, *, slept_s: float) -> float:
        """Return for how many seconds the loop has stood still; for the thread beside it.

        Args:
            slept_s: For how long that thread has slept, when it wanted to sleep for a pulse.
        """
        still_for = self._vitals.still_for_s()
        if slept_s >= _FROZEN_AFTER_S:
            # We stood still ourselves: the process was stopped, or something kept the interpreter
            # to itself. Who is at work now may tell which.
            log.warning("worker.frozen", frozen_s=round(slept_s, 3), **self._suspicion())
        elif still_for < _BLOCKED_AFTER_S:
            self._blocked = self._stalled = False
        elif not self._blocked:
            self._blocked = True
            log.warning("loop.blocked", lag_s=round(still_for, 3), **self._suspicion())
        elif still_for >= self._stall_limit_s and not self._stalled:
            self._stalled = True
            log.error("loop.stalled", lag_s=round(still_for, 3), **self._suspicion())
        return still_for

    def _suspicion(self) -> dict[str, Any]:
        """Who blocks the loop: the handler in whose coroutine it stands, and where."""
        work = self._slots.work_of(asyncio.current_task(self._loop)) if self._loop else None
        if work is None:
            # A coroutine that a handler started, or the service's own: all that run are named.
            tasks, handler = [one.claim.id for one in self._held.attempts()][:10], None
        else:
            tasks, handler = [work[0].claim.id], work[1].name
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the only way to see another thread's stack
        return {
            "worker_id": self._worker_id,
            "handler": handler,
            "task_ids": tasks,
            "stack": "".join(traceback.format_stack(frame)) if frame else "",
        }
