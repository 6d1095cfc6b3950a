"""Carrying out a call: what it settles is let go of, what it brings is held and started.

A lost connection ends nothing: the same call is made again until it is answered.
"""

import time

from hms_async.domain.settle import Settlement
from hms_async.errors import QueueNotFound, StoreError, StoreProtocol, StoreRefused
from hms_async.runtime.books import Books, Call
from hms_async.runtime.exchange import settlement_of, to_settle
from hms_async.runtime.feed import Feed
from hms_async.runtime.leases import Held
from hms_async.runtime.report import Reporter
from hms_async.runtime.shutdown import Stop
from hms_async.runtime.task import Attempt
from hms_async.storage.replies import Exchanged, Settle, Settled
from hms_async.storage.store import Store
from hms_async.telemetry.vitals import Vitals

LEAVE_AFTER_S = 2.0
"""How long a server that stays away is waited for at a stop, by one that holds nothing."""

_FAULT_REST_S = 1.0


class Carrier:
    """Makes calls, whatever becomes of them.

    Args:
        store: Where the queues are.
        books: Where it is entered what calls were made and what they brought.
        held: The leases of this process.
        stop: Whether to stop.
        reporter: Writes the log.
        vitals: Where it is noted that the store has answered, and what came of claims.
    """

    def __init__(
        self,
        store: Store,
        books: Books,
        held: Held,
        *,
        stop: Stop,
        reporter: Reporter,
        vitals: Vitals,
    ) -> None:
        self._store = store
        self._books = books
        self._held = held
        self._stop = stop
        self._reporter = reporter
        self._vitals = vitals

    async def carry_out(self, call: Call) -> None:
        """Make a call; a queue that the server refuses to us does not hold up the others.

        Its outcomes stay in their outbox, for the time when we may again (R11).

        Raises:
            StoreUnavailable: If the server stays away while we are stopping and hold nothing.
        """
        feed = call.feed
        refused = feed.refused
        self._books.reserve(call)
        try:
            await self._step(call)
        except StoreRefused as error:
            if not refused:
                self._reporter.refused(feed.name, error)
            feed.outbox[:0] = call.batch
            feed.rest(_FAULT_REST_S, refused=True)
        else:
            if refused and not feed.refused:
                self._reporter.let_in(feed.name)
        finally:
            self._books.release(call)

    async def claim_at_bell(self, call: Call, want: int, wait_s: float) -> None:
        """Claim when the queue's bell rings, or so many seconds have passed.

        However it is cut short, it may have claimed: carry the call out then, which asks `again`.

        Args:
            call: What asks for its answer.
            want: How many tasks to claim.
            wait_s: For how long the server waits.
        """
        began = time.monotonic()
        reply = await call.lane.claim_at_bell(want, wait_s)
        self._heard(reply)
        self._note_pop(reply)
        self._take(call, reply, began)

    async def _step(self, call: Call) -> None:
        feed, batch = call.feed, call.batch
        policy = feed.queue.settings.retry
        settlements = [settlement_of(attempt, policy) for attempt in batch]
        settles = [
            to_settle(attempt, settlement)
            for attempt, settlement in zip(batch, settlements, strict=True)
        ]
        began = time.monotonic()
        try:
            reply = await self._exchange(call, settles)
        except QueueNotFound as error:
            if not feed.gone:
                self._reporter.queue_gone(feed.name, error)
            self._close(feed, batch, settlements, [Settled("gone", "")] * len(batch), began)
            feed.rest(_FAULT_REST_S, gone=True)
            return
        except StoreProtocol as error:
            self._reporter.refused(feed.name, error)
            await self._settle_one_by_one(call, settlements, settles)
            # With outcomes it may have been one of them: the next call has none.
            feed.rest(_FAULT_REST_S, broken=None if batch else error)
            return
        feed.pace.tripped(time.monotonic() - began)
        if runs := [attempt.ran_s() for attempt in batch if attempt.ended]:
            feed.pace.ran(sum(runs) / len(runs))
        self._close(feed, batch, settlements, reply.settled, began)
        if call.claims:
            self._note_pop(reply)
        self._take(call, reply, began)
        if reply.version != feed.queue.version:
            await self._reload(feed)

    async def _exchange(self, call: Call, settles: list[Settle]) -> Exchanged:
        """Exchange once, however long the server stays away.

        Raises:
            StoreUnavailable: If it stays away while we are stopping and hold nothing: there is
                nothing to wait for then. What the call may have claimed is rescued.
        """

        def unanswered(error: StoreError) -> int:
            self._reporter.store_down(error)
            self._vitals.pops["error"] += call.claims
            if self._stop.for_s() > LEAVE_AFTER_S and not len(self._held):
                raise error
            return 0 if self._stop.draining else call.want

        reply = await call.lane.exchange(
            settles,
            call.want,
            ahead=call.ahead,
            unanswered=unanswered,
            again=call.again,
            suspects=call.suspects,
        )
        self._heard(reply)
        return reply

    def _note_pop(self, reply: Exchanged) -> None:
        self._vitals.pops["hit" if reply.claims else "empty"] += 1

    def _heard(self, reply: Exchanged) -> None:
        self._vitals.heard()
        self._reporter.store_up()
        self._held.ask_to_cancel(reply.cancelling)

    async def _settle_one_by_one(
        self, call: Call, settlements: list[Settlement], settles: list[Settle]
    ) -> None:
        """A script failed: find the attempt that it fails for, settle the others (R11)."""
        feed = call.feed
        alone = Call(feed, call.lane, [], 0, 0, suspects=False, rings=feed.rings)
        for attempt, settlement, settle in zip(call.batch, settlements, settles, strict=True):
            settled, began = Settled("gone", ""), time.monotonic()
            for attempted in (settle, Settle(settle.id, settle.token, "release")):
                try:
                    reply = await self._exchange(alone, [attempted])
                except (QueueNotFound, StoreProtocol) as error:
                    self._reporter.refused(feed.name, error, task_id=settle.id)
                else:
                    settled = reply.settled[0]
                    break
            self._close(feed, [attempt], [settlement], [settled], began)

    def _close(
        self,
        feed: Feed,
        batch: list[Attempt],
        settlements: list[Settlement],
        settled: list[Settled],
        began: float,
    ) -> None:
        """Let go of attempts whose end the store knows."""
        feed.engaged -= len(batch)
        self._reporter.closed(self._held.drop(*batch), batch, settlements, settled, began)

    def _take(self, call: Call, reply: Exchanged, began: float) -> None:
        """Hold what was claimed, and start what may start."""
        feed = call.feed
        settings = feed.queue.settings
        attempts = [
            Attempt(
                claim,
                feed.name,
                server_ms=reply.now_ms,
                max_result_bytes=settings.max_payload_bytes,
                max_attempts=settings.retry.max_attempts,
                run_timeout_ms=settings.run_timeout_ms,
            )
            for claim in reply.claims
        ]
        self._held.add(*attempts)
        self._reporter.popped(feed.name, reply.claims, began)
        if reply.suspect is not None:
            self._held.suspect(reply.suspect)
        feed.engaged += len(attempts)
        self._books.take(call, attempts, reply)

    async def _reload(self, feed: Feed) -> None:
        try:
            feed.queue = await self._store.queue(feed.name)
        except (StoreError, QueueNotFound):
            return  # the next exchange says it again
