"""Queues and tasks as JSON documents, with the same fields in every command."""

from typing import Any

import msgspec

from hms_async.cli import show
from hms_async.domain.queue import Queue, QueueStats
from hms_async.domain.task import TaskRecord


def queue(one: Queue) -> dict[str, Any]:
    """Return a queue's settings."""
    settings = one.settings
    return {
        "name": one.name,
        "version": one.version,
        "paused": one.paused,
        "reason": one.reason,
        "sla_ms": settings.sla_ms,
        "ladder": [str(rung) for rung in settings.ladder],
        "lease_ms": settings.lease_ms,
        "max_attempts": settings.retry.max_attempts,
        "retry_base_ms": settings.retry.base_ms,
        "retry_cap_ms": settings.retry.cap_ms,
        "max_crashes": settings.max_crashes,
        "max_depth": settings.max_depth,
        "max_payload_bytes": settings.max_payload_bytes,
        "idempotency_window_ms": settings.window_ms,
        "keep_done_ms": settings.keep_done_ms,
        "keep_done_max": settings.keep_done_max,
        "keep_failed_ms": settings.keep_failed_ms,
        "keep_failed_max": settings.keep_failed_max,
    }


def stats(one: QueueStats) -> dict[str, Any]:
    """Return one look at a queue."""
    return {
        "name": one.name,
        "paused": one.paused,
        "sla_ms": one.sla_ms,
        "waiting": one.waiting,
        "in_progress": one.in_progress,
        "scheduled": one.scheduled,
        "retrying": one.retrying,
        "done": one.done,
        "failed": one.failed,
        "cancelled": one.cancelled,
        "expired": one.expired,
        "oldest_arrived_at": show.iso(one.oldest_arrived_ms),
        "next_due_at": show.iso(one.next_due_ms),
        "next_rung_at": show.iso(one.next_rung_ms),
        "totals": dict(one.totals),
        "at": show.iso(one.now_ms),
    }


def task(one: TaskRecord) -> dict[str, Any]:
    """Return a task."""
    return {
        "id": one.id,
        "queue": one.queue,
        "state": one.state.value,
        "payload": one.payload,
        "correlation_id": one.correlation_id,
        "priority": one.priority,
        "attempt": one.attempt,
        "crashes": one.crashes,
        "arrived_at": show.iso(one.arrived_ms),
        "due_at": show.iso(one.due_ms),
        "starts_at": show.iso(one.starts_ms),
        "started_at": show.iso(one.started_ms),
        "finished_at": show.iso(one.finished_ms),
        "lease_expires_at": show.iso(one.lease_expires_ms),
        "cancel_asked_at": show.iso(one.cancel_asked_ms),
        "worker": one.worker,
        "result": one.result,
        "error": dict(one.error) if one.error else None,
        "handoff": msgspec.structs.asdict(one.handoff) if one.handoff else None,
        "attempts": [
            {
                "number": attempt.number,
                "worker": attempt.worker,
                "started_at": show.iso(attempt.started_ms),
                "finished_at": show.iso(attempt.finished_ms),
                "error_type": attempt.error_type,
                "error": attempt.error,
                "traceback": attempt.traceback,
            }
            for attempt in one.attempts
        ],
        "raw": None if one.raw is None else one.raw.decode(errors="backslashreplace"),
    }
