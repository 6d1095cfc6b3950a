"""What a worker says about its work: one canonical line an attempt."""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from hms_async.domain.outcome import Completed, Fault
from hms_async.domain.settle import Settlement
from hms_async.domain.sla import clock_word
from hms_async.errors import HMSError, StoreError
from hms_async.runtime.task import Attempt
from hms_async.storage.codec import decode_trace
from hms_async.storage.replies import Claim, Settled
from hms_async.telemetry import otel
from hms_async.telemetry.logs import get_logger, writes

if TYPE_CHECKING:
    from hms_async.telemetry.tracing import Processing, Spans

log = get_logger("hms_async.worker")

_BY_STATE = {
    "done": "ok",
    "failed": "failed",
    "retrying": "retry",
    "waiting": "released",
    "cancelled": "cancelled",
}
_BY_WORD = {"done": "ok", "fail": "failed", "retry": "retry", "release": "released"}
_LEVELS = {"ok": logging.INFO, "cancelled": logging.INFO, "failed": logging.ERROR}


_LONGEST_RESULT = 500
_DONE = Settled("ok", "done")
_Closed = tuple[Attempt, Settlement, Settled]


class Reporter:
    """Writes a worker's log, and counts what it handed back.

    Args:
        worker_id: The worker's id.
        url: The store that it works on, for its spans.
    """

    def __init__(self, worker_id: str, url: str) -> None:
        self._spans = otel.spans(url)
        self.handed_back = 0
        self._worker_id = worker_id
        self._down_since: float | None = None
        self._failures = 0

    def closed(
        self,
        held: Iterable[bool],
        attempts: Iterable[Attempt],
        settlements: Iterable[Settlement],
        settled: Iterable[Settled],
        began: float,
    ) -> None:
        """Say what became of attempts; of those that were not held any more it has been said."""
        silent = not writes(log, logging.INFO)
        closed = list(zip(held, attempts, settlements, settled, strict=True))
        if self._spans is not None:
            self._end_spans(self._spans, [one[1:] for one in closed if one[0]], began)
        for one in closed:
            if one[0] and not (silent and one[3] == _DONE):
                self.finished(*one[1:])

    def popped(self, queue: str, claims: Sequence[Claim], began: float) -> None:
        """Say what was claimed, to those who follow traces."""
        if self._spans is not None and claims:
            ids = [claim.id for claim in claims]
            carried = (decode_trace(claim.body) for claim in claims)
            self._spans.popped(queue, began, self._worker_id, ids, carried)

    def _end_spans(self, spans: "Spans", closed: Iterable[_Closed], began: float) -> None:
        told: list[tuple[str, str, str, bool, Processing | None]] = []
        for attempt, settlement, settled in closed:
            outcome, processing = _outcome(settlement, settled), attempt.processing
            if processing is not None:
                ended = attempt.ended or time.monotonic()
                fault, clock = settlement.fault, _clock(attempt)
                spans.processed(processing, outcome, ended, clock=clock, fault=fault)
            taken = outcome != "lost"
            told.append((attempt.queue, attempt.claim.id, settlement.word, taken, processing))
        spans.settled(began, self._worker_id, told)

    def finished(self, attempt: Attempt, settlement: Settlement, settled: Settled) -> None:
        """Say what became of an attempt."""
        outcome = _outcome(settlement, settled)
        if outcome == "released":
            self.handed_back += 1
        level = _LEVELS.get(outcome, logging.WARNING)
        if not writes(log, level):
            return
        fields: dict[str, Any] = {
            "outcome": outcome,
            **attempt.names(),
            "worker_id": self._worker_id,
            "wait_s": attempt.claim.waited_ms / 1_000,
            "run_s": round(attempt.ran_s(), 3),
            "bytes_in": attempt.bytes_in,
        }
        if attempt.claim.due_ms is not None:
            fields["time_left_s"] = attempt.time_left_s()
            fields["clock"] = _clock(attempt)
        if outcome == "ok":
            fields["result"] = _result(attempt, settlement)
            fields["bytes_out"] = len(settlement.result)
        if outcome in ("failed", "retry") and settlement.fault is not None:
            fields |= _fault_fields(settlement.fault, with_traceback=outcome == "failed")
        if outcome == "retry":
            fields["retry_in_s"] = settlement.delay_ms / 1_000
        # By its name: not every logger that an application puts under ours has a method `log`.
        getattr(log, logging.getLevelName(level).lower())("task.finished", **fields)

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

    def let_in(self, queue: str) -> None:
        """Say that the server does not refuse a queue to us any more."""
        log.info("exchange.accepted", queue=queue, worker_id=self._worker_id)

    def store_down(self, error: StoreError) -> None:
        """Say once that the server cannot be reached."""
        self._failures += 1
        if self._down_since is None:
            self._down_since = time.monotonic()
            log.error("store.down", error=str(error), worker_id=self._worker_id)

    def store_up(self) -> None:
        """Say once that the server is back."""
        if self._down_since is not None:
            log.info(
                "store.up",
                down_s=round(time.monotonic() - self._down_since, 3),
                attempts=self._failures,
                worker_id=self._worker_id,
            )
            self._down_since, self._failures = None, 0


def _clock(attempt: Attempt) -> str | None:
    claim = attempt.claim
    if claim.due_ms is None:
        return None
    return clock_word(claim.arrived_ms, claim.due_ms, attempt.now_ms())


def _outcome(settlement: Settlement, settled: Settled) -> str:
    match settled.answer:
        case "ok":
            return _BY_STATE.get(settled.state, settled.state)
        case "already":
            # Settled by an earlier send; the task may have moved on since.
            return _BY_WORD[settlement.word]
        case _:
            return "lost"


def _result(attempt: Attempt, settlement: Settlement) -> str | None:
    """Return a result as its line has it: what it says itself, or the beginning of its JSON."""
    if not isinstance(attempt.outcome, Completed) or attempt.result is None:
        return None
    said: object = attempt.result
    if isinstance(said, dict):
        said = cast("dict[str, object]", said).get("note")
    if isinstance(said, str) and said:
        return said[:_LONGEST_RESULT]
    return settlement.result[:_LONGEST_RESULT].decode(errors="replace")


def _fault_fields(fault: Fault, *, with_traceback: bool) -> dict[str, Any]:
    fields = {"error": str(fault), "error_type": fault.type, "fingerprint": fault.fingerprint}
    return fields | {"exc": fault.traceback} if with_traceback and fault.traceback else fields
