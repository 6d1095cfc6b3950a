"""N long-lived coroutines, each running one attempt at a time."""

import asyncio
from collections.abc import Callable
from typing import Any

from anyio import CancelScope

from hms_async.runtime.execution import Executor
from hms_async.runtime.handlers import Handler
from hms_async.runtime.task import Attempt


class Slots:
    """Where attempts run.

    Args:
        count: How many at once.
        executor: Runs one.
    """

    def __init__(self, count: int, executor: Executor) -> None:
        self.count = count
        self._executor = executor
        self._finished: Callable[[Attempt], None] = _nobody
        self._slots = [_Slot(number) for number in range(1, count + 1)]
        self._free = list(reversed(self._slots))
        self._by_coroutine: dict[asyncio.Task[Any] | None, _Slot] = {}

    @property
    def free(self) -> int:
        """How many slots have nothing to do."""
        return len(self._free)

    def on_finished(self, listener: Callable[[Attempt], None]) -> None:
        """Call this with each attempt that has its outcome; it may give the slot another."""
        self._finished = listener

    def numbers(self) -> range:
        """Return the numbers of the slots, from 1."""
        return range(1, self.count + 1)

    def work_of(self, coroutine: "asyncio.Task[Any] | None") -> tuple[Attempt, Handler] | None:
        """Return what one of the slots' coroutines is at; safe to call from any thread."""
        slot = self._by_coroutine.get(coroutine)
        return None if slot is None else slot.work

    def give(self, attempt: Attempt, handler: Handler) -> None:
        """Hand an attempt to a free slot; the caller has made sure that there is one."""
        # The last to become free comes first: it may be about to fall asleep, and need not.
        slot = self._free.pop()
        slot.work = (attempt, handler)
        slot.wake.set()

    async def run(self, number: int) -> None:
        """Run one slot until cancelled."""
        slot = self._slots[number - 1]
        self._by_coroutine[asyncio.current_task()] = slot
        while True:
            # One scope for many attempts, since it costs as much as all else: a new one is needed
            # only when an attempt was cancelled.
            with CancelScope() as scope:
                while not scope.cancel_called:
                    if slot.work is None:
                        slot.wake.clear()
                        await slot.wake.wait()
                    if slot.work is not None:
                        attempt, handler = slot.work
                        slot.runs = attempt
                        await self._executor.execute(attempt, handler, number, scope)
                        self._finish(slot, attempt)
            if slot.runs is not None:
                self._finish(slot, slot.runs)

    def _finish(self, slot: "_Slot", attempt: Attempt) -> None:
        self._executor.close(attempt)
        slot.work = slot.runs = None
        self._free.append(slot)
        self._finished(attempt)


class _Slot:
    """One of them. asyncio's event is reusable, anyio's is not, and this is the hot path."""

    __slots__ = ("number", "runs", "wake", "work")

    def __init__(self, number: int) -> None:
        self.number = number
        self.wake = asyncio.Event()
        self.work: tuple[Attempt, Handler] | None = None
        self.runs: Attempt | None = None


def _nobody(_: Attempt) -> None:
    """Nobody listens yet."""
