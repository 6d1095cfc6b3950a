"""A task's life as one list: what has happened, what happens now, and what is planned."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from hms_async.api.dashboard import words
from hms_async.domain.queue import QueueSettings
from hms_async.domain.sla import Rung
from hms_async.domain.task import Attempt, TaskRecord, TaskState

When = Literal["past", "now", "planned"]


class Moment(NamedTuple):
    """One line of a task's life.

    Attributes:
        at_ms: When it began, or will.
        when: Whether that is past, goes on, or is planned.
        what: In a few words.
        took_ms: How long it took, or takes so far; `None` for a mere instant.
        note: What else is worth a word.
        style: How it looks: one of the styles of `words.CLOCKS`, or nothing.
        attempt: The attempt that failed, with its traceback.
    """

    at_ms: int
    when: When
    what: str
    took_ms: int | None = None
    note: str = ""
    style: str = ""
    attempt: Attempt | None = None


def life(task: TaskRecord, settings: QueueSettings, now_ms: int) -> list[Moment]:
    """Return a task's life, in the order of time.

    Attempts beyond the last ten, and those that were handed back, have left no trace.
    """
    found = [*_past(task, now_ms), *_planned(task, settings, now_ms)]
    return sorted(found, key=lambda moment: (moment.at_ms, moment.when == "planned"))


def _past(task: TaskRecord, now_ms: int) -> Iterator[Moment]:
    arrived_ms = task.arrived_ms
    scheduled = task.state is TaskState.SCHEDULED
    yield Moment(
        arrived_ms,
        "planned" if scheduled else "past",
        "is due to start" if scheduled else "arrived",
        note="its clock starts then" if scheduled else "",
    )
    if scheduled:
        return
    free_ms, again_ms = arrived_ms, None
    for attempt in task.attempts:
        if attempt.started_ms < arrived_ms:
            continue  # of an earlier life: it was requeued, and its clock started anew
        yield from _wait(task, free_ms, attempt.started_ms, again_ms)
        lost = attempt.error_type == "LeaseLost"
        yield Moment(
            attempt.started_ms,
            "past",
            f"attempt {attempt.number}",
            attempt.finished_ms - attempt.started_ms,
            f"{'its worker was lost' if lost else 'failed'}: {attempt.worker}",
            "bad",
            attempt,
        )
        free_ms, again_ms = attempt.finished_ms, attempt.again_ms
    yield from _last(task, free_ms, again_ms, now_ms)


def _wait(task: TaskRecord, since_ms: int, until_ms: int, again_ms: int | None) -> Iterator[Moment]:
    """Tell how it came to an attempt: after a failed one it backs off before it waits."""
    if again_ms is not None:
        backed_off_ms = min(again_ms, until_ms)
        yield Moment(since_ms, "past", "backed off", backed_off_ms - since_ms)
        since_ms = backed_off_ms
    if until_ms > since_ms:
        again = "" if since_ms == task.arrived_ms else " again"
        yield Moment(since_ms, "past", f"waited{again}", until_ms - since_ms)


def _last(task: TaskRecord, free_ms: int, again_ms: int | None, now_ms: int) -> Iterator[Moment]:
    started_ms, finished_ms = task.started_ms, task.finished_ms
    if task.state is TaskState.IN_PROGRESS and started_ms is not None:
        yield from _wait(task, free_ms, started_ms, again_ms)
        lease = (
            ""
            if task.lease_expires_ms is None
            else (f", lease ends in {words.span(task.lease_expires_ms - now_ms)} unless renewed")
        )
        why = _why_cancelled(task)
        asked = f", asked to cancel{f' ({why})' if why else ''}" if task.cancel_asked_ms else ""
        yield Moment(
            started_ms,
            "now",
            f"attempt {task.attempt} runs",
            now_ms - started_ms,
            f"{task.worker or ''}{lease}{asked}",
        )
    elif task.state.ended and finished_ms is not None:
        if task.state is TaskState.DONE and started_ms is not None and started_ms >= free_ms:
            yield from _wait(task, free_ms, started_ms, again_ms)
            yield Moment(
                started_ms,
                "past",
                f"attempt {task.attempt}",
                finished_ms - started_ms,
                task.worker or "",
            )
        style = {"done": "ok", "failed": "bad", "expired": "bad"}.get(task.state.value, "")
        note = _why_cancelled(task) if task.state is TaskState.CANCELLED else ""
        yield Moment(finished_ms, "past", task.state.value, note=note, style=style)
    elif task.state is TaskState.RETRYING:
        yield Moment(free_ms, "now", "backs off", now_ms - free_ms)
        if task.starts_ms is not None:
            yield Moment(task.starts_ms, "planned", f"attempt {task.attempt + 1} may begin")
    else:
        yield Moment(
            free_ms,
            "now",
            "waits" if free_ms == task.arrived_ms else "waits again",
            now_ms - free_ms,
        )


def _why_cancelled(task: TaskRecord) -> str:
    by = f"by {task.cancel_by}" if task.cancel_by else ""
    return ": ".join(filter(None, (by, task.cancel_reason)))


def _planned(task: TaskRecord, settings: QueueSettings, now_ms: int) -> Iterator[Moment]:
    due_ms = task.due_ms
    if due_ms is None:
        return
    length_ms = due_ms - task.arrived_ms
    until_ms = task.finished_ms if task.state.ended and task.finished_ms else None
    late = (until_ms or now_ms) > due_ms
    if late or until_ms is None:
        yield Moment(
            due_ms,
            "past" if late else "planned",
            "was due" if late else "is due",
            style="bad" if late else "",
        )
    for rung in settings.ladder:
        at_ms = rung.at_ms(task.arrived_ms, length_ms)
        if until_ms is not None and at_ms > until_ms:
            continue  # it never came to that
        after = f" + {words.span(rung.plus_ms)}" if rung.plus_ms else ""
        yield Moment(
            at_ms,
            "past" if at_ms <= now_ms else "planned",
            f"{rung.percent:g}%{after} {rung.name}",
            note=_actions(rung),
            style="risk" if at_ms <= now_ms else "",
        )


def _actions(rung: Rung) -> str:
    return ", ".join(word for word in rung.actions if word != rung.name)
