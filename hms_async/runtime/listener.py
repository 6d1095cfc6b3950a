"""What a worker does at the bells of its queues: which it listens to, and what it claims there."""

import asyncio
import math
from collections.abc import Sequence

import anyio
from anyio import CancelScope

from hms_async.errors import HMSError
from hms_async.runtime.bell import MARGIN_S, Bell
from hms_async.runtime.books import Books, Call
from hms_async.runtime.carrier import LEAVE_AFTER_S, Carrier
from hms_async.runtime.shutdown import Stop
from hms_async.storage.store import Store

LOOK_EVERY_S = 1.0
_LOOK_AT_MOST_EVERY_S = 0.05
_MOST_LENT = 10


class Listener:
    """Knows which bells are of use, and what to do when one rings.

    Args:
        store: Where the bells are.
        books: What is free; a ring is entered there.
        carrier: Makes the claim at the bell.
        stop: Whether to stop: no bell is of use then.
        polls: Ask a silent queue once a second, for workers without a supervisor: its sweep
            rings for work that nobody was woken for.
    """

    def __init__(
        self, store: Store, books: Books, carrier: Carrier, *, stop: Stop, polls: bool
    ) -> None:
        self._bell = Bell(store, self._rung, claim=self._claim, supervised=not polls)
        self._books = books
        self._names = frozenset(books.by_name)
        self._carrier = carrier
        self._stop = stop
        self._polls = polls
        self._lent = CancelScope()  # around the bell's wait while it has slots

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._bell.run()

    async def look(self) -> None:
        """Look now and then at the bells that a busy worker does not listen to (R22)."""
        await self._bell.look(self._unheard, self._look_every_s)

    def listen(self, free_slots: int) -> None:
        """Listen to the bells that are of use while so many slots are free."""
        ears = self._ears(free_slots)
        feeds = self._books.feeds
        if not ears:
            self.call_back()
        elif len(feeds) > 1 or not feeds[0].claiming:
            # What a call under way may bring needs no claim at the bell, which keeps its token.
            self._bell.listen(ears)

    def call_back(self) -> None:
        """Have the slots back that are lent; they come when it is known what they have brought."""
        self._lent.cancel()

    def _ears(self, free_slots: int) -> frozenset[str]:
        """Return the queues whose bells are of use (R13): of those that are not astir, each is."""
        if free_slots <= 0:
            return frozenset()
        return self._names.difference(
            feed.name for feed in self._books.astir if not feed.listens(free_slots)
        )

    def _unheard(self) -> list[str]:
        """Return queues that were empty when we last asked; no bell is of use at a stop."""
        return [] if self._stop.draining else [feed.name for feed in self._books.feeds if feed.idle]

    def _look_every_s(self) -> float:
        """Return how long an urgent task may lie unheard: a twentieth of the tightest promise."""
        promises_s = [
            (feed.queue.settings.sla_ms or math.inf) / 1_000 for feed in self._books.feeds
        ]
        return max(min(LOOK_EVERY_S, min(promises_s) / 20), _LOOK_AT_MOST_EVERY_S)

    def _rung(self, queue: str | None) -> bool:
        """The bell's answer: whether the token is of use here."""
        self._books.changed.set()
        if queue is not None:
            feed = self._books.by_name[queue]
            feed.rang()
            return not self._stop.draining and feed.listens(self._books.free)
        if self._polls:
            for feed in self._books.feeds:
                feed.grow_hungry()
        return True

    async def _claim(self, queues: Sequence[str], wait_s: float) -> bool:
        """Lend the bell some slots, so that the server claims for them the moment it rings.

        Never the last one, nor any that another queue may need: so nothing waits for their return.
        And few: if our host vanishes, the server claims for nobody.

        Returns:
            Whether the wait is over; without a slot the bell has to wait by itself.
        """
        feed = self._books.by_name[queues[0]]
        lent = min(feed.room(self._books.free) - 1, _MOST_LENT)
        if len(self._names) > 1 or self._stop.draining or lent < 1:
            return False
        again = Call(feed, feed.bell_lane, [], 0, 0, suspects=False, rings=feed.rings, again=True)
        self._books.lend(feed, lent)
        # The connection has no time-out of its own: a half-open one would wait for ever.
        latest = anyio.current_time() + wait_s + MARGIN_S
        try:
            with CancelScope(deadline=latest) as self._lent:
                await self._carrier.claim_at_bell(again, lent, wait_s)
        # Broken or given up, it may have claimed: its number has the answer (R2).
        except (HMSError, asyncio.CancelledError):
            await self._ask_again(again)
            raise
        else:
            # Its slots were called back, or its time is over. Asking is beyond the scope, so that
            # no such call cuts it short, however long the server stays away.
            if self._lent.cancelled_caught:
                await self._ask_again(again)
        finally:
            self._books.take_back(feed, lent)
        return True

    async def _ask_again(self, call: Call) -> None:
        """Ask for the answer to a claim, for a while even if we are cancelled.

        Without it what the server has claimed for us would be nobody's until its lease ends.
        """
        try:
            await self._carrier.carry_out(call)
        except asyncio.CancelledError:
            with anyio.move_on_after(LEAVE_AFTER_S, shield=True):
                await self._carrier.carry_out(call)
            raise
