"""A task: how its promise stands, its life in one list, and what it is about."""

import time
from contextlib import suppress
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from hms_async.api.dashboard import words
from hms_async.api.dashboard.acts import on_task
from hms_async.api.dashboard.entry import Look, Looking
from hms_async.api.dashboard.pages.queue import why_not_running
from hms_async.api.dashboard.parts import Part, show
from hms_async.api.dashboard.rows import clock_of, error_of
from hms_async.api.dashboard.times import life
from hms_async.api.kinds import fingerprint_of
from hms_async.domain.queue import QueueSettings
from hms_async.domain.task import TaskRecord, TaskState
from hms_async.domain.time_spent import time_spent
from hms_async.errors import QueueNotFound

router = APIRouter()

LARGEST_SHOWN = 100_000


@router.get("/t/{task_id}")
async def task(task_id: str, look: Looking) -> Response:
    """Show a task."""

    async def build() -> Part:
        stored = await look.task(task_id)
        record = look.visible(stored)
        settings, now_ms, why = await _about_queue(look, record)
        moments = life(record, settings, now_ms)
        clock, used = clock_of(record, now_ms)
        return Part.of(
            "task.html",
            title=f"{record.correlation_id or record.id}: {record.state.value.replace('_', ' ')}",
            base=look.base,
            now_ms=now_ms,
            task=record,
            clock=clock,
            used=used,
            sentence=sentence(record, clock, now_ms, why),
            moments=moments,
            spent=_spent(record, now_ms),
            payload=_shown(record, "payload"),
            result=_shown(record, "result"),
            # Of what is stored: an act on many finds its tasks so.
            kind=fingerprint_of(stored) if record.state is TaskState.FAILED else "",
            max_attempts=settings.retry.max_attempts,
            rest_url=look.rest_url,
            acts=on_task(look, record),
        )

    return await show(look, [f"task:{task_id}"], build)


async def _about_queue(look: Look, record: TaskRecord) -> tuple[QueueSettings, int, str]:
    """Return the settings of a task's queue, the server's clock, and why it may not run."""
    with suppress(QueueNotFound):  # it was removed
        promise = await look.oms.sla.status(record.queue)
        workers = await look.workers(record.queue)
        return (
            promise.queue.settings,
            promise.stats.now_ms,
            why_not_running(promise, workers),
        )
    return QueueSettings(), time.time_ns() // 1_000_000, ""


def sentence(record: TaskRecord, clock: str, now_ms: int, why: str) -> str:
    """Return how it goes with a task, in plain words."""
    return _ended(record, clock, now_ms) if record.state.ended else _open(record, now_ms, why)


def _ended(record: TaskRecord, clock: str, now_ms: int) -> str:
    match record.state:
        case TaskState.DONE:
            took = (record.finished_ms or now_ms) - record.arrived_ms
            return f"Done {words.span(took)} after it arrived{_kept(clock)}."
        case TaskState.FAILED:
            tries = words.several(max(record.attempt, 1), "attempt")
            why = error_of(record) or "nobody said why"
            return words.told(f"Failed after {tries}{_kept(clock)}: {why}")
        case TaskState.CANCELLED if record.moved_to:
            return f"Cancelled, and went on in {record.moved_to}."
        case state:
            return f"{state.value.capitalize()}."


def _open(record: TaskRecord, now_ms: int, why: str) -> str:
    left = _left(None if record.due_ms is None else record.due_ms - now_ms)
    starts = words.span(max((record.starts_ms or now_ms) - now_ms, 0))
    match record.state:
        case TaskState.SCHEDULED:
            return f"Starts in {starts}."
        case TaskState.RETRYING:
            return f"Will be tried again in {starts}, {left}."
        case TaskState.IN_PROGRESS:
            since = words.span(now_ms - (record.started_ms or now_ms))
            return f"{record.worker or 'A worker'} has had it for {since}, {left}."
        case _:
            return f"Waits{f': {why}' if why else ''}, {left}."


def _spent(record: TaskRecord, now_ms: int) -> list[tuple[str, int, float]]:
    """Return where a task's time went: in words, in ms, and as a part of all."""
    spent = time_spent(record, now_ms)
    parts = [
        ("waited", spent.waited_ms),
        ("ran", spent.ran_ms),
        ("backed off", spent.backed_off_ms),
        ("lost with a worker", spent.lost_ms),
        ("unknown", spent.unknown_ms),
    ]
    return [(what, ms, ms / spent.total_ms) for what, ms in parts if ms]


def _kept(clock: str) -> str:
    return {"met": ", in time", "missed": ", too late"}.get(clock, "")


def _left(left_ms: int | None) -> str:
    if left_ms is None:
        return "with no promise to keep"
    return f"{words.span(left_ms)} left" if left_ms >= 0 else f"{words.span(-left_ms)} late"


def _shown(record: TaskRecord, name: str) -> str | None:
    """Return a value as JSON for people: numbers are exact, whatever a browser makes of them."""
    value: Any = getattr(record, name)
    if name in record.hidden or (value is None and name == "result"):
        return None
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode(errors="replace")
    if len(text) > LARGEST_SHOWN:
        return f"{text[:LARGEST_SHOWN]}\n... {len(text) - LARGEST_SHOWN:,} characters more"
    return text
