"""One attempt: from its claim to its outcome. The only place that catches everything."""

import asyncio
import time
import traceback
from contextlib import nullcontext, suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import anyio
from anyio import CancelScope, CapacityLimiter

from hms_async.domain.duration import to_text
from hms_async.domain.outcome import Failed, Fault, HandedBack
from hms_async.errors import (
    AlreadySettled,
    EnvelopeInvalid,
    LeaseLost,
    PayloadInvalid,
    ResultInvalid,
    StoreError,
)
from hms_async.runtime.cancellation import is_cancelled
from hms_async.runtime.context import run_in
from hms_async.runtime.handlers import Handler
from hms_async.runtime.leases import Held
from hms_async.runtime.task import Attempt, Task
from hms_async.storage.reading import read_last_span
from hms_async.storage.store import Store
from hms_async.telemetry import otel
from hms_async.telemetry.logs import get_logger, how_to_narrate, say_in
from hms_async.telemetry.text import as_text

if TYPE_CHECKING:
    from hms_async.telemetry.tracing import Spans

log = get_logger("hms_async.worker")

_NO_LIMIT = nullcontext()


class Executor:
    """Runs attempts, with what every handler of this worker gets.

    Args:
        threads: How many plain functions may run at once.
        resources: What the worker's `lifespan` gave.
        leases: The leases that this worker holds.
        worker_id: Who runs them, for the log.
        store: Where the tasks are.
    """

    def __init__(
        self,
        *,
        threads: CapacityLimiter,
        resources: Any,
        leases: Held,
        worker_id: str,
        store: Store,
    ) -> None:
        self._store = store
        self._spans = otel.spans(store.url)
        self._threads = threads
        self._resources = resources
        self._leases = leases
        self._worker_id = worker_id

    async def execute(
        self, attempt: Attempt, handler: Handler, slot: int, scope: CancelScope
    ) -> None:
        """Run a handler to its outcome; nothing that it raises leaves here.

        Args:
            attempt: What to run; `close` it afterwards, also when it was cancelled.
            handler: Who does it.
            slot: Where, for the log.
            scope: Encloses this call, and is cancelled when the attempt is to be.
        """
        # As few frames and values as can be: each stays for as long as the handler runs.
        begun = await self._begin(attempt, handler, slot)
        if begun is None:
            return
        task, longest_ms = begun
        self._leases.watch(attempt, scope, in_thread=not handler.is_async)
        context = _context_of(attempt)
        # A thread cannot be ended: its lease is not renewed for much longer, so that the task does
        # not stay with it.
        limit_ms = longest_ms if handler.is_async else None
        with _NO_LIMIT if limit_ms is None else anyio.move_on_after(limit_ms / 1_000) as in_time:
            try:
                result = await run_in(context, handler.call(task, self._threads))
                if attempt.outcome is None:
                    attempt.complete(result)
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                # The boundary: exit() in a handler must not end its neighbours.
                if not _absorb(attempt, error):
                    raise
        if limit_ms and in_time and in_time.cancel_called and attempt.outcome is None:
            message = f"the attempt ran for more than {to_text(limit_ms)}"
            attempt.outcome = Failed(Fault("RunTimeout", message), retryable=True)
        await _absorb_stray_cancellation()

    async def _begin(
        self, attempt: Attempt, handler: Handler, slot: int
    ) -> tuple[Task[Any], int | None] | None:
        """Return what the handler gets, and for how many ms it may run; `None` if it cannot be."""
        attempt.started = time.monotonic()
        try:
            envelope = attempt.open_envelope()
            if self._spans is not None:
                await self._begin_span(self._spans, attempt)
            payload = handler.read(envelope.payload)
        except (EnvelopeInvalid, PayloadInvalid) as error:
            self._log_started(attempt, slot)
            attempt.outcome = Failed(Fault(type(error).__name__, str(error)), retryable=False)
            return None
        self._log_started(attempt, slot)
        task = Task(attempt, payload, resources=self._resources, extend=self._leases.check)
        return task, envelope.run_timeout_ms or attempt.run_timeout_ms

    async def _begin_span(self, spans: "Spans", attempt: Attempt) -> None:
        claim = attempt.claim
        previous = None
        if claim.attempt > 1:
            with suppress(StoreError):  # it is of use to those who look on only
                previous = await read_last_span(self._store, attempt.queue, claim.id)
        attempt.processing = spans.process(
            attempt.queue,
            claim.id,
            worker=self._worker_id,
            correlation_id=attempt.correlation_id,
            carried=attempt.trace,
            previous=previous,
            attempt=claim.attempt,
            max_attempts=attempt.max_attempts,
            wait_s=claim.waited_ms / 1_000,
            time_left_s=attempt.time_left_s(),
        )

    def close(self, attempt: Attempt) -> None:
        """Let an attempt be cancelled no more; without an outcome it goes back."""
        attempt.ended = time.monotonic()
        self._leases.unwatch(attempt)
        if attempt.outcome is None:
            attempt.outcome = HandedBack()

    def _log_started(self, attempt: Attempt, slot: int) -> None:
        tell = how_to_narrate(log)
        if tell is None:
            return
        tell(
            "task.started",
            **attempt.names(),
            worker_id=self._worker_id,
            slot=slot,
            wait_s=attempt.claim.waited_ms / 1_000,
            time_left_s=attempt.time_left_s(),
        )


def _context_of(attempt: Attempt) -> Context:
    """Return a context for an attempt: what its handler logs says which task it was about."""
    context = copy_context()
    say_in(context, attempt.names())
    if attempt.processing is not None:
        attempt.processing.enter(context)
    return context


def _absorb(attempt: Attempt, error: BaseException) -> bool:
    """Take note of what a handler has raised; returns false for a cancellation that is ours."""
    if isinstance(error, ResultInvalid | LeaseLost):
        # Recorded already, or nobody is left to hear of it.
        if attempt.outcome is None and not attempt.lost:
            _record_error(attempt, error)
    elif isinstance(error, AlreadySettled):
        if attempt.outcome is None:
            _record_error(attempt, error)  # it was about another task
        else:
            log.warning("task.second_outcome", **attempt.names(), error=str(error))
    elif not is_cancelled():
        # A cancellation, too: the handler awaited something that was cancelled.
        _record_error(attempt, error)
    elif isinstance(error, asyncio.CancelledError):
        return False
    else:
        # We interrupted it: that is no failure of its own.
        _log_unheard(attempt, error)
    return True


async def _absorb_stray_cancellation() -> None:
    """Take back what a handler did to the task that it shares with its slot.

    A `cancel()` of the current task that nothing has awaited yet would end the slot, and with it
    the worker.
    """
    current = asyncio.current_task()
    if current is None or not current.cancelling() or is_cancelled():
        return
    while current.cancelling():
        current.uncancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        if is_cancelled():
            raise


def _log_unheard(attempt: Attempt, error: BaseException) -> None:
    log.warning(
        "task.error_after_outcome",
        **attempt.names(),
        error=f"{type(error).__name__}: {as_text(error)}",
    )


def _record_error(attempt: Attempt, error: BaseException) -> None:
    if attempt.outcome is not None:
        _log_unheard(attempt, error)
        return
    trace = "".join(traceback.format_exception(error))
    fault = Fault(type(error).__name__, as_text(error), trace)
    attempt.outcome = Failed(fault, retryable=True)
