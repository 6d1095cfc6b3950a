"""What the API and the command line show of queues and tasks: JSON documents, as structs.

One document of each kind, so that a task looks alike wherever one meets it. Instants are RFC 3339
in UTC and end in `_at`, lengths of time are whole milliseconds and end in `_ms`.
"""

from collections.abc import Mapping
from math import inf
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from hms_async.domain import audit, case, event, incident, operation, queue, task, worker
from hms_async.domain.diagnosis.finding import Finding
from hms_async.domain.duration import ms_to_rfc3339
from hms_async.domain.forecast import Forecast as Foreseen
from hms_async.domain.series import Series as Past
from hms_async.domain.series import Spread
from hms_async.runtime import board
from hms_async.runtime.objectives import Missed, PromiseReport
from hms_async.runtime.promises import Promise as Standing
from hms_async.runtime.promises import Undelivered

Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


def instant(ms: int | None) -> Instant | None:
    """Return an instant as text; `None` for none, which a script may write as 0."""
    return ms_to_rfc3339(ms) if ms else None


class Queue(Struct, frozen=True, kw_only=True):
    """A queue's settings."""

    name: str
    version: int
    paused: bool
    reason: str
    paused_by: str
    paused_at: Instant | None
    sla_ms: int | None
    goal: float
    ladder: list[str]
    late: str
    pause_stops_clock: bool
    max_wait_ms: int | None
    run_timeout_ms: int | None
    receivers: list[str]
    lease_ms: int
    max_attempts: int
    retry_base_ms: int
    retry_cap_ms: int
    max_crashes: int
    max_depth: int | None
    max_payload_bytes: int
    idempotency_window_ms: int
    keep_done_ms: int
    keep_done_max: int
    keep_failed_ms: int
    keep_failed_max: int

    @classmethod
    def of(cls, one: queue.Queue) -> "Queue":
        """Return the document of a queue."""
        settings = one.settings
        return cls(
            name=one.name,
            version=one.version,
            paused=one.paused,
            reason=one.reason,
            paused_by=one.paused_by,
            paused_at=instant(one.paused_ms),
            sla_ms=settings.sla_ms,
            goal=settings.goal,
            ladder=[str(rung) for rung in settings.ladder],
            late=settings.late,
            pause_stops_clock=settings.pause_stops_clock,
            max_wait_ms=settings.max_wait_ms,
            run_timeout_ms=settings.run_timeout_ms,
            receivers=list(settings.receivers.words()),
            lease_ms=settings.lease_ms,
            max_attempts=settings.retry.max_attempts,
            retry_base_ms=settings.retry.base_ms,
            retry_cap_ms=settings.retry.cap_ms,
            max_crashes=settings.max_crashes,
            max_depth=settings.max_depth,
            max_payload_bytes=settings.max_payload_bytes,
            idempotency_window_ms=settings.window_ms,
            keep_done_ms=settings.keep_done_ms,
            keep_done_max=settings.keep_done_max,
            keep_failed_ms=settings.keep_failed_ms,
            keep_failed_max=settings.keep_failed_max,
        )


class Stats(Struct, frozen=True, kw_only=True):
    """One look at a queue: how many tasks are in which state, and its clock."""

    name: str
    paused: bool
    sla_ms: int | None
    waiting: int
    in_progress: int
    scheduled: int
    retrying: int
    done: int
    failed: int
    cancelled: int
    expired: int
    oldest_arrived_at: Instant | None
    next_due_at: Instant | None
    next_rung_at: Instant | None
    at_risk: int
    breached: int
    clock_stopped_at: Instant | None
    undelivered: int
    totals: Mapping[str, int]
    at: Instant | None

    @classmethod
    def of(cls, one: queue.QueueStats) -> "Stats":
        """Return the document of a look at a queue."""
        return cls(
            name=one.name,
            paused=one.paused,
            sla_ms=one.sla_ms,
            waiting=one.waiting,
            in_progress=one.in_progress,
            scheduled=one.scheduled,
            retrying=one.retrying,
            done=one.done,
            failed=one.failed,
            cancelled=one.cancelled,
            expired=one.expired,
            oldest_arrived_at=instant(one.oldest_arrived_ms),
            next_due_at=instant(one.next_due_ms),
            next_rung_at=instant(one.next_rung_ms),
            at_risk=one.at_risk,
            breached=one.breached,
            clock_stopped_at=instant(one.clock_stopped_ms),
            undelivered=one.undelivered,
            totals=dict(one.totals),
            at=instant(one.now_ms),
        )


class Point(Struct, frozen=True, kw_only=True):
    """What happened in one step; `wait`, `run` and `total` are `null` when nothing was seen."""

    at: Instant | None
    arrived: int
    started: int
    done: int
    failed: int
    cancelled: int
    expired: int
    retried: int
    rescued: int
    met: int
    missed: int
    wait: Spread | None
    run: Spread | None
    total: Spread | None


class Series(Struct, frozen=True, kw_only=True):
    """A queue over time, the earliest step first; the last one is not over."""

    queue: str
    step_ms: int
    at: Instant | None
    points: list[Point]

    @classmethod
    def of(cls, one: Past) -> "Series":
        """Return the document of a series."""
        points = [msgspec.structs.asdict(point) for point in one.points]
        return cls(
            queue=one.queue,
            step_ms=one.step_ms,
            at=instant(one.now_ms),
            points=[Point(at=instant(point.pop("at_ms")), **point) for point in points],
        )


class Forecast(Struct, frozen=True, kw_only=True):
    """What will become of the tasks that wait."""

    confidence: str
    first_miss_at: Instant | None
    misses: int | None
    drain_ms: float | None
    slots_wanted: int | None

    @classmethod
    def of(cls, one: Foreseen) -> "Forecast":
        """Return the document of a forecast."""
        return cls(
            confidence=one.confidence,
            first_miss_at=instant(one.first_miss_ms),
            misses=one.misses,
            drain_ms=None if one.drain_ms == inf else one.drain_ms,
            slots_wanted=one.slots_wanted,
        )


class Incident(Struct, frozen=True, kw_only=True):
    """Something about a queue that somebody should look at."""

    id: str
    kind: str
    state: str
    severity: str
    first_at: Instant | None
    last_at: Instant | None
    count: int
    task_id: str | None
    by: str | None
    reason: str | None
    resolved_at: Instant | None
    queue: str

    @classmethod
    def of(cls, one: incident.Incident) -> "Incident":
        """Return the document of an incident."""
        return cls(
            id=one.id,
            kind=one.kind,
            state=one.state,
            severity=one.severity,
            first_at=instant(one.first_ms),
            last_at=instant(one.last_ms),
            count=one.count,
            task_id=one.task_id,
            by=one.by,
            reason=one.reason,
            resolved_at=instant(one.resolved_ms),
            queue=one.queue,
        )


class Promise(Struct, frozen=True, kw_only=True):
    """How a queue's promise stands."""

    queue: str
    clock: Literal["breached", "at_risk", "paused", "on_track", "none"]
    sla_ms: int | None
    open: int
    at_risk: int
    breached: int
    kept: float | None
    forecast: Forecast
    incidents: list[Incident]
    at: Instant | None

    @classmethod
    def of(cls, one: Standing) -> "Promise":
        """Return the document of a look at a promise."""
        return cls(
            queue=one.queue.name,
            clock=one.clock,
            sla_ms=one.queue.settings.sla_ms,
            open=one.stats.open,
            at_risk=one.stats.at_risk,
            breached=one.stats.breached,
            kept=one.kept,
            forecast=Forecast.of(one.forecast),
            incidents=[Incident.of(each) for each in one.incidents],
            at=instant(one.stats.now_ms),
        )


class Message(Struct, frozen=True, kw_only=True):
    """A message that no receiver took: of what it tells, and what the last try met."""

    id: str
    queue: str
    kind: str
    type: str
    severity: str
    task_id: str | None
    correlation_id: str | None
    incident: str | None
    tries: int
    error: str
    made_at: Instant | None

    @classmethod
    def of(cls, one: Undelivered) -> "Message":
        """Return the document of an undelivered message."""
        return cls(
            id=one.said.id,
            queue=one.said.queue,
            kind=one.kind,
            type=one.said.type,
            severity=one.said.severity,
            task_id=one.said.task_id,
            correlation_id=one.said.correlation_id,
            incident=one.said.incident,
            tries=one.tries,
            error=one.error,
            made_at=instant(one.said.made_ms),
        )


class Window(Struct, frozen=True, kw_only=True):
    """Promises that closed in the last so many ms; `kept` is `null` when none did."""

    length_ms: int
    met: int
    missed: int
    kept: float | None


class Burn(Struct, frozen=True, kw_only=True):
    """How fast the error budget goes, over two spans that end now; 1 is what the goal allows."""

    long_ms: int
    short_ms: int
    long: float | None
    short: float | None
    limit: float
    too_fast: bool


class Miss(Struct, frozen=True, kw_only=True):
    """A task that broke its promise, and where its time went."""

    task_id: str
    correlation_id: str | None
    state: task.TaskState
    arrived_at: Instant | None
    ended_at: Instant | None
    late_ms: int
    attempt: int
    crashes: int
    worker: str | None
    waited_ms: int
    ran_ms: int
    backed_off_ms: int
    lost_ms: int
    unknown_ms: int

    @classmethod
    def of(cls, one: Missed) -> "Miss":
        """Return the document of a task that broke its promise."""
        return cls(
            task_id=one.task.id,
            correlation_id=one.task.correlation_id,
            state=one.task.state,
            arrived_at=instant(one.task.arrived_ms),
            ended_at=instant(one.task.finished_ms),
            late_ms=one.late_ms,
            attempt=one.task.attempt,
            crashes=one.task.crashes,
            worker=one.task.worker,
            **msgspec.structs.asdict(one.spent),
        )


class Report(Struct, frozen=True, kw_only=True):
    """How a queue's promises were kept against its goal."""

    queue: str
    sla_ms: int | None
    goal: float
    windows: list[Window]
    budget_left: float | None
    burns: list[Burn]
    worst: list[Miss]
    at: Instant | None

    @classmethod
    def of(cls, one: PromiseReport) -> "Report":
        """Return the document of a report."""
        return cls(
            queue=one.queue.name,
            sla_ms=one.queue.settings.sla_ms,
            goal=one.queue.settings.goal,
            windows=[
                Window(
                    length_ms=each.length_ms,
                    met=each.kept.met,
                    missed=each.kept.missed,
                    kept=each.kept.ratio,
                )
                for each in one.windows
            ],
            budget_left=one.budget_left,
            burns=[
                Burn(too_fast=each.too_fast, **msgspec.structs.asdict(each)) for each in one.burns
            ],
            worst=[Miss.of(each) for each in one.worst],
            at=instant(one.now_ms),
        )


class Glance(Stats, frozen=True, kw_only=True):
    """A queue at a glance: `failed_1h` in the last hour, `kept_24h` of the last day."""

    clock: Literal["breached", "at_risk", "paused", "on_track", "none"]
    due_at: Instant | None
    slots: int | None
    failed_1h: int
    kept_24h: float | None
    forecast: Forecast

    @classmethod
    def of_standing(cls, one: board.Standing) -> "Glance":
        """Return the document of a queue at a glance."""
        return cls(
            **msgspec.structs.asdict(Stats.of(one.stats)),
            clock=one.clock,
            due_at=instant(one.due_ms),
            slots=one.slots,
            failed_1h=one.failed,
            kept_24h=one.kept.ratio,
            forecast=Forecast.of(one.promise.forecast),
        )


class Attempt(Struct, frozen=True, kw_only=True):
    """An attempt that did not succeed."""

    number: int
    worker: str
    started_at: Instant | None
    finished_at: Instant | None
    again_at: Instant | None
    error_type: str
    error: str
    traceback: str
    traceparent: str | None

    @classmethod
    def of(cls, one: task.Attempt) -> "Attempt":
        """Return the document of an attempt."""
        return cls(
            number=one.number,
            worker=one.worker,
            started_at=instant(one.started_ms),
            finished_at=instant(one.finished_ms),
            again_at=instant(one.again_ms),
            error_type=one.error_type,
            error=one.error,
            traceback=one.traceback,
            traceparent=one.traceparent,
        )


class Task(Struct, frozen=True, kw_only=True):
    """A task: what was asked, how it goes, and its last attempts that failed."""

    id: str
    queue: str
    state: task.TaskState
    payload: Any
    correlation_id: str | None
    priority: str
    attempt: int
    crashes: int
    arrived_at: Instant | None
    due_at: Instant | None
    waived: str | None
    moved_to: str | None
    again_of: str | None
    again_as: str | None
    expires_at: Instant | None
    starts_at: Instant | None
    started_at: Instant | None
    finished_at: Instant | None
    lease_expires_at: Instant | None
    cancel_asked_at: Instant | None
    cancel_by: str | None
    cancel_reason: str | None
    worker: str | None
    result: Any
    error: Mapping[str, str] | None
    handoff: Mapping[str, Any] | None
    attempts: list[Attempt]
    traceparent: str | None
    raw: str | None
    hidden: list[str] = []

    @classmethod
    def of(cls, one: task.TaskRecord) -> "Task":
        """Return the document of a task."""
        return cls(
            id=one.id,
            queue=one.queue,
            state=one.state,
            payload=one.payload,
            correlation_id=one.correlation_id,
            priority=one.priority,
            attempt=one.attempt,
            crashes=one.crashes,
            arrived_at=instant(one.arrived_ms),
            due_at=instant(one.due_ms),
            waived=one.waived,
            moved_to=one.moved_to,
            again_of=one.again_of,
            again_as=one.again_as,
            expires_at=instant(one.expires_ms),
            starts_at=instant(one.starts_ms),
            started_at=instant(one.started_ms),
            finished_at=instant(one.finished_ms),
            lease_expires_at=instant(one.lease_expires_ms),
            cancel_asked_at=instant(one.cancel_asked_ms),
            cancel_by=one.cancel_by,
            cancel_reason=one.cancel_reason,
            worker=one.worker,
            result=one.result,
            error=dict(one.error) if one.error else None,
            handoff=msgspec.structs.asdict(one.handoff) if one.handoff else None,
            attempts=[Attempt.of(each) for each in one.attempts],
            traceparent=one.traceparent,
            raw=None if one.raw is None else one.raw.decode(errors="backslashreplace"),
            hidden=list(one.hidden),
        )


class CasePlace(Struct, frozen=True, kw_only=True):
    """The task that tells where a case is."""

    task_id: str
    queue: str
    state: task.TaskState


class CaseSummary(Struct, frozen=True, kw_only=True):
    """How a case stands, and where the time went, as sums over its tasks."""

    counts: Mapping[str, int]
    open: int
    ended: int
    at: CasePlace
    since_at: Instant | None
    began_at: Instant | None
    ended_at: Instant | None
    waiting_ms: int
    running_ms: int
    retrying_ms: int

    @classmethod
    def of(cls, one: case.CaseSummary) -> "CaseSummary":
        """Return the document of how a case stands."""
        return cls(
            counts={state.value: count for state, count in one.counts.items()},
            open=one.open,
            ended=one.ended,
            at=CasePlace(task_id=one.at.id, queue=one.at.queue, state=one.at.state),
            since_at=instant(one.since_ms),
            began_at=instant(one.began_ms),
            ended_at=instant(one.ended_ms),
            waiting_ms=one.waiting_ms,
            running_ms=one.running_ms,
            retrying_ms=one.retrying_ms,
        )


class Case(Struct, frozen=True, kw_only=True):
    """All tasks of one correlation id, by arrival, and how it stands."""

    correlation_id: str
    tasks: list[Task]
    more: bool
    summary: CaseSummary

    @classmethod
    def of(cls, one: case.Case) -> "Case":
        """Return the document of a case."""
        return cls(
            correlation_id=one.correlation_id,
            tasks=[Task.of(each) for each in one.tasks],
            more=one.more,
            summary=CaseSummary.of(one.summary),
        )


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened to a queue or one of its tasks."""

    id: str
    type: str
    queue: str
    task_id: str | None
    correlation_id: str | None
    message: str | None
    handoff: Mapping[str, Any] | None
    fields: Mapping[str, str]

    @classmethod
    def of(cls, one: event.Event) -> "Event":
        """Return the document of an event."""
        return cls(
            id=one.id,
            type=one.type,
            queue=one.queue,
            task_id=one.task_id,
            correlation_id=one.correlation_id,
            message=one.message,
            handoff=msgspec.structs.asdict(one.handoff) if one.handoff else None,
            fields=one.fields,
        )


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Something that somebody did."""

    id: str
    at: Instant | None
    queue: str | None
    act: str
    task_id: str | None
    who: str
    via: str
    reason: str
    fields: Mapping[str, str]

    @classmethod
    def of(cls, one: audit.AuditEntry) -> "AuditEntry":
        """Return the document of an entry."""
        return cls(
            id=one.id,
            at=instant(one.at_ms),
            queue=one.queue,
            act=one.act,
            task_id=one.task_id,
            who=one.who,
            via=one.via,
            reason=one.reason,
            fields=one.fields,
        )


class Worker(Struct, frozen=True, kw_only=True):
    """A worker that was heard of lately."""

    name: str
    via: Literal["native", "rest"]
    queues: list[str]
    seen_at: Instant | None
    host: str | None
    pid: int | None
    slots: int | None
    running: int | None
    version: str | None

    @classmethod
    def of(cls, one: worker.WorkerCard) -> "Worker":
        """Return the document of a worker's card."""
        return cls(
            name=one.name,
            via=one.via,
            queues=list(one.queues),
            seen_at=instant(one.seen_ms),
            host=one.host,
            pid=one.pid,
            slots=one.slots,
            running=one.running,
            version=one.version,
        )


class FailedKind(Struct, frozen=True, kw_only=True):
    """Failed tasks whose faults have the same type and words; the newest of them as a sample."""

    fingerprint: str
    error_type: str
    words: str
    count: int
    retrying: int
    first_at: Instant | None
    last_at: Instant | None
    sample: Task | None


class IncidentBundle(Struct, frozen=True, kw_only=True):
    """All that is known of a queue in trouble, to be attached to a ticket: no payload is in it.

    What could not be read, or is not for whoever asked, is `null`; `left_out` says why.
    """

    schema: Literal["hms.incident_bundle/v1"] = "hms.incident_bundle/v1"
    made_at: Instant | None
    made_by: str
    version: str
    queue: Queue
    standing: Glance | None
    incidents: list[Incident] | None
    findings: list[Finding] | None
    server: list[Finding] | None
    series: Series | None
    report: Report | None
    at_risk: list[Task] | None
    failed: list[FailedKind] | None
    workers: list[Worker] | None
    undelivered: list[Message] | None
    audit: list[AuditEntry] | None
    left_out: Mapping[str, str]


class Refusal(Struct, frozen=True, kw_only=True):
    """A task that an operation could not be done to."""

    id: str
    reason: str


class Operation(Struct, frozen=True, kw_only=True):
    """An act on many tasks, and how far it is."""

    id: str
    act: str
    queue: str
    where: str
    state: str
    who: str
    via: str
    reason: str
    rate: int | None
    matched: int
    exact: bool
    by_state: Mapping[str, int]
    done: int
    refused: int
    refusals: list[Refusal]
    error: str
    created_at: Instant | None
    started_at: Instant | None
    finished_at: Instant | None

    @classmethod
    def of(cls, one: operation.Operation) -> "Operation":
        """Return the document of an operation."""
        return cls(
            id=one.id,
            act=one.act.value,
            queue=one.queue,
            where=str(one.where),
            state=one.state.value,
            who=one.by.who,
            via=one.by.via,
            reason=one.by.reason,
            rate=one.rate,
            matched=one.matched,
            exact=one.exact,
            by_state={state.value: count for state, count in one.by_state.items()},
            done=one.done,
            refused=one.refused,
            refusals=[Refusal(id=each.id, reason=each.reason) for each in one.refusals],
            error=one.error,
            created_at=instant(one.created_ms),
            started_at=instant(one.started_ms),
            finished_at=instant(one.finished_ms),
        )
