"""One queue as a worker sees it: what may be taken, what is at hand, and what is to be settled."""

import time
from collections import deque
from typing import TYPE_CHECKING

from hms_async.domain.outcome import HandedBack
from hms_async.domain.pace import Pace
from hms_async.domain.precedence import Head
from hms_async.domain.queue import Queue
from hms_async.runtime.exchange import Lane, Lanes
from hms_async.runtime.handlers import Handler
from hms_async.storage.replies import MOST_A_CALL, Exchanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_async.errors import StoreProtocol
    from hms_async.runtime.task import Attempt

IN_FLIGHT = 2
"""How many exchanges a worker has under way: the server works on one while we run the other's."""

_UNKNOWN = 0, 0
_PAUSED_POLL_S = 1.0
_NEWS_EVERY_S = 1.0
_LONGEST_AT_HAND_S = 1.0


class Feed:
    """A queue, its lanes, and what this worker knows of it.

    Args:
        queue: Its settings; read again when their version changes.
        handler: Who does its tasks.
        lanes: Makes the ways to it: those of the loop, and one for the last act, since calls on
            the others may be under way then.
        limit: How many of its tasks at once.

    Attributes:
        engaged: How many of its tasks this worker has its hands on, until they are settled.
        outbox: Attempts with an outcome, to be settled.
        ready: Attempts that may start as soon as there is a slot, oldest first.
        running: How many are in a slot.
        asked: How many tasks the calls under way may bring for slots that are free now.
        claiming: How many calls under way may bring any.
        hungry: Whether there may be something to take.
        left: How much the last answer left behind.
        rings: How often its bell has rung.
        head: The task that it would give out next, as far as is known; see `choice`.
        by_due, by_age: The head's keys of the same name, which are asked for at each choice; the
            smallest without a head, as nobody knows how urgent it is then.
        broken: What a script met there that is not ours, until one succeeds.
        rests_until: Until when it is left alone, on the monotonic clock.
        due_at: When its next scheduled or retrying task is due, on the monotonic clock.
        suspects_wait: Whether there are tasks that one more crash would fail (R15).
        heard_at: When the store last told of it, on the monotonic clock.
        on_move: Called with it when it has grown hungry or not, or has another head.
    """

    def __init__(self, queue: Queue, handler: Handler, lanes: Lanes, limit: int) -> None:
        self.queue = queue
        self.handler = handler
        self.lanes = [lanes.make(queue.name) for _ in range(IN_FLIGHT)]
        self.bell_lane = lanes.make(queue.name)
        self.last_lane = lanes.make(queue.name)
        self.pace = Pace()
        self.engaged = 0
        self.outbox: list[Attempt] = []
        self.ready: deque[Attempt] = deque()
        self.running = 0
        self.asked = 0
        self.claiming = 0
        self.hungry = True
        self.left = 0
        self.rings = 0
        self.head: Head | None = None
        self.by_due = self.by_age = _UNKNOWN
        self._ahead_ms = 0.0  # how far the server's clock is before our monotonic one
        self.gone = False
        self.refused = False
        self.broken: StoreProtocol | None = None
        self._limit = limit
        self._paused = False
        self.rests_until = 0.0
        self.due_at: float | None = None
        self.suspects_wait = False
        self.heard_at = 0.0
        self.on_move: Callable[[Feed], None] = _nobody

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.queue.name

    @property
    def state(self) -> str:
        """What keeps it from giving tasks, in a word; `open` if nothing does."""
        if self._is_open:
            return "open"
        if self.gone or self.refused:
            return "gone" if self.gone else "refused"
        return "paused" if self.broken is None else "broken"

    @property
    def _is_open(self) -> bool:
        return not (self._paused or self.gone or self.refused or self.broken)

    @property
    def quiet(self) -> bool:
        """Whether nothing is to be had from it, as far as is known."""
        return not (self._is_open and self.hungry)

    @property
    def idle(self) -> bool:
        """Whether it is open, and was empty when we last asked."""
        return self._is_open and not self.hungry

    @property
    def astir(self) -> bool:
        """Whether more is to be known of it than whether it is hungry.

        Of most of a thousand queues it is not: they are open, nothing of them is here or on its
        way, and only their bell can bring news.
        """
        return (
            self.engaged > 0
            or self.asked > 0
            or self.claiming > 0
            or self.suspects_wait
            or self.due_at is not None
            or time.monotonic() < self.rests_until
        )

    @property
    def shut(self) -> bool:
        """Whether the server refuses it to us, and it is not time yet to ask again."""
        return self.refused and time.monotonic() < self.rests_until

    @property
    def full(self) -> bool:
        """Whether as many of its tasks run as may."""
        return self.running >= self._limit

    @property
    def idle_lane(self) -> Lane | None:
        """A lane without a call under way; first the one whose next call lets something start."""
        idle = [lane for lane in self.lanes if not lane.busy]
        return max(idle, key=lambda lane: len(lane.ahead), default=None)

    @property
    def at_hand(self) -> int:
        """How many tasks were claimed and have not begun."""
        return len(self.ready) + sum(len(lane.ahead) for lane in self.lanes)

    def share(self) -> int:
        """Return how much one call may carry: not all, when another can go beside it."""
        return min(-(-self._limit // IN_FLIGHT), MOST_A_CALL) if self.left else MOST_A_CALL

    def room(self, free_slots: int) -> int:
        """Return how many tasks could start now, beside those at hand and those asked for.

        Args:
            free_slots: Slots that are free, and promised to nobody.
        """
        if time.monotonic() < self.rests_until:
            return 0
        under_limit = self._limit - self.running - self.asked - len(self.ready)
        return max(min(free_slots, under_limit, MOST_A_CALL), 0)

    def want(self, free_slots: int, *, suspects: bool, anyway: bool) -> int:
        """Return how many tasks to ask for.

        While the queue is thought to be empty, or another call asks already and may find it so,
        there are none to be had; a call that is made anyway may ask all the same.

        Args:
            free_slots: How many could run.
            suspects: Whether a suspect may be among them: there may be nothing else (R15).
            anyway: Whether the call is made for another reason.
        """
        if suspects and self.suspects_wait:
            self.grow_hungry()
        self.note_due(time.monotonic())
        return min(self.room(free_slots), self.share()) if self._promises_more or anyway else 0

    @property
    def _promises_more(self) -> bool:
        """Whether there may be more to take than the calls under way ask for."""
        return self.hungry and (self.left > self.asked or not self.claiming)

    def ahead(self, want: int) -> int:
        """Return how many tasks to claim beyond those that can start at once."""
        if not self.left or time.monotonic() < self.rests_until:
            return 0
        # What is at hand goes back in one call at a stop, so it is never more than one can carry.
        # And what has ended and is not settled would be done again after a crash: handlers that
        # end at once must not run away from it.
        most = min(self.pace.ahead(self._limit), MOST_A_CALL) - self.at_hand - len(self.outbox)
        return max(min(most, self.share(), MOST_A_CALL - want), 0)

    @property
    def wants_news(self) -> bool:
        """Whether its tasks have run for a second without a word from the store.

        Somebody may have asked to cancel one (R17).
        """
        return self.running > 0 and time.monotonic() >= self._news_at()

    def _news_at(self) -> float:
        return max(self.heard_at + _NEWS_EVERY_S, self.rests_until)

    @property
    def waits_too_long(self) -> bool:
        """Whether something has been at hand for so long that others should have it."""
        oldest = [self.ready[0].claimed] if self.ready else []
        oldest += [lane.ahead[0].claimed for lane in self.lanes if lane.ahead]
        return bool(oldest) and time.monotonic() - min(oldest) > _LONGEST_AT_HAND_S

    def hand_back(self) -> None:
        """Let others have what has not begun; it goes in one call, so that it keeps its order."""
        back = list(self.ready)
        self.ready.clear()
        for lane in self.lanes:
            back += lane.ahead
            lane.ahead = []
        for attempt in back:
            attempt.outcome = HandedBack()
        self.outbox[:0] = back
        self.pace.forget()

    def contends(self, free_slots: int) -> bool:
        """Whether it would claim for slots that are free, if it may."""
        return self._promises_more and self.idle_lane is not None and self.room(free_slots) > 0

    def server_ms(self, monotonic_s: float) -> int:
        """Return the server's time at a moment of our monotonic clock."""
        return int(monotonic_s * 1_000 + self._ahead_ms)

    def note_due(self, now: float) -> None:
        """Take note that a scheduled or retrying task has come due."""
        if self.due_at is not None and now >= self.due_at:
            self.due_at = None
            self.grow_hungry()

    def grow_hungry(self) -> None:
        """Take note that there may be something to take."""
        if not self.hungry:
            self.hungry = True
            self.on_move(self)

    def rang(self) -> None:
        """Take note that there is something to take: if it was empty, it has just come."""
        self.rings += 1
        if not self.hungry:
            now_ms = self.server_ms(time.monotonic())
            sla_ms = self.queue.settings.sla_ms
            self._set_head(now_ms, None if sla_ms is None else now_ms + sla_ms)
            self.grow_hungry()

    def _set_head(self, arrived_ms: int, due_ms: int | None) -> None:
        self.head = head = Head(arrived_ms, due_ms, self.queue.settings.late)
        self.by_due, self.by_age = head.by_due, head.by_age

    def rest(
        self,
        seconds: float,
        *,
        gone: bool = False,
        refused: bool = False,
        broken: "StoreProtocol | None" = None,
    ) -> None:
        """Leave the queue alone for a while: it may be gone, refused, or broken."""
        self.gone, self.refused, self.broken = gone, refused, broken
        self.rests_until = time.monotonic() + seconds
        self.grow_hungry()

    def listens(self, free_slots: int) -> bool:
        """Whether its bell should be heard (R13)."""
        return not self._paused and self.room(free_slots) > 0

    def wakes_at(self, free_slots: int) -> float | None:
        """Return when it needs attention without a bell, on the monotonic clock."""
        if time.monotonic() < self.rests_until:
            return self.rests_until
        # Without room, what is due can wait for the slot that becomes free.
        due = [self.due_at] if self.due_at is not None and self.room(free_slots) else []
        news = [self._news_at()] if self.running else []
        return min(due + news, default=None)

    def learn(self, reply: Exchanged) -> None:
        """Take note of what an exchange said about the queue."""
        self.heard_at = time.monotonic()
        self._ahead_ms = reply.now_ms - self.heard_at * 1_000
        self.head, self.by_due, self.by_age = None, _UNKNOWN, _UNKNOWN
        if reply.head is not None:
            self._set_head(*reply.head)
        self._paused, self.gone, self.refused, self.broken = reply.paused, False, False, None
        if reply.paused:
            # Its bell is not heard then, so it is asked again.
            self.left = 0
            self.rest(_PAUSED_POLL_S)
        else:
            self.left = reply.left
            self.hungry = self.left > 0
            self.suspects_wait = reply.suspects_left > 0
            self.due_at = None
            if reply.next_due_ms is not None:
                self.due_at = time.monotonic() + max(reply.next_due_ms - reply.now_ms, 0) / 1_000
        self.on_move(self)


def _nobody(_: Feed) -> None:
    """Nobody keeps them in order."""
