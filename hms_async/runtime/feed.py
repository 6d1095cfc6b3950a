"""One queue as a worker sees it: what may be taken, and what is to be settled."""

import time
from typing import TYPE_CHECKING

from hms_async.domain.queue import Queue
from hms_async.runtime.exchange import Lanes
from hms_async.runtime.handlers import Handler
from hms_async.storage.replies import MOST_A_CALL, Exchanged

if TYPE_CHECKING:
    from hms_async.runtime.task import Attempt

_PAUSED_POLL_S = 1.0
_NEWS_EVERY_S = 1.0


class Feed:
    """A queue, its lane, and what this worker knows of it.

    Args:
        queue: Its settings; read again when their version changes.
        handler: Who does its tasks.
        lanes: Makes the ways to it: one for the loop, and one for the last act, since a call on
            the first may be under way then.
        limit: How many of its tasks at once.
    """

    def __init__(self, queue: Queue, handler: Handler, lanes: Lanes, limit: int) -> None:
        self.queue = queue
        self.handler = handler
        self.lane = lanes.make(queue.name)
        self.last_lane = lanes.make(queue.name)
        self.outbox: list[Attempt] = []
        self.running = 0
        self.hungry = True
        self.gone = False
        self.refused = False
        self._limit = limit
        self._paused = False
        self._rests_until = 0.0
        self._due_at: float | None = None
        self._suspects_wait = False
        self._heard_at = 0.0

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.queue.name

    @property
    def quiet(self) -> bool:
        """Whether nothing is to be had from it, as far as is known."""
        return self._paused or self.gone or self.refused or not self.hungry

    @property
    def shut(self) -> bool:
        """Whether the server refuses it to us, and it is not time yet to ask again."""
        return self.refused and time.monotonic() < self._rests_until

    @property
    def full(self) -> bool:
        """Whether as many of its tasks run as may."""
        return self.running >= self._limit

    def room(self, free_slots: int) -> int:
        """Return how many tasks could be taken now."""
        if time.monotonic() < self._rests_until:
            return 0
        return max(min(free_slots, self._limit - self.running, MOST_A_CALL), 0)

    def want(self, free_slots: int, *, suspects: bool) -> int:
        """Return how many tasks to ask for: none while the queue is thought to be empty.

        Args:
            free_slots: How many could run.
            suspects: Whether a suspect may be among them: there may be nothing else (R15).
        """
        if suspects and self._suspects_wait:
            self.hungry = True
        if self._due_at is not None and time.monotonic() >= self._due_at:
            self.hungry, self._due_at = True, None
        return self.room(free_slots) if self.hungry else 0

    @property
    def wants_news(self) -> bool:
        """Whether its tasks have run for a second without a word from the store.

        Somebody may have asked to cancel one (R17).
        """
        return self.running > 0 and time.monotonic() >= self._news_at()

    def _news_at(self) -> float:
        return max(self._heard_at + _NEWS_EVERY_S, self._rests_until)

    def rest(self, seconds: float, *, gone: bool = False, refused: bool = False) -> None:
        """Leave the queue alone for a while, for a fault of its own; it may be gone, or refused."""
        self.gone, self.refused = gone, refused
        self._rests_until = time.monotonic() + seconds
        self.hungry = True

    def listens(self, free_slots: int) -> bool:
        """Whether its bell should be heard (R13)."""
        return not self._paused and self.room(free_slots) > 0

    def wakes_at(self, free_slots: int) -> float | None:
        """Return when it needs attention without a bell, on the monotonic clock."""
        if time.monotonic() < self._rests_until:
            return self._rests_until
        # Without room, what is due can wait for the slot that becomes free.
        due = [self._due_at] if self._due_at is not None and self.room(free_slots) else []
        news = [self._news_at()] if self.running else []
        return min(due + news, default=None)

    def learn(self, reply: Exchanged) -> None:
        """Take note of what an exchange said about the queue."""
        self._heard_at = time.monotonic()
        self._paused, self.gone, self.refused = reply.paused, False, False
        if reply.paused:
            # Its bell is not heard then, so it is asked again.
            self.rest(_PAUSED_POLL_S)
            return
        self.hungry, self._suspects_wait = reply.left > 0, reply.suspects_left > 0
        self._due_at = None
        if reply.next_due_ms is not None:
            self._due_at = time.monotonic() + max(reply.next_due_ms - reply.now_ms, 0) / 1_000
