"""A task as a row of a list: what matters of it, in a few words."""

from typing import Final, NamedTuple

from hms_async.api.dashboard import words
from hms_async.domain.sla import clock_word
from hms_async.domain.task import TaskRecord, TaskState

_LONGEST_ERROR: Final = 120


class Row(NamedTuple):
    """A task in a list.

    Attributes:
        id: Its id.
        state: Its state.
        name: What people call it: its case, or else its id.
        clock: How its promise stands, a key of `words.CLOCKS`.
        used: How much of the promise has passed, in per cent, at most 100; `None` without one.
        at_ms: The instant that the row is about: when it is due, or when it ended.
        since_ms: Since when it is where it is.
        note: What else is worth a word.
    """

    id: str
    state: TaskState
    name: str
    clock: str
    used: int | None
    at_ms: int | None
    since_ms: int | None
    note: str


def row(task: TaskRecord, now_ms: int, *, max_attempts: int = 0) -> Row:
    """Return a task as a row.

    Args:
        task: The task, as its reader may see it.
        now_ms: The server's clock.
        max_attempts: How many attempts its queue allows.
    """
    clock, used = clock_of(task, now_ms)
    if task.state.ended:
        at_ms, since_ms = task.finished_ms, task.started_ms
    else:
        at_ms = task.due_ms
        since_ms = task.started_ms if task.state is TaskState.IN_PROGRESS else task.arrived_ms
    return Row(
        id=task.id,
        state=task.state,
        name=task.correlation_id or task.id,
        clock=clock,
        used=used,
        at_ms=at_ms,
        since_ms=since_ms,
        note=_note(task, now_ms, max_attempts),
    )


def clock_of(task: TaskRecord, now_ms: int) -> tuple[str, int | None]:
    """Return how a task's promise stands or was kept, and the share of it that has passed."""
    if task.due_ms is None:
        return "none", None
    until_ms = task.finished_ms if task.state.ended and task.finished_ms else now_ms
    length_ms = max(task.due_ms - task.arrived_ms, 1)
    used = min(max((until_ms - task.arrived_ms) * 100 // length_ms, 0), 100)
    if task.state.ended:
        late = until_ms > task.due_ms or task.state is TaskState.EXPIRED
        return ("missed" if late else "met"), used
    return clock_word(task.arrived_ms, task.due_ms, now_ms), used


def _note(task: TaskRecord, now_ms: int, max_attempts: int) -> str:
    tries = f"{task.attempt}/{max_attempts}" if max_attempts else str(task.attempt)
    match task.state:
        case TaskState.SCHEDULED:
            return f"starts in {words.span((task.starts_ms or now_ms) - now_ms)}"
        case TaskState.RETRYING:
            due = words.span(max((task.starts_ms or now_ms) - now_ms, 0))
            return f"retry in {due}, {tries} tries, {error_of(task)}"
        case TaskState.WAITING:
            first = "goes first" if task.goes_first else ""
            again = f"{tries} tries" if task.attempt else ""
            return ", ".join(part for part in (first, again) if part)
        case TaskState.IN_PROGRESS:
            asked = "asked to cancel, " if task.cancel_asked_ms else ""
            again = f"try {tries}, " if task.attempt > 1 else ""
            return f"{asked}{again}{task.worker or ''}"
        case TaskState.DONE:
            took = (task.finished_ms or 0) - (task.started_ms or task.finished_ms or 0)
            return f"ran {words.exact_span(took)}"
        case _:
            return error_of(task) or task.state.value


def error_of(task: TaskRecord) -> str:
    """Return what went wrong last, on one line."""
    fault = task.error or {}
    if not fault and task.attempts:
        last = task.attempts[-1]
        fault = {"type": last.error_type, "message": last.error}
    # Of what a handler gave up itself the message says all.
    named = "" if fault.get("type") == "Failed" else fault.get("type", "")
    text = ": ".join(part for part in (named, fault.get("message", "")) if part)
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_ERROR else f"{line[: _LONGEST_ERROR - 1]}…"
