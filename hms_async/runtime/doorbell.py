"""The doorbell of a process in which many wait: one `BLPOP` for all of them (R12, R13)."""

import math
import os
import time
from asyncio import CancelledError, Future, get_running_loop
from collections.abc import Collection, Sequence
from contextlib import suppress

import anyio
from anyio import TASK_STATUS_IGNORED, CancelScope
from anyio.abc import TaskGroup, TaskStatus

from hms_async.errors import StoreError
from hms_async.runtime.exchange import Backoff
from hms_async.storage.replies import Exchanged
from hms_async.storage.store import Store

LOOK_EVERY_S = 1.0
_WAIT_S = 1.0
_MARGIN_S = 3.0
_RING_S = 2.0
_KEEP_CALL_MS = 60_000
_FORGET_AFTER_S = 60.0

Waiter = Future[str]


class _Line:
    """Those who wait for one queue, first come, first served.

    Attributes:
        waiters: A dict for its order, and to leave from the middle.
        heard: Whether its bell is of use; that of a paused queue is for others (R13).
        look_at: When the first in the line should ask by itself, on the monotonic clock.
    """

    __slots__ = ("heard", "look_at", "waiters")

    def __init__(self) -> None:
        self.waiters: dict[Waiter, Collection[str]] = {}
        self.heard = True
        self.look_at = time.monotonic() + LOOK_EVERY_S


class Doorbell:
    """Wakes one of those who wait for a queue, each time that it rings.

    However many wait, one connection listens to all of their queues. A token goes to one of them;
    whoever takes a task and leaves others behind makes the script ring for the next. Somebody asks
    without a ring when a scheduled task comes due, and once a second for each queue, since a token
    may be lost and nobody hears the bell of a paused one.

    Run it as a child of a task group, for as long as somebody waits.

    Args:
        store: Where the queues are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._name = os.urandom(10).hex()
        self._lines: dict[str, _Line] = {}
        self._group: TaskGroup | None = None
        self._listening: frozenset[str] | None = None  # none while nobody is at the bells
        self._called = False
        self._rung = ""
        self._someone = anyio.Event()
        self._sooner = anyio.Event()
        self._wakes_at = math.inf

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled."""
        async with anyio.create_task_group() as self._group:
            self._group.start_soon(self._listen, name="doorbell-listen")
            self._group.start_soon(self._keep_time, name="doorbell-time")
            task_status.started()

    async def wait(self, queues: Sequence[str]) -> str:
        """Wait until it is worth asking one of these queues, and return which.

        Ask each of them before, and `learn` what it answers. Whoever is cancelled passes on what
        it was woken for; whoever returns from here asks, or does `pass_on`.
        """
        waiter: Waiter = get_running_loop().create_future()
        for queue in queues:
            line = self._line(queue)
            line.waiters[waiter] = queues
            self._hurry(line.look_at)
        self._call_listener()
        try:
            return await waiter
        except CancelledError:
            # It may have come in the very turn in which the waiter was cancelled.
            if waiter.done() and not waiter.cancelled():
                self.pass_on(waiter.result())
            raise
        finally:
            for queue in queues:
                if left := self._lines.get(queue):
                    left.waiters.pop(waiter, None)

    def learn(self, queue: str, reply: Exchanged) -> None:
        """Take note of what a queue has answered: when it has something next, and if it is paused.

        Somebody has asked just now, so the next look without a ring has time.
        """
        line = self._line(queue)
        line.heard = not reply.paused
        wait_s = LOOK_EVERY_S
        if line.heard and reply.next_due_ms is not None:
            # The millisecond that has begun is over then.
            due_s = max(reply.next_due_ms - reply.now_ms + 1, 1) / 1_000
            wait_s = min(wait_s, due_s)
        line.look_at = time.monotonic() + wait_s
        if line.waiters:
            self._hurry(line.look_at)
            self._call_listener()

    def pass_on(self, queue: str) -> None:
        """Give what one was woken for to the next in line, or to another process (R13)."""
        if not self._wake(queue) and self._group is not None:
            self._group.start_soon(self._ring, queue, name=f"ring-{queue}")

    def _line(self, queue: str) -> _Line:
        return self._lines.setdefault(queue, _Line())

    def _wake(self, queue: str) -> bool:
        line = self._lines.get(queue)
        while line is not None and line.waiters:
            waiter, queues = next(iter(line.waiters.items()))
            for other in queues:
                self._lines[other].waiters.pop(waiter, None)
            if not waiter.done():  # one that is was cancelled, and has not left yet
                line.look_at = time.monotonic() + LOOK_EVERY_S
                waiter.set_result(queue)
                return True
        return False

    async def _ring(self, queue: str) -> None:
        # Also at the end, when it is the others who can use it.
        with CancelScope(shield=True, deadline=anyio.current_time() + _RING_S):
            with suppress(StoreError):  # they look by themselves
                await self._store.ring(queue)

    # Listening.

    def _wanted(self) -> frozenset[str]:
        return frozenset(
            queue for queue, line in self._lines.items() if line.waiters and line.heard
        )

    def _call_listener(self) -> None:
        """See to it that somebody is at the bells of all the queues that are waited for."""
        if self._listening is None:
            self._someone.set()
        elif not (self._called or self._group is None or self._wanted() <= self._listening):
            # To cancel a BLPOP may lose a token of any queue; to call it away does not.
            self._called = True
            self._group.start_soon(self._call, name="doorbell-call")

    async def _call(self) -> None:
        with suppress(StoreError):  # the wait ends by itself
            await self._store.call(self._name, _KEEP_CALL_MS)

    async def _listen(self) -> None:
        backoff = Backoff()
        while True:
            if not (queues := self._wanted()):
                await self._someone.wait()
                self._someone = anyio.Event()
                continue
            self._listening, self._called = queues, False
            try:
                # The first bell with a token is taken from, so the one that rang last goes last.
                await self._listen_once(sorted(queues, key=lambda one: (one <= self._rung, one)))
                backoff = Backoff()
            except StoreError:
                # Who waits looks by itself meanwhile, and hears what is wrong with its queue.
                await backoff.wait()
            finally:
                self._listening = None

    async def _listen_once(self, queues: list[str]) -> None:
        # The connection has no time-out of its own: a half-open one would wait for ever.
        with anyio.move_on_after(_WAIT_S + _MARGIN_S):
            rung = await self._store.wait_for_bell(queues, _WAIT_S, listener=self._name)
            if rung is not None:
                self._rung = rung
                self.pass_on(rung)

    # Looking.

    def _hurry(self, at: float) -> None:
        if at < self._wakes_at:
            self._sooner.set()

    async def _keep_time(self) -> None:
        while True:
            now = time.monotonic()
            soonest = math.inf
            for queue, line in list(self._lines.items()):
                if line.waiters and line.look_at <= now:
                    self._wake(queue)
                if line.waiters:
                    soonest = min(soonest, line.look_at)
                elif line.look_at < now - _FORGET_AFTER_S:
                    del self._lines[queue]
            self._wakes_at = soonest
            with anyio.move_on_after(soonest - time.monotonic()):
                await self._sooner.wait()
            self._sooner = anyio.Event()
