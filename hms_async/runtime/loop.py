"""The exchange loop: one round trip settles what is finished and claims what is free.

It sleeps only when there is nothing to settle and nothing to claim. It never ends because of
a lost connection: outcomes wait in their outbox, and the same call is made again until it is
answered.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress

import anyio
import msgspec
from anyio import CancelScope
from anyio.abc import TaskGroup

from hms_async.domain.outcome import HandedBack
from hms_async.domain.settle import Settlement
from hms_async.errors import (
    HMSError,
    QueueNotFound,
    StoreError,
    StoreProtocol,
    StoreRefused,
    StoreUnavailable,
)
from hms_async.runtime.bell import MARGIN_S, Bell
from hms_async.runtime.choice import Choice
from hms_async.runtime.exchange import Lane, settlement_of, to_settle
from hms_async.runtime.feed import IN_FLIGHT, Feed
from hms_async.runtime.leases import Held
from hms_async.runtime.report import Reporter
from hms_async.runtime.shutdown import Stop
from hms_async.runtime.slots import Slots
from hms_async.runtime.task import Attempt
from hms_async.storage.replies import MOST_A_CALL, Exchanged, Settle, Settled
from hms_async.storage.store import Store
from hms_async.telemetry.vitals import Vitals

LOOK_EVERY_S = 1.0
_LOOK_AT_MOST_EVERY_S = 0.05
_MOST_LENT = 10
_FAULT_REST_S = 1.0
_LEAVE_AFTER_S = 2.0


class _Call(msgspec.Struct):
    """One exchange as it is to be made.

    Attributes:
        feed: With which queue.
        lane: On which of its lanes.
        batch: What to settle.
        want: How many tasks to claim for slots that are free.
        ahead: How many more.
        suspects: Whether one that a crash would fail may be among them (R15).
        rings: How often the queue's bell had rung before.
        again: Whether it asks for the answer of the lane's call before.
    """

    feed: Feed
    lane: Lane
    batch: list[Attempt]
    want: int
    ahead: int
    suspects: bool
    rings: int
    again: bool = False

    @property
    def claims(self) -> bool:
        """Whether it may bring tasks."""
        return self.want + self.ahead > 0


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
        vitals: Where it is noted that the store has answered, and what came of claims.
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
        self._vitals = vitals or Vitals()
        self.bell = Bell(store, self._rung, claim=self._claim_at_bell, supervised=not polls)
        self._store = store
        self._slots = slots
        self._feeds = list(feeds)
        self._by_name = {feed.name: feed for feed in feeds}
        self._names = frozenset(self._by_name)
        self._astir: dict[Feed, None] = {}  # the few to look at for each call, of a thousand
        self._held = held
        self._stop = stop
        self._reporter = reporter
        self._polls = polls
        self._burst = burst
        self._promised = 0  # slots for what is at hand, and for what is asked for
        self._suspect_asked = False
        self._carriers = IN_FLIGHT
        self._choice = Choice()
        self._others_first = False
        self._next_due = -math.inf  # when something scheduled is due in any of the queues
        self._lent = CancelScope()  # around the bell's wait while it has slots
        self._over = asyncio.Event()
        self._wake = asyncio.Event()
        for feed in self._feeds:  # which have been asked once
            self._note_astir(feed)
            if len(self._feeds) > 1:
                feed.on_move = self._choice.place
                self._choice.place(feed)
        stop.on_change(self._stopping)
        slots.on_finished(self._finished)

    def _finished(self, attempt: Attempt) -> None:
        """Take an attempt back from its slot; its outcome leaves with the next exchange."""
        feed = self._by_name[attempt.queue]
        feed.running -= 1
        feed.outbox.append(attempt)
        self._wake.set()
        self._start(feed)

    def _stopping(self) -> None:
        self._wake.set()
        self._lent.cancel()

    def shortest_lease_s(self) -> float:
        """Return the shortest lease of the queues served; safe to call from any thread."""
        return min(self.lease_ms(name) for name in self._by_name) / 1_000

    def lease_ms(self, queue: str) -> int:
        """Return the lease of a queue, as far as is known here."""
        return self._by_name[queue].queue.settings.lease_ms

    async def run(self, group: TaskGroup) -> None:
        """Exchange until stopped and everything is settled, or is to be handed back.

        Args:
            group: Where the carriers run. There are `IN_FLIGHT` of them, so that the server works
                on the call of one while we run what the other has brought.
        """
        with suppress(StoreError):  # the calls meet the same, and wait for its end
            await self._store.prepare(IN_FLIGHT + 1)  # one is the bell's
        for number in range(1, IN_FLIGHT + 1):
            group.start_soon(self._carry, name=f"exchange-{number}")
        if len(self._feeds) > 1:
            group.start_soon(self.bell.look, self._unheard, self._look_every_s, name="look")
        await self._over.wait()

    async def _carry(self) -> None:
        while True:
            self._wake.clear()
            if self._stop.handing_back:
                # What goes back keeps its order only together: that is left to the last act.
                if not any(feed.running for feed in self._feeds):
                    break
                await self._wake.wait()
            elif call := self._next_call():
                try:
                    await self._carry_out(call)
                except StoreUnavailable:
                    break  # stopping, with nothing in hand
                # The slots run before the next call, so that it carries all that they finish.
                await anyio.lowlevel.checkpoint()
            elif self._is_done():
                break
            else:
                await self._sleep()
        self._wake.set()
        self._carriers -= 1
        if not self._carriers:
            self._over.set()

    def _next_call(self) -> "_Call | None":
        """Return what is to be said next, if there is anything; slots are reserved for it (R13)."""
        if len(self._feeds) == 1:
            feed = self._feeds[0]
            return None if feed.shut else self._call_for(feed, may_claim=True)
        self._note_due()
        first = self._choice.among(self._free)
        others = [
            feed
            for feed in self._astir
            if (feed.engaged or feed.suspects_wait) and feed is not first
        ]
        others.sort(key=lambda feed: feed.heard_at)
        chosen = [] if first is None else [first]
        # In turns, so that neither outcomes nor claims wait for long; but outcomes go together.
        self._others_first = not self._others_first
        complete = [feed for feed in others if feed.outbox and not feed.running]
        for feed in complete + chosen if self._others_first and complete else chosen + others:
            if feed.shut:
                continue
            if call := self._call_for(feed, may_claim=first is None or feed is first):
                if feed is first and call.claims:
                    self._choice.taken()
                return call
        return None

    def _note_due(self) -> None:
        now = time.monotonic()
        if now < self._next_due:
            return
        for feed in self._astir:
            feed.note_due(now)
        due = [feed.due_at for feed in self._astir if feed.due_at is not None]
        self._next_due = min(due, default=math.inf)

    def _call_for(self, feed: Feed, *, may_claim: bool) -> "_Call | None":
        self._start(feed)
        lane = feed.idle_lane
        if lane is None:
            return None
        if not feed.claiming and feed.at_hand and (self._stop.draining or feed.waits_too_long):
            self._promised -= len(feed.ready)
            feed.hand_back()
        batch = feed.outbox[: MOST_A_CALL if self._stop.draining else feed.share()]
        suspects = not self._suspect_asked and self._held.may_take_suspect(batch)
        opens = bool(lane.ahead) and self._free > 0
        news = feed.wants_news and not any(one.busy for one in feed.lanes)
        del feed.outbox[: len(batch)]
        want = ahead = 0
        if may_claim and not self._stop.draining:
            anyway = bool(batch) or opens or news
            want = feed.want(self._free, suspects=suspects, anyway=anyway)
            ahead = feed.ahead(want)
            # Others wait for these slots, too: nothing is put by for one queue then.
            if ahead and not all(one is feed or one.quiet for one in self._choice):
                ahead = 0
        if not (batch or want or opens or news):
            return None
        return _Call(feed, lane, batch, want, ahead, suspects and want > 0, feed.rings)

    @property
    def _free(self) -> int:
        """How many slots are free, and promised to nobody."""
        return self._slots.free - self._promised

    def _is_done(self) -> bool:
        if len(self._held) or any(feed.claiming for feed in self._astir):
            return False
        if self._stop.draining:
            return True
        if not (self._burst and all(feed.quiet for feed in self._feeds)):
            return False
        # The bell may have claimed unheard: it gives its slots back when it knows.
        self._lent.cancel()
        return not any(feed.asked for feed in self._feeds)

    async def _sleep(self) -> None:
        # While stopping nothing is taken any more, so no bell is of use.
        free = 0 if self._stop.draining else self._free
        ears = self._ears(free)
        if not ears:
            self._lent.cancel()
        elif len(self._feeds) > 1 or not self._feeds[0].claiming:
            # What a call under way may bring needs no claim at the bell, which keeps its token.
            self.bell.listen(ears)
        now = time.monotonic()
        wakes = [at for feed in self._astir if (at := feed.wakes_at(free)) is not None]
        timeout = max(min(wakes) - now, 0.001) if wakes else None
        with anyio.move_on_after(timeout):
            await self._wake.wait()

    def _ears(self, free: int) -> frozenset[str]:
        """Return the queues whose bells are of use (R13): of those that are not astir, each is."""
        if free <= 0:
            return frozenset()
        return self._names.difference(feed.name for feed in self._astir if not feed.listens(free))

    def _note_astir(self, feed: Feed) -> None:
        """Do so when a call begins, is answered, and ends: a feed grows astir by nothing else."""
        if feed.astir:
            self._astir[feed] = None
        else:
            self._astir.pop(feed, None)

    def _unheard(self) -> list[str]:
        """Return queues that were empty when we last asked; no bell is of use at a stop."""
        return [] if self._stop.draining else [feed.name for feed in self._feeds if feed.idle]

    def _look_every_s(self) -> float:
        """Return how long an urgent task may lie unheard: a twentieth of the tightest promise."""
        promises_s = [(feed.queue.settings.sla_ms or math.inf) / 1_000 for feed in self._feeds]
        return max(min(LOOK_EVERY_S, min(promises_s) / 20), _LOOK_AT_MOST_EVERY_S)

    def _rung(self, queue: str | None) -> bool:
        """The bell's answer: whether the token is of use here."""
        self._wake.set()
        if queue is not None:
            feed = self._by_name[queue]
            feed.rang()
            return not self._stop.draining and feed.listens(self._free)
        if self._polls:
            for feed in self._feeds:
                feed.grow_hungry()
        return True

    async def _claim_at_bell(self, queues: Sequence[str], wait_s: float) -> bool:
        """Lend the bell some slots, so that the server claims for them the moment it rings.

        Never the last one, nor any that another queue may need: so nothing waits for their return.
        And few: if our host vanishes, the server claims for nobody.

        Returns:
            Whether the wait is over; without a slot the bell has to wait by itself.
        """
        feed = self._by_name[queues[0]]
        lent = min(feed.room(self._free) - 1, _MOST_LENT)
        if len(self._by_name) > 1 or self._stop.draining or lent < 1:
            return False
        lane = feed.bell_lane
        again = _Call(feed, lane, [], 0, 0, suspects=False, rings=feed.rings, again=True)
        feed.asked += lent
        self._promised += lent
        self._note_astir(feed)
        # The connection has no time-out of its own: a half-open one would wait for ever.
        latest = anyio.current_time() + wait_s + MARGIN_S
        try:
            with CancelScope(deadline=latest) as self._lent:
                began = time.monotonic()
                reply = await lane.claim_at_bell(lent, wait_s)
                self._heard(reply)
                self._note_pop(reply)
                self._take(again, reply, began)
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
            feed.asked -= lent
            self._promised -= lent
            self._note_astir(feed)
            self._wake.set()
        return True

    async def _ask_again(self, call: "_Call") -> None:
        """Ask for the answer to a claim, for a while even if we are cancelled.

        Without it what the server has claimed for us would be nobody's until its lease ends.
        """
        try:
            await self._carry_out(call)
        except asyncio.CancelledError:
            with anyio.move_on_after(_LEAVE_AFTER_S, shield=True):
                await self._carry_out(call)
            raise

    async def _carry_out(self, call: "_Call") -> None:
        """Make a call; a queue that the server refuses to us does not hold up the others.

        Its outcomes stay in their outbox, for the time when we may again (R11).
        """
        feed = call.feed
        refused = feed.refused
        self._reserve(call)
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
            self._release(call)

    def _reserve(self, call: "_Call") -> None:
        call.lane.busy = True
        call.feed.asked += call.want
        call.feed.claiming += call.claims
        self._promised += call.want
        self._suspect_asked = self._suspect_asked or call.suspects
        self._note_astir(call.feed)

    def _release(self, call: "_Call") -> None:
        call.lane.busy = False
        call.feed.asked -= call.want
        call.feed.claiming -= call.claims
        self._promised -= call.want
        if call.suspects:
            self._suspect_asked = False
        self._note_astir(call.feed)
        self._wake.set()

    async def _step(self, call: "_Call") -> None:
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

    async def _exchange(self, call: "_Call", settles: list[Settle]) -> Exchanged:
        """Exchange once, however long the server stays away.

        Raises:
            StoreUnavailable: If it stays away while we are stopping and hold nothing: there is
                nothing to wait for then. What the call may have claimed is rescued.
        """

        def unanswered(error: StoreError) -> int:
            self._reporter.store_down(error)
            self._vitals.pops["error"] += call.claims
            if self._stop.for_s() > _LEAVE_AFTER_S and not len(self._held):
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
        self, call: "_Call", settlements: list[Settlement], settles: list[Settle]
    ) -> None:
        """A script failed: find the attempt that it fails for, settle the others (R11)."""
        feed = call.feed
        alone = _Call(feed, call.lane, [], 0, 0, suspects=False, rings=feed.rings)
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

    def _take(self, call: "_Call", reply: Exchanged, began: float) -> None:
        """Start what was claimed, and what was claimed ahead by the lane's call before this."""
        feed, lane = call.feed, call.lane
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
        to_start = len(attempts) - reply.ahead
        opened, lane.ahead = lane.ahead, attempts[to_start:]
        opened += attempts[:to_start]
        feed.ready += opened
        self._promised += len(opened)
        feed.learn(reply)
        if feed.rings != call.rings:
            feed.grow_hungry()  # what it rang for may have come after this call
        feed.engaged += len(attempts)
        self._note_astir(feed)
        if feed.due_at is not None:
            self._next_due = min(self._next_due, feed.due_at)
        self._start(feed)

    def _start(self, feed: Feed) -> None:
        """Give slots to what is at hand."""
        while feed.ready and self._slots.free and not feed.full and not self._stop.draining:
            attempt = feed.ready.popleft()
            self._promised -= 1
            if attempt.lost or attempt.cancel_asked:
                attempt.outcome = HandedBack()
                feed.outbox.append(attempt)
            else:
                feed.running += 1
                self._slots.give(attempt, feed.handler)

    async def _reload(self, feed: Feed) -> None:
        try:
            feed.queue = await self._store.queue(feed.name)
        except (StoreError, QueueNotFound):
            return  # the next exchange says it again
