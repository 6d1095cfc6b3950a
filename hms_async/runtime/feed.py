"""One queue as a worker sees it: what may be taken, and what is to be settled."""

import time
from typing import NamedTuple

from hms_async.domain.queue import Queue
from hms_async.runtime.exchange import Lane
from hms_async.runtime.handlers import Handler
from hms_async.runtime.task import Attempt
from hms_async.storage.replies import Exchanged

BATCH = 250
_PAUSED_POLL_S = 1.0


class Finished(NamedTuple):
    """An attempt that has its outcome.

    Attributes:
        attempt: The attempt.
        correlation_id: Its task's case, for the log.
    """

    attempt: Attempt
    correlation_id: str | None


class Feed:
    """A queue, its lane, and what this worker knows of it.

    Args:
        queue: Its settings; read again when their version changes.
        handler: Who does its tasks.
        lane: The way to it.
        limit: How many of its tasks at once.
    """

    def __init__(self, queue: Queue, handler: Handler, lane: Lane, limit: int) -> None:
        self.queue = queue
        self.handler = handler
        self.lane = lane
        self.outbox: list[Finished] = []
        self.running = 0
        self.hungry = True
        self._limit = limit
        self._paused = False
        self._rests_until = 0.0
        self._due_at: float | None = None

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.queue.name

    @property
    def quiet(self) -> bool:
        """Whether nothing is to be had from it, as far as is known."""
        return self._paused or not self.hungry

    def room(self, free_slots: int) -> int:
        """Return how many tasks could be taken now."""
        if time.monotonic() < self._rests_until:
            return 0
        return max(min(free_slots, self._limit - self.running, BATCH), 0)

    def want(self, free_slots: int) -> int:
        """Return how many tasks to ask for: none while the queue is thought to be empty."""
        if self._due_at is not None and time.monotonic() >= self._due_at:
            self.hungry, self._due_at = True, None
        return self.room(free_slots) if self.hungry else 0

    def rest(self, seconds: float) -> None:
        """Leave the queue alone for a while, after a fault of its own."""
        self._rests_until = time.monotonic() + seconds
        self.hungry = True

    def listens(self, free_slots: int) -> bool:
        """Whether its bell should be heard (R13)."""
        return not self._paused and self.room(free_slots) > 0

    def wakes_at(self) -> float | None:
        """Return when it needs attention without a bell, on the monotonic clock."""
        if time.monotonic() < self._rests_until:
            return self._rests_until
        return self._due_at

    def learn(self, reply: Exchanged) -> None:
        """Take note of what an exchange said about the queue."""
        self._paused = reply.paused
        if reply.paused:
            # Its bell is not heard then, so it is asked again.
            self.rest(_PAUSED_POLL_S)
            return
        self.hungry = reply.left > 0
        self._due_at = None
        if reply.next_due_ms is not None:
            self._due_at = time.monotonic() + max(reply.next_due_ms - reply.now_ms, 0) / 1_000
