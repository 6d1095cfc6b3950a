"""The exchange loop: one round trip settles what is finished and claims what is free.

It sleeps only when there is nothing to settle and nothing to claim. It never ends because of
a lost connection: outcomes wait in their outbox, and the same call is made again until it is
answered.
"""

import asyncio
import time
from collections.abc import Sequence

import anyio

from hms_async.domain.outcome import HandedBack
from hms_async.domain.settle import Settlement
from hms_async.errors import (
    QueueNotFound,
    StoreError,
    StoreProtocol,
    StoreRefused,
    StoreUnavailable,
)
from hms_async.runtime.bell import Bell
from hms_async.runtime.exchange import settlement_of, to_settle
from hms_async.runtime.feed import Feed
from hms_async.runtime.leases import Held
from hms_async.runtime.report import Reporter
from hms_async.runtime.shutdown import Stop
from hms_async.runtime.slots import Slots
from hms_async.runtime.task import Attempt
from hms_async.storage.replies import MOST_A_CALL, Exchanged, Settle, Settled
from hms_async.storage.store import Store

_FAULT_REST_S = 1.0
_LEAVE_AFTER_S = 2.0


class ExchangeLoop:
    """Feeds the slots from the queues and takes their outcomes back.

    Args:
        store: Where the queues are.
        feeds: The queues, each with its handler.
        held: The leases of this process.
        slots: Where tasks run.
        stop: Whether to stop, and how.
        reporter: Writes the log.
        polls: Ask a silent queue once a second, for workers without a supervisor: its sweep
            rings for work that nobody was woken for.
        burst: End when nothing waits.
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
    ) -> None:
        self.bell = Bell(store, self._rung)
        self._store = store
        self._slots = slots
        self._feeds = list(feeds)
        self._by_name = {feed.name: feed for feed in feeds}
        self._held = held
        self._stop = stop
        self._reporter = reporter
        self._polls = polls
        self._burst = burst
        self._wake = asyncio.Event()
        stop.on_change(self._wake.set)
        slots.on_finished(self._finished)

    def _finished(self, attempt: Attempt) -> None:
        """Take an attempt back from its slot; its outcome leaves with the next exchange."""
        feed = self._by_name[attempt.queue]
        feed.running -= 1
        feed.outbox.append(attempt)
        self._wake.set()

    def shortest_lease_s(self) -> float:
        """Return the shortest lease of the queues served; safe to call from any thread."""
        # Not `_feeds`: that list changes while the heartbeat's thread asks.
        return min(self.lease_ms(name) for name in self._by_name) / 1_000

    def lease_ms(self, queue: str) -> int:
        """Return the lease of a queue, as far as is known here."""
        return self._by_name[queue].queue.settings.lease_ms

    async def run(self) -> None:
        """Exchange until stopped and everything is settled, or is to be handed back."""
        while True:
            self._wake.clear()
            if self._stop.handing_back:
                # What goes back keeps its order only together: that is left to the last act.
                if not any(feed.running for feed in self._feeds):
                    return
                await self._wake.wait()
                continue
            try:
                worked = await self._round()
            except StoreUnavailable:
                return  # stopping, with nothing in hand
            if worked:
                # The slots run before the next round, so that it carries all that they finish.
                await anyio.lowlevel.checkpoint()
            elif self._is_done():
                return
            else:
                await self._sleep()

    async def _round(self) -> bool:
        """Exchange with each queue; returns whether there was anything to say."""
        worked = False
        for feed in list(self._feeds):
            worked = await self._attend(feed) or worked
        return worked

    def _is_done(self) -> bool:
        if len(self._held):
            return False
        return self._stop.draining or (self._burst and all(feed.quiet for feed in self._feeds))

    async def _sleep(self) -> None:
        # While stopping nothing is taken any more, so no bell is of use.
        free = 0 if self._stop.draining else self._slots.free
        if ears := [feed.name for feed in self._feeds if feed.listens(free)]:
            self.bell.listen(ears)
        wakes = [at for feed in self._feeds if (at := feed.wakes_at(free)) is not None]
        timeout = max(min(wakes) - time.monotonic(), 0.001) if wakes else None
        with anyio.move_on_after(timeout):
            await self._wake.wait()

    def _rung(self, queue: str | None) -> bool:
        """The bell's answer: whether the token is of use here."""
        self._wake.set()
        if queue is not None:
            feed = self._by_name[queue]
            feed.hungry = True
            return not self._stop.draining and feed.listens(self._slots.free)
        if self._polls:
            for feed in self._feeds:
                feed.hungry = True
        return True

    async def _attend(self, feed: Feed) -> bool:
        """Exchange with a queue; one that the server refuses to us does not hold up the others.

        Its outcomes stay in their outbox, for the time when we may again (R11).
        """
        if feed.shut:
            return False
        refused = feed.refused
        try:
            worked = await self._step(feed)
        except StoreRefused as error:
            if not refused:
                self._reporter.refused(feed.name, error)
            feed.rest(_FAULT_REST_S, refused=True)
            return False
        if refused and not feed.refused:
            self._reporter.let_in(feed.name)
        return worked

    async def _step(self, feed: Feed) -> bool:
        """Exchange with one queue, if there is anything to say; returns whether there was."""
        batch = feed.outbox[:MOST_A_CALL]
        suspects = self._held.may_take_suspect(batch)
        want = 0 if self._stop.draining else feed.want(self._slots.free, suspects=suspects)
        if not batch and not want and not feed.wants_news:
            return False
        policy = feed.queue.settings.retry
        settlements = [settlement_of(attempt, policy) for attempt in batch]
        settles = [
            to_settle(attempt, settlement)
            for attempt, settlement in zip(batch, settlements, strict=True)
        ]
        try:
            reply = await self._exchange(feed, settles, want, suspects=suspects)
        except QueueNotFound as error:
            if not feed.gone:
                self._reporter.queue_gone(feed.name, error)
            self._close(feed, batch, settlements, [Settled("gone", "")] * len(batch))
            feed.rest(_FAULT_REST_S, gone=True)
            return False
        except StoreProtocol as error:
            self._reporter.refused(feed.name, error)
            await self._settle_one_by_one(feed, batch, settlements, settles)
            feed.rest(_FAULT_REST_S)
            return False
        self._close(feed, batch, settlements, reply.settled)
        self._take(feed, reply)
        if reply.version != feed.queue.version:
            await self._reload(feed)
        return True

    async def _exchange(
        self, feed: Feed, settles: list[Settle], want: int = 0, *, suspects: bool = False
    ) -> Exchanged:
        """Exchange once, however long the server stays away.

        Raises:
            StoreUnavailable: If it stays away while we are stopping and hold nothing: there is
                nothing to wait for then. What the call may have claimed is rescued.
        """

        def unanswered(error: StoreError) -> int:
            self._reporter.store_down(error)
            if self._stop.for_s() > _LEAVE_AFTER_S and not len(self._held):
                raise error
            return 0 if self._stop.draining else want

        reply = await feed.lane.exchange(settles, want, unanswered=unanswered, suspects=suspects)
        self._reporter.store_up()
        self._held.ask_to_cancel(reply.cancelling)
        return reply

    async def _settle_one_by_one(
        self, feed: Feed, batch: list[Attempt], settlements: list[Settlement], settles: list[Settle]
    ) -> None:
        """A script failed: find the attempt that it fails for, settle the others (R11)."""
        for attempt, settlement, settle in zip(batch, settlements, settles, strict=True):
            for attempted in (settle, Settle(settle.id, settle.token, "release")):
                try:
                    reply = await self._exchange(feed, [attempted])
                except (QueueNotFound, StoreProtocol) as error:
                    self._reporter.refused(feed.name, error, task_id=settle.id)
                    settled = Settled("gone", "")
                else:
                    settled = reply.settled[0]
                    break
            else:
                settled = Settled("gone", "")
            self._close(feed, [attempt], [settlement], [settled])

    def _close(
        self,
        feed: Feed,
        batch: list[Attempt],
        settlements: list[Settlement],
        settled: list[Settled],
    ) -> None:
        """Let go of attempts whose end the store knows."""
        del feed.outbox[: len(batch)]
        for attempt, settlement, answer in zip(batch, settlements, settled, strict=True):
            # One that was handed back over its handler's head has been told of.
            if self._held.drop(attempt):
                self._reporter.finished(attempt, settlement, answer)

    def _take(self, feed: Feed, reply: Exchanged) -> None:
        for claim in reply.claims:
            attempt = Attempt(
                claim,
                feed.name,
                server_ms=reply.now_ms,
                max_result_bytes=feed.queue.settings.max_payload_bytes,
            )
            self._held.add(attempt)
            if feed.full or not self._slots.free:
                # An answer that was long unheard: others have the slots by now.
                attempt.outcome = HandedBack()
                feed.outbox.append(attempt)
                continue
            if claim.token == reply.suspect:
                self._held.suspect(claim.token)
            feed.running += 1
            self._slots.give(attempt, feed.handler)
        if reply.claims:
            # The others choose first next time.
            self._feeds.remove(feed)
            self._feeds.append(feed)
        feed.learn(reply)

    async def _reload(self, feed: Feed) -> None:
        try:
            feed.queue = await self._store.queue(feed.name)
        except (StoreError, QueueNotFound):
            return  # the next exchange says it again
