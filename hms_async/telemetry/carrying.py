"""Between spans of OpenTelemetry and what a task carries of them."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    TraceState,
)

from hms_async.domain.trace import TraceContext, read_trace

MOST_LINKS: Final = 128
"""What an SDK keeps of one span's links unless told otherwise: no more are made."""

_baggage: Final = W3CBaggagePropagator()


def links_to(carried: Iterable[TraceContext | None]) -> list[Link]:
    """Return links to where tasks come from, as many as are kept."""
    contexts = (span_of(one) for one in carried if one is not None)
    return list(islice((Link(one) for one in contexts if one is not None), MOST_LINKS))


def span_of(carried: TraceContext) -> SpanContext | None:
    """Return the span that a task comes from. Its text has been checked."""
    text, state = carried.traceparent, carried.tracestate
    if text is None:
        return None
    return SpanContext(
        int(text[3:35], 16),
        int(text[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(text[53:55], 16)),
        trace_state=TraceState.from_header([state]) if state else None,
    )


def under(carried: TraceContext | None) -> Context:
    """Return a context in which the span that a task comes from is current."""
    asked = None if carried is None else span_of(carried)
    if asked is None:
        return Context()
    return trace.set_span_in_context(NonRecordingSpan(asked), Context())


def with_baggage(carried: TraceContext | None) -> Context:
    """Return a context with what came along with a task."""
    if carried is None or carried.baggage is None:
        return Context()
    return _baggage.extract({"baggage": carried.baggage}, Context())


def written(one: SpanContext) -> str:
    """Return a span as a traceparent."""
    ids = f"{trace.format_trace_id(one.trace_id)}-{trace.format_span_id(one.span_id)}"
    return f"00-{ids}-{one.trace_flags:02x}"


def carried_by(span: Span) -> TraceContext | None:
    """Return a span as what a task carries, with the caller's baggage if that is passed on."""
    carrier: dict[str, str] = {}
    if "baggage" in propagate.get_global_textmap().fields:
        _baggage.inject(carrier)
    own = span.get_span_context()
    if own.is_valid:
        carrier |= {"traceparent": written(own), "tracestate": own.trace_state.to_header()}
    return read_trace(carrier)
