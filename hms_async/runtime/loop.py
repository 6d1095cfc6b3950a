"""The exchange loop: one round trip settles what is finished and claims what is free.

It sleeps only when there is nothing to settle and nothing to claim. It never ends because of
a lost connection: outcomes wait in their outbox, and the same call is made again until it is
answered.

`Plan` says which call is next, `Carrier` makes it, `Books` keeps account of the slots meanwhile,
and `Listener` hears the bells while it sleeps.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import anyio
from anyio.abc import TaskGroup

from hms_async.errors import StoreError, StoreUnavailable
from hms_async.runtime.books import Books
from hms_async.runtime.carrier import Carrier
from hms_async.runtime.feed import IN_FLIGHT, Feed
from hms_async.runtime.leases import Held
from hms_async.runtime.listener import Listener
from hms_async.runtime.plan import Plan
from hms_async.runtime.report import Reporter
from hms_async.runtime.shutdown import Stop
from hms_async.runtime.slots import Slots
from hms_async.storage.store import Store
from hms_async.telemetry.vitals import Vitals


class ExchangeLoop:
    """Feeds the slots from the queues and takes their outcomes back.

    Args:
        store: Where the queues are.
        feeds: The queues, each with its handler.
        held: The leases of this process.
        slots: Where tasks run.
        stop: Whether to stop, and how.
        reporter: Writes the log.
        polls: Ask a silent queue once a second, for workers without a supervisor.
        burst: End when nothing waits.
        vitals: Where it is noted that the store has answered, and what came of claims.

    Attributes:
        listener: Hears the bells; it has to run beside the loop.
    """

    def __init__(
        self,
        store: Store,
        feeds: Sequence[Feed],
        held: Held,
        slots: Slots,
        *,
        stop: Stop,
        reporter: Reporter,
        polls: bool,
        burst: bool = False,
        vitals: Vitals | None = None,
    ) -> None:
        self._store = store
        self._held = held
        self._stop = stop
        self._burst = burst
        self._books = books = Books(feeds, slots, stop)
        self._plan = Plan(books, held, stop)
        self._carrier = Carrier(
            store, books, held, stop=stop, reporter=reporter, vitals=vitals or Vitals()
        )
        self.listener = Listener(store, books, self._carrier, stop=stop, polls=polls)
        self._under_way = IN_FLIGHT
        self._over = asyncio.Event()
        stop.on_change(self._stopping)

    def _stopping(self) -> None:
        self._books.changed.set()
        self.listener.call_back()

    def shortest_lease_s(self) -> float:
        """Return the shortest lease of the queues served; safe to call from any thread."""
        return min(self.lease_ms(name) for name in self._books.by_name) / 1_000

    def lease_ms(self, queue: str) -> int:
        """Return the lease of a queue, as far as is known here."""
        return self._books.by_name[queue].queue.settings.lease_ms

    async def run(self, group: TaskGroup) -> None:
        """Exchange until stopped and everything is settled, or is to be handed back.

        Args:
            group: Where the exchanges run. There are `IN_FLIGHT` at once, so that the server works
                on the call of one while we run what the other has brought.
        """
        with suppress(StoreError):  # the calls meet the same, and wait for its end
            await self._store.prepare(IN_FLIGHT + 1)  # one is the bell's
        for number in range(1, IN_FLIGHT + 1):
            group.start_soon(self._exchange, name=f"exchange-{number}")
        if len(self._books.feeds) > 1:
            group.start_soon(self.listener.look, name="look")
        await self._over.wait()

    async def _exchange(self) -> None:
        changed = self._books.changed
        while True:
            changed.clear()
            if self._stop.handing_back:
                # What goes back keeps its order only together: that is left to the last act.
                if not any(feed.running for feed in self._books.feeds):
                    break
                await changed.wait()
            elif call := self._plan.next_call():
                try:
                    await self._carrier.carry_out(call)
                except StoreUnavailable:
                    break  # stopping, with nothing in hand
                # The slots run before the next call, so that it carries all that they finish.
                await anyio.lowlevel.checkpoint()
            elif self._is_done():
                break
            else:
                await self._sleep()
        changed.set()
        self._under_way -= 1
        if not self._under_way:
            self._over.set()

    def _is_done(self) -> bool:
        if len(self._held) or any(feed.claiming for feed in self._books.astir):
            return False
        if self._stop.draining:
            return True
        if not (self._burst and all(feed.quiet for feed in self._books.feeds)):
            return False
        # The bell may have claimed unheard: it gives its slots back when it knows.
        self.listener.call_back()
        return not any(feed.asked for feed in self._books.feeds)

    async def _sleep(self) -> None:
        # While stopping nothing is taken any more, so no bell is of use.
        free = 0 if self._stop.draining else self._books.free
        self.listener.listen(free)
        now = time.monotonic()
        wakes_at = self._plan.wakes_at(free)
        timeout = None if wakes_at is None else max(wakes_at - now, 0.001)
        with anyio.move_on_after(timeout):
            await self._books.changed.wait()
