"""One attempt: from its claim to its outcome. The only place that catches everything."""

import asyncio
import traceback
from typing import Any

import anyio
from anyio import CancelScope, CapacityLimiter

from hms_async.domain.outcome import Failed, Fault, HandedBack
from hms_async.errors import AlreadySettled, EnvelopeInvalid, LeaseLost, PayloadInvalid, ResultInvalid
from hms_async.runtime.handlers import Handler
from hms_async.runtime.leases import Held
from hms_async.runtime.task import Attempt, Task
from hms_async.storage.codec import decode_envelope
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.worker")


class Executor:
    """Runs attempts, with what every handler of this worker gets.

    Args:
        threads: How many plain functions may run at once.
        resources: What the worker's `lifespan` gave.
        leases: The leases that this worker holds.
        worker_id: Who runs them, for the log.
    """

    def __init__(
        self, *, threads: CapacityLimiter, resources: Any, leases: Held, worker_id: str
    ) -> None:
        self._threads = threads
        self._resources = resources
        self._leases = leases
        self._worker_id = worker_id

    async def execute(self, attempt: Attempt, handler: Handler, slot: int) -> str | None:
        """Run a handler to its outcome; nothing that it raises leaves here.

        Returns:
            The task's correlation id, for the log.
        """
        correlation_id = None
        try:
            envelope = decode_envelope(attempt.claim.body)
            correlation_id = envelope.correlation_id
            payload = handler.read(envelope.payload)
        except (EnvelopeInvalid, PayloadInvalid) as error:
            self._log_started(attempt, correlation_id, slot)
            attempt.outcome = Failed(Fault(type(error).__name__, str(error)), retryable=False)
            return correlation_id
        self._log_started(attempt, correlation_id, slot)
        task = Task(
            attempt,
            payload,
            correlation_id=correlation_id,
            resources=self._resources,
            extend=self._leases.check,
        )
        with CancelScope() as scope:
            self._leases.watch(attempt, scope)
            await self._call(attempt, handler, task)
        if scope.cancel_called and attempt.outcome is None:
            attempt.outcome = HandedBack()
        return correlation_id

    async def _call(self, attempt: Attempt, handler: Handler, task: Task[Any]) -> None:
        try:
            result = await handler.call(task, self._threads)
            if attempt.outcome is None:
                attempt.complete(result)
        except (ResultInvalid, LeaseLost) as error:
            # Recorded already, or nobody is left to hear of it.
            if attempt.outcome is None and not attempt.lost:
                _record_error(attempt, error)
        except AlreadySettled as error:
            log.warning("task.second_outcome", task_id=task.id, queue=task.queue, error=str(error))
        except asyncio.CancelledError as error:
            if _is_ours():
                raise
            # The handler awaited something that was cancelled; that is its own fault alone.
            _record_error(attempt, error)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the boundary: exit() in a handler must not end its neighbours
            _record_error(attempt, error)

    def _log_started(self, attempt: Attempt, correlation_id: str | None, slot: int) -> None:
        log.info(
            "task.started",
            queue=attempt.queue,
            task_id=attempt.claim.id,
            corr_id=correlation_id,
            attempt=attempt.claim.attempt,
            worker_id=self._worker_id,
            slot=slot,
        )


def _is_ours() -> bool:
    """Whether the cancellation came from a scope around this task, not from inside the handler."""
    current = asyncio.current_task()
    return (current is not None and current.cancelling() > 0) or anyio.get_cancelled_exc_class() is not asyncio.CancelledError


def _record_error(attempt: Attempt, error: BaseException) -> None:
    if attempt.outcome is not None:
        log.warning(
            "task.error_after_outcome",
            task_id=attempt.claim.id,
            queue=attempt.queue,
            error=f"{type(error).__name__}: {error}",
        )
        return
    fault = Fault(type(error).__name__, str(error), "".join(traceback.format_exception(error)))
    attempt.outcome = Failed(fault, retryable=True)
