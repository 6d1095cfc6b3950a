"""Queues and tasks as JSON documents, with the same fields in every command."""

from math import inf
from typing import Any

import msgspec

from hms_async.cli import show
from hms_async.domain.queue import Queue, QueueStats
from hms_async.domain.task import TaskRecord
from hms_async.runtime.promises import Promise


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
        "late": settings.late,
        "pause_stops_clock": settings.pause_stops_clock,
        "max_wait_ms": settings.max_wait_ms,
        "run_timeout_ms": settings.run_timeout_ms,
        "receivers": settings.receivers.words(),
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
        "at_risk": one.at_risk,
        "breached": one.breached,
        "clock_stopped_at": show.iso(one.clock_stopped_ms),
        "undelivered": one.undelivered,
        "totals": dict(one.totals),
        "at": show.iso(one.now_ms),
    }


def promise(one: Promise) -> dict[str, Any]:
    """Return how a queue's promise stands."""
    foreseen = one.forecast
    return {
        "queue": one.queue.name,
        "clock": one.clock,
        "sla_ms": one.queue.settings.sla_ms,
        "open": one.stats.open,
        "at_risk": one.stats.at_risk,
        "breached": one.stats.breached,
        "kept": one.kept,
        "forecast": {
            "confidence": foreseen.confidence,
            "first_miss_at": show.iso(foreseen.first_miss_ms),
            "misses": foreseen.misses,
            "drain_ms": None if foreseen.drain_ms == inf else foreseen.drain_ms,
            "slots_wanted": foreseen.slots_wanted,
        },
        "incidents": [
            {
                "id": incident.id,
                "kind": incident.kind,
                "state": incident.state,
                "severity": incident.severity,
                "first_at": show.iso(incident.first_ms),
                "last_at": show.iso(incident.last_ms),
                "count": incident.count,
                "task_id": incident.task_id,
                "by": incident.by,
                "reason": incident.reason,
                "resolved_at": show.iso(incident.resolved_ms),
            }
            for incident in one.incidents
        ],
        "at": show.iso(one.stats.now_ms),
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
        "waived": one.waived,
        "moved_to": one.moved_to,
        "expires_at": show.iso(one.expires_ms),
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
