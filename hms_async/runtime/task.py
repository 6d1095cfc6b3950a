"""The handle that a handler gets: what to do, and how to say what came of it."""

import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from hms_async.domain.duration import Duration, ms_to_instant, to_ms
from hms_async.domain.handoff import Handoff, read_handoff
from hms_async.domain.outcome import Completed, Failed, Fault, Outcome, RetryAsked
from hms_async.errors import AlreadySettled, LeaseLost, PayloadInvalid, ResultInvalid
from hms_async.storage.about import encode_about, encode_handoff
from hms_async.storage.codec import Envelope, decode_envelope, encode_json
from hms_async.storage.replies import Claim

if TYPE_CHECKING:
    from hms_async.domain.trace import TraceContext
    from hms_async.telemetry.tracing import Processing

P = TypeVar("P")


class Attempt:
    """One attempt at one task, while this process holds its lease.

    Attributes:
        claim: What the store handed over; without its body once the envelope has been read.
        bytes_in: How long the body is.
        queue: The queue it came from.
        max_result_bytes: The largest result that the queue takes.
        max_attempts: How many the queue allows.
        run_timeout_ms: How long it may run, if the queue says so.
        correlation_id: The case of its task, once the envelope has been read.
        trace: Which trace its task belongs to, if any; once the envelope has been read.
        processing: Its span, where spans are made.
        outcome: What it came to; the first one recorded stands.
        result: The result as a Python value, for the log.
        lost: Whether the lease is known to be lost.
        cancel_asked: Whether somebody asked to cancel the task.
        claimed: When the claim was received, on the monotonic clock.
        started: When its handler was called.
        ended: When its handler ended; 0 until then.
    """

    __slots__ = (
        "__weakref__",
        "_server_ms",
        "bytes_in",
        "cancel_asked",
        "claim",
        "claimed",
        "correlation_id",
        "ended",
        "lost",
        "max_attempts",
        "max_result_bytes",
        "outcome",
        "processing",
        "queue",
        "result",
        "run_timeout_ms",
        "started",
        "trace",
    )

    def __init__(
        self,
        claim: Claim,
        queue: str,
        *,
        server_ms: int,
        max_result_bytes: int,
        max_attempts: int = 1,
        run_timeout_ms: int | None = None,
    ) -> None:
        self.claim = claim
        self.bytes_in = len(claim.body)
        self.queue = queue
        self.max_result_bytes = max_result_bytes
        self.max_attempts = max_attempts
        self.run_timeout_ms = run_timeout_ms
        self.correlation_id: str | None = None
        self.trace: TraceContext | None = None
        self.processing: Processing | None = None
        self.outcome: Outcome | None = None
        self.result: Any = None
        self.lost = False
        self.cancel_asked = False
        self.claimed = self.started = time.monotonic()
        self.ended = 0.0
        self._server_ms = server_ms

    def open_envelope(self) -> Envelope:
        """Read what was asked, and let go of its bytes: they would stay for as long as it runs.

        Raises:
            EnvelopeInvalid: If it cannot be read.
        """
        envelope = decode_envelope(self.claim.body)
        self.claim = self.claim._replace(body=b"")
        self.correlation_id, self.trace = envelope.correlation_id, envelope.trace
        return envelope

    def now_ms(self) -> int:
        """Return the server's time, as far as it can be known here: workers' clocks differ."""
        return self._server_ms + int((time.monotonic() - self.claimed) * 1_000)

    def ran_s(self) -> float:
        """Return for how many seconds its handler has run, or did."""
        return (self.ended or time.monotonic()) - self.started

    def time_left_s(self) -> float | None:
        """Return the seconds until the promise is broken; `None` without one."""
        due_ms = self.claim.due_ms
        return None if due_ms is None else (due_ms - self.now_ms()) / 1_000

    def names(self) -> dict[str, object]:
        """Return what a log line says of which attempt it is about."""
        named: dict[str, object] = {
            "queue": self.queue,
            "task_id": self.claim.id,
            "corr_id": self.correlation_id,
            "attempt": self.claim.attempt,
        }
        if self.processing is not None:
            named |= self.processing.ids
        elif self.trace is not None and self.trace.traceparent is not None:
            named["trace_id"] = self.trace.trace_id
        return named

    def record(self, outcome: Outcome) -> None:
        """Keep an outcome.

        Raises:
            LeaseLost: If it would be refused anyway.
            AlreadySettled: If there is one.
        """
        task_id = self.claim.id
        if self.lost:
            raise LeaseLost(
                task_id, f"the lease of task {task_id} is lost: another worker may have it"
            )
        if self.outcome is not None:
            raise AlreadySettled(task_id, f"task {task_id} has an outcome; the first one stands")
        self.outcome = outcome

    def complete(self, result: Any, handoff: Handoff | Mapping[str, Any] | None = None) -> None:
        """Keep a result, and what is to go on with the case.

        Raises:
            ResultInvalid: If either is not JSON or too large, or the hand-off is none. The attempt
                is failed with it then: another try would only do the work again, and fail again.
        """
        try:
            outcome = completed(result, handoff, longest=self.max_result_bytes)
        except ResultInvalid as error:
            self.record(refused(error))
            raise
        self.record(outcome)
        self.result = result


def completed(
    result: Any, handoff: Handoff | Mapping[str, Any] | None = None, *, longest: int | None = None
) -> Completed:
    """Return the outcome of a task that is done.

    Args:
        result: What it came to.
        handoff: What is to go on with the case.
        longest: Bytes that each of them may have; the store looks, too.

    Raises:
        ResultInvalid: If either is not JSON or too large, or the hand-off is none.
    """
    try:
        data = encode_json(result)
    except PayloadInvalid as error:
        raise ResultInvalid(str(error)) from error
    _check_size(data, longest, "the result", "return where it is")
    left = b"" if handoff is None else encode_handoff(read_handoff(handoff))
    _check_size(left, longest, "the hand-off", "say in its payload where it is")
    return Completed(data, encode_about(_note_of(result), left))


def refused(error: ResultInvalid) -> Failed:
    """Return the outcome of a task whose result cannot be kept: it would fail again."""
    return Failed(Fault("ResultInvalid", str(error)), retryable=False)


def _check_size(data: bytes, longest: int | None, what: str, advice: str) -> None:
    if longest is not None and len(data) > longest:
        raise ResultInvalid(
            f"{what} has {len(data)} bytes of JSON, the queue takes "
            f"{longest}: keep it elsewhere and {advice}"
        )


def _note_of(result: object) -> str:
    """What a result says to people; the empty text if nothing."""
    if not isinstance(result, dict):
        return ""
    note = cast("dict[str, object]", result).get("note")
    return note if isinstance(note, str) else ""


class Task(Generic[P]):
    """A task under a lease, as its handler sees it.

    Annotate the handler's argument as `Task[YourStruct]` (a msgspec Struct or a dataclass) and
    `payload` is one; a payload that does not fit fails the task before the handler is called.

    Attributes:
        payload: What was asked.
        id: The task's id.
        queue: The queue it came from.
        correlation_id: The case it belongs to, if any.
        attempt: Number of this attempt, from 1.
        arrived_at: When its SLA clock started.
        due_at: When its promise is broken, if it has one.
        traceparent: The trace that it belongs to, if its producer said so; `tracestate` and
            `baggage` came with it.
        resources: What the worker's `lifespan` gave.
    """

    __slots__ = ("_attempt", "_extend", "_settle", "payload", "resources")

    def __init__(
        self,
        attempt: Attempt,
        payload: P,
        *,
        resources: Any = None,
        extend: Callable[[Attempt], Awaitable[None]],
        settle: Callable[[Attempt], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._attempt = attempt
        self._extend = extend
        self._settle = settle
        self.payload = payload
        self.resources = resources

    def __repr__(self) -> str:
        return f"<Task {self.id} of {self.queue}, attempt {self.attempt}>"

    @property
    def id(self) -> str:
        """The task's id."""
        return self._attempt.claim.id

    @property
    def queue(self) -> str:
        """The queue it came from."""
        return self._attempt.queue

    @property
    def correlation_id(self) -> str | None:
        """The case it belongs to, if any."""
        return self._attempt.correlation_id

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1; attempts that crashed count too."""
        return self._attempt.claim.attempt

    @property
    def arrived_at(self) -> datetime:
        """When its SLA clock started."""
        return ms_to_instant(self._attempt.claim.arrived_ms)

    @property
    def due_at(self) -> datetime | None:
        """When its promise is broken; `None` when it has none."""
        due_ms = self._attempt.claim.due_ms
        return None if due_ms is None else ms_to_instant(due_ms)

    @property
    def traceparent(self) -> str | None:
        """The trace that it belongs to, as W3C Trace Context writes it."""
        trace = self._attempt.trace
        return None if trace is None else trace.traceparent

    @property
    def tracestate(self) -> str | None:
        """What tracing systems say of its trace besides."""
        trace = self._attempt.trace
        return None if trace is None else trace.tracestate

    @property
    def baggage(self) -> str | None:
        """What its producer sent along, as W3C Baggage writes it."""
        trace = self._attempt.trace
        return None if trace is None else trace.baggage

    @property
    def cancel_asked(self) -> bool:
        """Whether somebody asked to cancel the task.

        A coroutine is cancelled then; a plain function cannot be, and may look here now and then.
        """
        return self._attempt.cancel_asked

    def time_left(self) -> timedelta | None:
        """Return how long until the promise is broken; negative afterwards, `None` without one."""
        left_s = self._attempt.time_left_s()
        return None if left_s is None else timedelta(seconds=left_s)

    def complete(
        self, result: Any = None, *, handoff: Handoff | Mapping[str, Any] | None = None
    ) -> "Settling":
        """Say that the task is done.

        Args:
            result: Any JSON value; its `note`, if it has one, is shown in the log, and told as the
                message of the task's event.
            handoff: A workflow that is to go on with the case: a `Handoff`, or a mapping with
                `workflow`, `key` and `payload`. The task's event and record hold it, from the same
                instant as the result.

        Raises:
            ResultInvalid: If the result or the hand-off is not JSON or too large; the task is
                failed with it. After `pop_task` awaiting raises it, as awaiting is what fails the
                task.
            AlreadySettled: If the attempt has an outcome.
            LeaseLost: If the lease is known to be lost.
        """
        try:
            self._attempt.complete(result, handoff)
        except ResultInvalid as error:
            if self._settle is None:
                raise
            return Settling(self._attempt, self._settle, error)
        return Settling(self._attempt, self._settle)

    def fail(self, reason: str, retryable: bool = False) -> "Settling":  # noqa: FBT001, FBT002
        """Say that the task failed.

        Args:
            reason: Why, for people.
            retryable: Let the queue's retry policy try again; final otherwise.

        Raises:
            AlreadySettled: If the attempt has an outcome.
            LeaseLost: If the lease is known to be lost.
        """
        self._attempt.record(Failed(Fault("Failed", str(reason)), retryable=retryable))
        return Settling(self._attempt, self._settle)

    def retry(self, delay: Duration | None = None) -> "Settling":
        """Ask for another attempt; counts as a failed one.

        Args:
            delay: When; the queue's policy decides if not given.

        Raises:
            DurationInvalid: If the delay is not one.
            AlreadySettled: If the attempt has an outcome.
            LeaseLost: If the lease is known to be lost.
        """
        delay_ms = None if delay is None else to_ms(delay, name="delay")
        self._attempt.record(RetryAsked(delay_ms))
        return Settling(self._attempt, self._settle)

    async def heartbeat(self) -> None:
        """Renew the lease now. A worker does so by itself; after `pop_task` the caller does.

        Raises:
            LeaseLost: If somebody else has the task.
            CancelRequested: If somebody asked to cancel it; the lease is renewed all the same.
        """
        await self._extend(self._attempt)


class Settling:
    """What `complete`, `fail` and `retry` return: the outcome is recorded, await it or not.

    In a worker the outcome leaves with the next exchange, and awaiting only returns. On a task
    from `pop_task` awaiting is what settles it.
    """

    __slots__ = ("_attempt", "_awaited", "_error", "_settle")

    def __init__(
        self,
        attempt: Attempt,
        settle: Callable[[Attempt], Coroutine[Any, Any, None]] | None,
        error: ResultInvalid | None = None,
    ) -> None:
        self._attempt = attempt
        self._settle = settle
        self._error = error
        self._awaited = False

    def __await__(self) -> Generator[Any, None, None]:
        self._awaited = True
        if self._settle is not None:
            yield from self._settle(self._attempt).__await__()
            # Only now: without an answer, awaiting once more must ask once more.
            self._settle = None
        if self._error is not None:
            raise self._error

    def __del__(self) -> None:
        if self._settle is not None and not self._awaited:
            warnings.warn(
                f"the outcome of task {self._attempt.claim.id} was never awaited, so it is not "
                "settled: write `await task.complete(...)`",
                ResourceWarning,
                stacklevel=2,
            )
