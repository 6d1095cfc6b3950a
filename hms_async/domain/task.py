"""A task: one unit of work, as it is stored."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

from hms_async.domain.duration import Duration, ms_to_instant
from hms_async.domain.handoff import Handoff
from hms_async.domain.outcome import Fault
from hms_async.domain.queue import Priority

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_FROM_BYTE = (_CROCKFORD * 8).encode()
ENTROPY_BYTES = 16


class TaskState(StrEnum):
    """Where a task is in its life; it is always in exactly one (I1)."""

    SCHEDULED = "scheduled"
    WAITING = "waiting"
    IN_PROGRESS = "in_progress"
    RETRYING = "retrying"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Whether a task in this state has come to its end."""
        return self in ENDED


OPEN = frozenset(
    {TaskState.SCHEDULED, TaskState.WAITING, TaskState.IN_PROGRESS, TaskState.RETRYING}
)
ENDED = frozenset(TaskState) - OPEN


def make_id(now_ms: int, entropy: bytes) -> str:
    """Return a task id: 26 characters that sort by the time they were made.

    Args:
        now_ms: Milliseconds since the Unix epoch, fewer than 2 ** 48.
        entropy: 16 random bytes, five bits of each used.

    Source: the ULID specification, https://github.com/ulid/spec.
    """
    return _time_part(now_ms) + entropy.translate(_FROM_BYTE).decode()


def make_ids(now_ms: int, entropy: bytes) -> list[str]:
    """Return a task id for each 16 of these random bytes, as `make_id` does."""
    time_part, random = _time_part(now_ms), entropy.translate(_FROM_BYTE).decode()
    starts = range(0, len(random), ENTROPY_BYTES)
    return [time_part + random[start : start + ENTROPY_BYTES] for start in starts]


@lru_cache(maxsize=1)
def _time_part(now_ms: int) -> str:
    return "".join([_CROCKFORD[now_ms >> shift & 31] for shift in range(45, -1, -5)])


# What is made for each enqueue is a struct: a frozen dataclass takes ten times as long to make.
class Enqueued(msgspec.Struct, frozen=True):
    """The answer to an enqueue.

    Attributes:
        id: The task's id; that of the earlier task when there was one.
        created: False when the id or idempotency key stood for a task already (I7).
    """

    id: str
    created: bool


class _Payload(msgspec.Struct, frozen=True):  # the one field that may go without its name
    payload: Any


class NewTask(_Payload, frozen=True, kw_only=True):
    """A task to be enqueued with options of its own, as an item of `enqueue_many`.

    Attributes:
        payload: Any JSON value.
        id: The caller's own id; one is made when absent.
        correlation_id: Ties the task to a case, such as a citizen's request.
        priority: "high" goes to the express lane.
        delay: How long to wait before the first attempt.
        eta: The earliest moment of the first attempt, with a time zone.
        idempotency_key: Two enqueues with one key within the queue's window are one task.
        sla: This task's own promise instead of the queue's.
        expires_at: It is never started after this moment, and ends as expired.
        expires_in: The same, counted from now.
        max_wait: How long it may wait in a lane for an attempt; then it fails.
        run_timeout: How long one attempt may run; then it counts as failed.
        traceparent: The trace that it belongs to, as W3C Trace Context writes it.
        tracestate: What tracing systems say of that besides.
        baggage: What is sent along to whoever does the task, as W3C Baggage writes it.
    """

    id: str | None = None
    correlation_id: str | None = None
    priority: Priority = "normal"
    delay: Duration | None = None
    eta: datetime | None = None
    idempotency_key: str | None = None
    sla: Duration | None = None
    expires_at: datetime | None = None
    expires_in: Duration | None = None
    max_wait: Duration | None = None
    run_timeout: Duration | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    baggage: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One of the last attempts of a task that did not succeed at once.

    Attributes:
        number: From 1.
        worker: Who ran it.
        started_ms: When it was claimed.
        finished_ms: When it was settled, or its lease found lost.
        error_type: The exception's class, or a word of ours.
        error: Its message.
        traceback: Where it came from, if anywhere.
        again_ms: When the next attempt might begin, if this one was to be made again.
        traceparent: The span of the attempt, if its worker made one.
    """

    number: int
    worker: str
    started_ms: int
    finished_ms: int
    error_type: str
    error: str
    traceback: str = ""
    again_ms: int | None = None
    traceparent: str | None = None


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the store has it: what was asked, and how it goes.

    Attributes:
        id: Its id.
        queue: Its queue.
        state: Where it is.
        payload: What was asked; `None` when the body cannot be read (see `raw`).
        correlation_id: The case it belongs to.
        priority: What its producer asked for.
        goes_first: Whether it waits, and will be taken before those that wait in line.
        attempt: Claims so far, those that were handed back taken off.
        crashes: Leases lost so far.
        arrived_ms: When its SLA clock started; for a scheduled task, when it is due.
        due_ms: When its promise is broken, if it has one.
        waived: Why it was let off its promise, if it was.
        moved_to: The queue that it was rerouted to, if it was.
        again_of: The task that this one is another run of, if it is.
        again_as: The last task that is another run of this one, if there is one.
        expires_ms: Until when it may be started, if there is an end to that.
        starts_ms: When a scheduled or retrying task is due.
        started_ms: When its last attempt was claimed.
        finished_ms: When it ended.
        lease_expires_ms: Until when its holder need not be heard of.
        cancel_asked_ms: When somebody asked its holder to cancel it; done and failed come first.
        cancel_by: Who cancelled it, or asked its holder to; `None` if no operator named did.
        cancel_reason: Why; for one of many the operation that did it.
        worker: Who holds it, or held it last.
        result: What it came to.
        error: Why it failed, or why its last attempt did.
        handoff: What its handler left to a workflow, when it said so.
        attempts: The last ten attempts that failed; in a list only of those that are to be tried
            again, and only the last.
        traceparent: The trace that it belongs to, if its producer said so.
        raw: The body as stored, when it cannot be read.
        hidden: Which of these are left out, because whoever looks may not see them: `payload`,
            `result`, `raw`, `handoff.payload`.
    """

    id: str
    queue: str
    state: TaskState
    payload: Any = None
    correlation_id: str | None = None
    priority: Priority = "normal"
    goes_first: bool = False
    attempt: int = 0
    crashes: int = 0
    arrived_ms: int = 0
    due_ms: int | None = None
    waived: str | None = None
    moved_to: str | None = None
    again_of: str | None = None
    again_as: str | None = None
    expires_ms: int | None = None
    starts_ms: int | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    lease_expires_ms: int | None = None
    cancel_asked_ms: int | None = None
    cancel_by: str | None = None
    cancel_reason: str | None = None
    worker: str | None = None
    result: Any = None
    error: Mapping[str, str] | None = None
    handoff: Handoff | None = None
    attempts: tuple[Attempt, ...] = ()
    traceparent: str | None = None
    raw: bytes | None = None
    hidden: tuple[str, ...] = ()

    @property
    def arrived_at(self) -> datetime:
        """When the SLA clock started, in UTC."""
        return ms_to_instant(self.arrived_ms)

    @property
    def due_at(self) -> datetime | None:
        """When the promise is broken, in UTC."""
        return None if self.due_ms is None else ms_to_instant(self.due_ms)

    @property
    def reason(self) -> str:
        """Why the task failed, for people; empty when it did not."""
        if not self.error:
            return ""
        return str(Fault(self.error.get("type", ""), self.error.get("message", "")))


class TaskPage(msgspec.Struct, frozen=True):
    """Some tasks of a queue in one state.

    Attributes:
        tasks: Waiting ones in the order of their claim, ended ones newest first.
        cursor: What to ask for the next page with; `None` at the end.
    """

    tasks: list[TaskRecord]
    cursor: str | None
