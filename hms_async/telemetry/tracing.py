"""Spans of OpenTelemetry. Its names are all here, those of one version of its conventions.

Imported only where somebody has set up where spans go: see `otel`. A task may wait for days, so
what does it begins a trace of its own, *linked* to the one that asked for it.
"""

import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import Context as Variables
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
)
from opentelemetry.util.types import AttributeValue

from hms_async.config import trace_create, trace_parent
from hms_async.domain.outcome import Fault
from hms_async.domain.trace import TraceContext, read_trace
from hms_async.telemetry.carrying import (
    MOST_LINKS,
    carried_by,
    links_to,
    under,
    with_baggage,
    written,
)
from hms_async.telemetry.hiding import hide_text
from hms_async.telemetry.logs import get_logger, package_version
from hms_async.telemetry.text import as_text

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions that the names below are of."""

_SYSTEM: Final = "messaging.system"
_OPERATION: Final = "messaging.operation.name"
_KIND: Final = "messaging.operation.type"
_QUEUE: Final = "messaging.destination.name"
_TASK: Final = "messaging.message.id"
_CASE: Final = "messaging.message.conversation_id"
_CLIENT: Final = "messaging.client.id"
_COUNT: Final = "messaging.batch.message_count"
_ADDRESS: Final = "server.address"
_PORT: Final = "server.port"
_ERROR: Final = "error.type"
_ATTEMPT: Final = "hms.task.attempt"
_MAX_ATTEMPTS: Final = "hms.task.max_attempts"
_WAIT: Final = "hms.task.wait"
_OUTCOME: Final = "hms.task.outcome"
_TIME_LEFT: Final = "hms.sla.time_left"
_CLOCK: Final = "hms.sla.clock"
_MILESTONE: Final = "hms.sla.milestone"
_LATE_BY: Final = "hms.sla.late_by"
_REFUSED: Final = "hms.settle.refused"

_PORT_OF_REDIS: Final = 6_379
_ERRORS: Final = frozenset({"failed", "retry", "lost"})
_ACTS: Final = {
    "done": "ack",
    "fail": "fail",
    "retry": "retry",
    "error": "retry",
    "release": "release",
}
_LOST: Final = Fault("LeaseLost", "the lease was lost")

_LONGEST_MESSAGE: Final = 2_000
_LONGEST_TRACEBACK: Final = 8_000

Attributes = dict[str, AttributeValue]

log = get_logger("hms_async.tracing")
_complained: set[str] = set()


class Sending:
    """An enqueue under way, of one task or many."""

    def __init__(
        self, spans: "Spans", queue: str, span: Span, *, many: bool, creates: bool
    ) -> None:
        self._spans = spans
        self._queue = queue
        self._span = span
        self._many = many
        self._creates = creates
        self._carried = carried_by(span)

    def carry(self, task_id: str, correlation_id: str | None) -> TraceContext | None:
        """Return what a task carries that names no trace itself."""
        if self._creates:
            created = self._spans.create(self._queue, task_id, correlation_id)
            self._span.add_link(created.get_span_context())
            return carried_by(created)
        if not self._many:
            self._span.set_attributes(_of(task_id, correlation_id))
        return self._carried


class Processing:
    """The span of one attempt.

    Attributes:
        ids: What its log lines say of it.
        traceparent: Itself, for those that come after it; empty if it is none.
    """

    def __init__(self, span: Span, carried: TraceContext | None) -> None:
        self.span = span
        self._carried = carried
        self.ids: dict[str, str] = {}
        self.traceparent = ""
        own = span.get_span_context()
        if own.is_valid:
            self.traceparent = written(own)
            _, trace_id, span_id, _ = self.traceparent.split("-")
            self.ids = {"trace_id": trace_id, "span_id": span_id}

    def enter(self, variables: Variables) -> None:
        """Make it the current span there, with the baggage that came along."""
        variables.run(attach, trace.set_span_in_context(self.span, with_baggage(self._carried)))


class Ended(NamedTuple):
    """An attempt whose outcome was sent.

    Attributes:
        queue: Its queue.
        task_id: Its task.
        word: What the outcome was.
        taken: Whether it was accepted; not if the lease was lost.
        processing: Its span, if it ran here.
    """

    queue: str
    task_id: str
    word: str
    taken: bool
    processing: Processing | None


class Spans:
    """Makes spans about one store.

    Args:
        url: Where it is.
        child: Whether attempts are children of what asked for them, in one long trace.
        creates: Whether each of many tasks that are enqueued together has a span.
    """

    def __init__(self, url: str, *, child: bool, creates: bool) -> None:
        self._tracer = trace.get_tracer("hms_async", package_version(), schema_url=SCHEMA_URL)
        self._child = child
        self._creates = creates
        parts = urlsplit(url)
        self._base: Attributes = {_SYSTEM: "hms_async"}
        if parts.hostname and parts.scheme != "memory":
            self._base |= {_ADDRESS: parts.hostname, _PORT: parts.port or _PORT_OF_REDIS}

    @contextmanager
    def enqueue(
        self, queue: str, *, count: int | None = None, given: str | None = None
    ) -> Generator[Sending]:
        """Span an enqueue, of so many tasks if it is of many.

        Args:
            queue: The queue.
            count: How many.
            given: The span that a single task comes from already: of somebody else's making.
        """
        many = count is not None
        creates = count is not None and self._creates and count <= MOST_LINKS
        span = self._start(
            f"enqueue {queue}",
            SpanKind.CLIENT if creates or given else SpanKind.PRODUCER,
            self._attributes(queue, "enqueue", "send") | ({} if count is None else {_COUNT: count}),
            links=links_to([read_trace({"traceparent": given})]),
        )
        try:
            yield Sending(self, queue, span, many=many, creates=creates)
        except BaseException as error:
            self._fail(span, Fault(type(error).__name__, as_text(error)))
            raise
        finally:
            _end(span)

    def create(self, queue: str, task_id: str, correlation_id: str | None) -> Span:
        """Return the span of one of many tasks."""
        attributes = self._attributes(queue, "create", "create") | _of(task_id, correlation_id)
        span = self._start(f"create {queue}", SpanKind.PRODUCER, attributes)
        _end(span)
        return span

    def popped(
        self,
        queue: str,
        began: float,
        worker: str,
        ids: Sequence[str],
        carried: Iterable[TraceContext | None],
    ) -> None:
        """Span a pop that has brought tasks.

        Args:
            queue: The queue.
            began: When it was asked for, on the monotonic clock.
            worker: Who asked.
            ids: What it has brought.
            carried: What came with each.
        """
        attributes = self._attributes(queue, "pop", "receive") | _counted_or_of(ids)
        span = self._start(
            f"pop {queue}",
            SpanKind.CLIENT,
            attributes | {_CLIENT: worker},
            links=links_to(carried),
            began_ns=_wall_ns(began),
        )
        _end(span)

    def process(
        self,
        queue: str,
        task_id: str,
        *,
        worker: str,
        correlation_id: str | None,
        carried: TraceContext | None,
        previous: str | None,
        attempt: int,
        max_attempts: int,
        wait_s: float,
        time_left_s: float | None,
    ) -> Processing:
        """Begin the span of an attempt.

        Args:
            queue: The queue.
            task_id: The task.
            worker: Who runs it.
            correlation_id: The case.
            carried: What came with the task.
            previous: The span of the attempt before, if there was one.
            attempt: Its number.
            max_attempts: How many there are.
            wait_s: How long the task has waited.
            time_left_s: How long until its promise is broken.
        """
        attributes = self._attributes(queue, "process", "process") | _of(task_id, correlation_id)
        attributes |= {
            _CLIENT: worker,
            _ATTEMPT: attempt,
            _MAX_ATTEMPTS: max_attempts,
            _WAIT: wait_s,
        }
        if time_left_s is not None:
            attributes[_TIME_LEFT] = time_left_s
        before = [TraceContext(previous)] if previous else []
        span = self._start(
            f"process {queue}",
            SpanKind.CONSUMER,
            attributes,
            links=links_to(before if self._child else [carried, *before]),
            context=under(carried) if self._child else Context(),
        )
        return Processing(span, carried)

    def processed(
        self,
        processing: Processing,
        outcome: str,
        ended: float,
        *,
        clock: str | None,
        fault: Fault | None,
    ) -> None:
        """End the span of an attempt.

        Args:
            processing: The attempt's.
            outcome: The word for what became of it.
            ended: When its handler ended, on the monotonic clock.
            clock: How the promise stands.
            fault: What went wrong, if anything.
        """
        span = processing.span
        span.set_attribute(_OUTCOME, outcome)
        if clock is not None:
            span.set_attribute(_CLOCK, clock)
        if outcome in _ERRORS:
            self._fail(span, fault or _LOST)
        _end(span, _wall_ns(ended))

    def settled(
        self,
        began: float,
        worker: str | None,
        settled: Iterable[tuple[str, str, str, bool, Processing | None]],
    ) -> None:
        """Span the settlements of one call: one span for each way in which attempts ended.

        It is a child of the attempt, or linked to the attempts where there are several.

        Args:
            began: When the call was sent, on the monotonic clock.
            worker: Who has sent it, if it says so.
            settled: What was settled: the fields of `Ended`.
        """
        groups: dict[tuple[str, str], list[Ended]] = {}
        for one in map(Ended._make, settled):
            groups.setdefault((one.queue, _ACTS[one.word]), []).append(one)
        for (queue, act), members in groups.items():
            self._settle(queue, act, members, _wall_ns(began), worker)

    def _settle(
        self, queue: str, act: str, members: list[Ended], began_ns: int, worker: str | None
    ) -> None:
        attributes = self._attributes(queue, act, "settle")
        attributes |= _counted_or_of([one.task_id for one in members])
        if worker is not None:
            attributes[_CLIENT] = worker
        refused = sum(not one.taken for one in members)
        if refused:
            attributes[_REFUSED] = refused
        attempts = [one.processing.span for one in members if one.processing is not None]
        parent = attempts[0] if len(members) == len(attempts) == 1 else None
        linked = [] if parent else attempts[:MOST_LINKS]
        span = self._start(
            f"{act} {queue}",
            SpanKind.CLIENT,
            attributes,
            links=[Link(one.get_span_context()) for one in linked],
            context=trace.set_span_in_context(parent, Context()) if parent else None,
            began_ns=began_ns,
        )
        if refused == len(members):
            self._fail(span, _LOST)
        _end(span)

    def milestone(
        self,
        queue: str,
        task_id: str,
        correlation_id: str | None,
        *,
        name: str,
        clock: str,
        late_by_s: float,
        carried: TraceContext | None,
    ) -> None:
        """Span a rung of a promise's ladder that was reached."""
        attributes = self._base | {_QUEUE: queue} | _of(task_id, correlation_id)
        attributes |= {_MILESTONE: name, _CLOCK: clock, _LATE_BY: late_by_s}
        _end(self._start("sla milestone", SpanKind.INTERNAL, attributes, links=links_to([carried])))

    def _attributes(self, queue: str, operation: str, kind: str) -> Attributes:
        return self._base | {_QUEUE: queue, _OPERATION: operation, _KIND: kind}

    def _start(
        self,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        *,
        links: Sequence[Link] = (),
        context: Context | None = None,
        began_ns: int | None = None,
    ) -> Span:
        """Begin a span. What raises in the application's own processors costs no task."""
        try:
            return self._tracer.start_span(name, context, kind, attributes, links, began_ns)
        except Exception as error:  # noqa: BLE001  # whatever they raise
            _complain(error)
            return trace.INVALID_SPAN

    @staticmethod
    def _fail(span: Span, fault: Fault) -> None:
        message = hide_text(fault.message)[:_LONGEST_MESSAGE]
        span.set_attribute(_ERROR, fault.type)
        span.set_status(Status(StatusCode.ERROR, message))
        if fault.traceback:
            stack = hide_text(fault.traceback[-_LONGEST_TRACEBACK:])
            told = {"type": fault.type, "message": message, "stacktrace": stack}
            span.add_event("exception", {f"exception.{name}": text for name, text in told.items()})


def _end(span: Span, at_ns: int | None = None) -> None:
    try:
        span.end(at_ns)
    except Exception as error:  # noqa: BLE001  # the application's own processors, again
        _complain(error)


def _complain(error: Exception) -> None:
    """Say that spans are lost, once of each kind of error."""
    kind = type(error).__name__
    if kind not in _complained:
        _complained.add(kind)
        log.warning("tracing.failed", error=f"{kind}: {as_text(error)}")


@lru_cache(maxsize=64)
def _made(url: str, parent: str, creates: str) -> Spans:
    return Spans(url, child=parent == "child", creates=creates == "on")


def spans_of(url: str) -> Spans:
    """Return what makes spans about a store.

    Raises:
        ConfigInvalid: If one of its settings is none of its words.
    """
    return _made(url, trace_parent(), trace_create())


def _wall_ns(monotonic: float) -> int:
    """Return a moment of the monotonic clock as spans want it."""
    return time.time_ns() - int((time.monotonic() - monotonic) * 1e9)


def _of(task_id: str, correlation_id: str | None) -> Attributes:
    case: Attributes = {} if correlation_id is None else {_CASE: hide_text(correlation_id)}
    return {_TASK: task_id} | case


def _counted_or_of(ids: Sequence[str]) -> Attributes:
    return {_TASK: ids[0]} if len(ids) == 1 else {_COUNT: len(ids)}
