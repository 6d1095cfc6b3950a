"""What the routes answer with: documents, and what is said around them."""

from typing import Any, Literal

from msgspec import Struct

from hms_async.api import documents
from hms_async.api.documents import Instant, instant
from hms_async.api.problems import Problem
from hms_async.domain.trace import TraceContext
from hms_async.runtime import remote

_NO_TRACE = TraceContext()


class Accepted(Struct, frozen=True):
    """A task that was enqueued; not `created` when its id or key stood for one already."""

    id: str
    created: bool


class Entered(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one of many tasks: its id, or why it was refused; of which line."""

    line: int | None = None
    id: str | None = None
    created: bool | None = None
    error: Problem | None = None


class AcceptedMany(Struct, frozen=True, kw_only=True):
    """What became of many tasks, in order."""

    accepted: int
    refused: int
    results: list[Entered]


class LeasedTask(Struct, frozen=True, kw_only=True):
    """A task that is the caller's until its lease ends."""

    id: str
    queue: str
    token: str
    payload: Any
    correlation_id: str | None
    attempt: int
    crashes: int
    arrived_at: Instant | None
    due_at: Instant | None
    waited_ms: int
    lease_ms: int
    traceparent: str | None
    tracestate: str | None
    baggage: str | None

    @classmethod
    def of(cls, one: remote.Leased) -> "LeasedTask":
        """Return the document of a task under a lease."""
        trace = one.trace or _NO_TRACE
        return cls(
            id=one.id,
            queue=one.queue,
            token=one.token,
            payload=one.payload,
            correlation_id=one.correlation_id,
            attempt=one.attempt,
            crashes=one.crashes,
            arrived_at=instant(one.arrived_ms),
            due_at=instant(one.due_ms),
            waited_ms=one.waited_ms,
            lease_ms=one.lease_ms,
            traceparent=trace.traceparent,
            tracestate=trace.tracestate,
            baggage=trace.baggage,
        )


class Popped(Struct, frozen=True, kw_only=True):
    """Tasks under a lease; with `drain` this process is about to end, ask another one."""

    tasks: list[LeasedTask]
    drain: bool


class Settled(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an outcome; `already` when this token has settled the task before."""

    id: str
    state: str = ""
    already: bool = False
    error: Problem | None = None


class SettledMany(Struct, frozen=True, kw_only=True):
    """What became of several outcomes, in order."""

    results: list[Settled]


class BeatAnswer(Struct, frozen=True, kw_only=True):
    """Whether to go on with a task."""

    id: str
    answer: Literal["continue", "cancel", "drain", "lost"]


class Beats(Struct, frozen=True, kw_only=True):
    """Whether to go on with each of several tasks."""

    results: list[BeatAnswer]


class Acted(Struct, frozen=True, kw_only=True):
    """What state an act has left a task in."""

    id: str
    state: str


class Changed(Struct, frozen=True, kw_only=True):
    """Whether an act has changed anything, or it was so already."""

    queue: str
    changed: bool


class QueueLook(Struct, frozen=True, kw_only=True):
    """A queue's settings, and one look at it."""

    queue: documents.Queue
    stats: documents.Stats


class Queues(Struct, frozen=True, kw_only=True):
    """Queues, by name."""

    queues: list[documents.Queue]


class AllStats(Struct, frozen=True, kw_only=True):
    """A look at each queue, by name."""

    queues: list[documents.Stats]


class Tasks(Struct, frozen=True, kw_only=True):
    """A page of tasks; `cursor` asks for the next one."""

    tasks: list[documents.Task]
    cursor: str | None


class Promises(Struct, frozen=True, kw_only=True):
    """How promises stand, the worst first."""

    queues: list[documents.Promise]


class Reports(Struct, frozen=True, kw_only=True):
    """How promises were kept, the least error budget left first."""

    queues: list[documents.Report]


class Incidents(Struct, frozen=True, kw_only=True):
    """What somebody should look at."""

    incidents: list[documents.Incident]


class Messages(Struct, frozen=True, kw_only=True):
    """Messages that no receiver took, the last that was given up first."""

    messages: list[documents.Message]


class DealtWith(Struct, frozen=True, kw_only=True):
    """To which messages an act was done; somebody else may have dealt with others meanwhile."""

    queue: str
    ids: list[str]


class Workers(Struct, frozen=True, kw_only=True):
    """Workers that were heard of lately."""

    workers: list[documents.Worker]


class Audit(Struct, frozen=True, kw_only=True):
    """A page of the audit, the last act first; `cursor` asks for the next one."""

    entries: list[documents.AuditEntry]
    cursor: str | None


class Operations(Struct, frozen=True, kw_only=True):
    """Operations, the last first."""

    operations: list[documents.Operation]


class Health(Struct, frozen=True, kw_only=True):
    """Whether all is well, and if not, why."""

    ok: bool
    reason: str = ""


class Status(Struct, frozen=True, kw_only=True):
    """What the process knows of itself, and of who asks.

    `polls` and `streams` are how many pops wait here, and how many event streams are open.
    """

    version: str
    ready: bool
    reason: str
    polls: int
    streams: int
    caller: str
    permissions: list[str]
    queues: list[str]
