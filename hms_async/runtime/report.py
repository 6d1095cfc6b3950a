"""What a worker says about its work: one canonical line an attempt."""

import time

from hms_async.domain.outcome import Completed
from hms_async.domain.settle import Settlement
from hms_async.errors import HMSError, StoreError
from hms_async.runtime.feed import Finished
from hms_async.storage.replies import Settled
from hms_async.telemetry.logs import get_logger

log = get_logger("hms_async.worker")

_OUTCOMES = {"done": "ok", "failed": "failed", "retrying": "retry", "waiting": "released"}


class Reporter:
    """Writes a worker's log, and counts what it handed back.

    Args:
        worker_id: The worker's id.
    """

    def __init__(self, worker_id: str) -> None:
        self.handed_back = 0
        self._worker_id = worker_id
        self._down_since: float | None = None

    def finished(self, finished: Finished, settlement: Settlement, settled: Settled) -> None:
        """Say what became of an attempt."""
        attempt = finished.attempt
        lost = settled.answer in ("stale", "gone")
        outcome = "lost" if lost else _OUTCOMES.get(settled.state, settled.state)
        if outcome == "released":
            self.handed_back += 1
        fields = {
            "outcome": outcome,
            "queue": attempt.queue,
            "task_id": attempt.claim.id,
            "corr_id": finished.correlation_id,
            "attempt": attempt.claim.attempt,
            "worker_id": self._worker_id,
            "run_s": round(time.monotonic() - attempt.claimed, 3),
        }
        if attempt.claim.due_ms is not None:
            fields["time_left_s"] = round((attempt.claim.due_ms - attempt.now_ms()) / 1_000, 3)
        if outcome == "ok":
            result = attempt.result if isinstance(attempt.outcome, Completed) else None
            log.info("task.finished", result=result, **fields)
        elif outcome == "failed":
            log.error("task.finished", error=str(settlement.fault), **fields)
        elif outcome == "retry":
            log.warning(
                "task.finished",
                error=str(settlement.fault),
                retry_in_s=round(settlement.delay_ms / 1_000, 3),
                **fields,
            )
        else:
            log.warning("task.finished", **fields)

    def queue_gone(self, queue: str, error: HMSError) -> None:
        """Say that a queue was removed under the worker."""
        log.error("queue.gone", queue=queue, error=str(error), worker_id=self._worker_id)

    def refused(self, queue: str, error: HMSError, task_id: str | None = None) -> None:
        """Say that the store would not take an exchange."""
        log.error(
            "exchange.refused",
            queue=queue,
            task_id=task_id,
            error=str(error),
            worker_id=self._worker_id,
        )

    def store_down(self, error: StoreError) -> None:
        """Say once that the server cannot be reached."""
        if self._down_since is None:
            self._down_since = time.monotonic()
            log.error("store.down", error=str(error), worker_id=self._worker_id)

    def store_up(self) -> None:
        """Say once that the server is back."""
        if self._down_since is not None:
            down_s = round(time.monotonic() - self._down_since, 3)
            self._down_since = None
            log.info("store.up", down_s=down_s, worker_id=self._worker_id)
