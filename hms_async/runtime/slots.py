"""N long-lived coroutines, each running one attempt at a time."""

import asyncio
from collections.abc import Callable
from typing import Any

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
        self._listeners: list[Callable[[Attempt], None]] = []
        self._slots = [_Slot(number) for number in range(1, count + 1)]
        self._free = list(reversed(self._slots))
        self._by_coroutine: dict[asyncio.Task[Any] | None, _Slot] = {}

    @property
    def free(self) -> int:
        """How many slots have nothing to do."""
        return len(self._free)

    def on_finished(self, listener: Callable[[Attempt], None]) -> None:
        """Call this with each attempt that has its outcome."""
        self._listeners.append(listener)

    def numbers(self) -> range:
        """Return the numbers of the slots, from 1."""
        return range(1, self.count + 1)

    def work_of(self, coroutine: "asyncio.Task[Any] | None") -> tuple[Attempt, Handler] | None:
        """Return what one of the slots' coroutines is at; safe to call from any thread."""
        slot = self._by_coroutine.get(coroutine)
        return None if slot is None else slot.work

    def give(self, attempt: Attempt, handler: Handler) -> None:
        """Hand an attempt to a free slot; the caller has made sure that there is one."""
        slot = self._free.pop()
        slot.work = (attempt, handler)
        slot.wake.set()

    async def run(self, number: int) -> None:
        """Run one slot until cancelled."""
        slot = self._slots[number - 1]
        self._by_coroutine[asyncio.current_task()] = slot
        while True:
            await slot.wake.wait()
            slot.wake.clear()
            if slot.work is None:
                continue
            attempt, handler = slot.work
            await self._executor.execute(attempt, handler, number)
            slot.work = None
            self._free.append(slot)
            for listener in self._listeners:
                listener(attempt)


class _Slot:
    """One of them. asyncio's event is reusable, anyio's is not, and this is the hot path."""

    __slots__ = ("number", "wake", "work")

    def __init__(self, number: int) -> None:
        self.number = number
        self.wake = asyncio.Event()
        self.work: tuple[Attempt, Handler] | None = None
