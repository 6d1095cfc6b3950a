"""The books of a worker's slots: which are promised, to what, and what they are given to.

Nothing here waits and nothing here talks to the store, so the sums hold between any two calls.
"""

import asyncio
import math
import time
from collections.abc import Sequence

import msgspec

from hms_async.domain.outcome import HandedBack
from hms_async.runtime.exchange import Lane
from hms_async.runtime.feed import Feed
from hms_async.runtime.shutdown import Stop
from hms_async.runtime.slots import Slots
from hms_async.runtime.task import Attempt
from hms_async.storage.replies import Exchanged


class Call(msgspec.Struct):
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


class Books:
    """Keeps account of the slots, and gives them to what is at hand.

    A slot is promised from the moment that a task is asked for on its behalf (R13), until it is
    given to the task that has come, or known that none has.

    Args:
        feeds: The queues that want slots.
        slots: Where tasks run.
        stop: Nothing is given a slot any more while stopping.

    Attributes:
        feeds: The queues.
        by_name: The same by their names.
        astir: Those of them that more is to be known of than whether they are hungry: the few to
            look at for each call, of a thousand.
        suspect_asked: Whether a call under way may bring a suspect.
        changed: Set whenever there may be something else to say than before.
    """

    def __init__(self, feeds: Sequence[Feed], slots: Slots, stop: Stop) -> None:
        self.feeds = list(feeds)
        self.by_name = {feed.name: feed for feed in feeds}
        self.astir: dict[Feed, None] = {}
        self.suspect_asked = False
        self.changed = asyncio.Event()
        self._slots = slots
        self._stop = stop
        self._promised = 0  # slots for what is at hand, and for what is asked for
        self._next_due = -math.inf  # when something scheduled is due in any of the queues
        for feed in self.feeds:  # which have been asked once
            self._note_astir(feed)
        slots.on_finished(self._finished)

    @property
    def free(self) -> int:
        """How many slots are free, and promised to nobody."""
        return self._slots.free - self._promised

    def reserve(self, call: Call) -> None:
        """Promise slots to what a call may bring: it is under way from now on."""
        call.lane.busy = True
        call.feed.claiming += call.claims
        self.suspect_asked = self.suspect_asked or call.suspects
        self.lend(call.feed, call.want)

    def release(self, call: Call) -> None:
        """Take back what was promised to a call: it is over."""
        call.lane.busy = False
        call.feed.claiming -= call.claims
        if call.suspects:
            self.suspect_asked = False
        self.take_back(call.feed, call.want)

    def lend(self, feed: Feed, count: int) -> None:
        """Promise slots to what a claim may bring."""
        feed.asked += count
        self._promised += count
        self._note_astir(feed)

    def take_back(self, feed: Feed, count: int) -> None:
        """Take back what was lent."""
        feed.asked -= count
        self._promised -= count
        self._note_astir(feed)
        self.changed.set()

    def take(self, call: Call, attempts: list[Attempt], reply: Exchanged) -> None:
        """Enter what a call has brought, and start it.

        What was claimed ahead by the lane's call before may start with it; what this one has
        claimed ahead may not yet.
        """
        feed, lane = call.feed, call.lane
        to_start = len(attempts) - reply.ahead
        opened, lane.ahead = lane.ahead, attempts[to_start:]
        opened += attempts[:to_start]
        feed.ready += opened
        self._promised += len(opened)
        feed.learn(reply)
        if feed.rings != call.rings:
            feed.grow_hungry()  # what it rang for may have come after this call
        self._note_astir(feed)
        if feed.due_at is not None:
            self._next_due = min(self._next_due, feed.due_at)
        self.start(feed)

    def start(self, feed: Feed) -> None:
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

    def hand_back(self, feed: Feed) -> None:
        """Let others have what is at hand."""
        self._promised -= len(feed.ready)
        feed.hand_back()

    def note_due(self) -> None:
        """Take note of the scheduled and retrying tasks that have come due."""
        now = time.monotonic()
        if now < self._next_due:
            return
        for feed in self.astir:
            feed.note_due(now)
        due = [feed.due_at for feed in self.astir if feed.due_at is not None]
        self._next_due = min(due, default=math.inf)

    def _finished(self, attempt: Attempt) -> None:
        """Take an attempt back from its slot; its outcome leaves with the next exchange."""
        feed = self.by_name[attempt.queue]
        feed.running -= 1
        feed.outbox.append(attempt)
        self.changed.set()
        self.start(feed)

    def _note_astir(self, feed: Feed) -> None:
        """Do so when a call begins, is answered, and ends: a feed grows astir by nothing else."""
        if feed.astir:
            self.astir[feed] = None
        else:
            self.astir.pop(feed, None)
