"""A case: every task of one correlation id, across queues, and where the time went."""

from typing import NamedTuple

from fastapi import APIRouter
from starlette.responses import Response

from hms_async.api.dashboard import words
from hms_async.api.dashboard.entry import Looking
from hms_async.api.dashboard.parts import Part, show
from hms_async.api.dashboard.rows import clock_of
from hms_async.domain.case import Case
from hms_async.domain.task import TaskRecord, TaskState

router = APIRouter()

_WIDE = 1_000


class Step(NamedTuple):
    """A task of a case, as a bar on its time line.

    Attributes:
        task: The task.
        clock: How its promise stands, a key of `words.CLOCKS`.
        waited: Where the bar of its waiting begins, and how wide it is, in thousandths.
        ran: Likewise from its last start to its end.
        waited_ms: How long it waited until its last attempt.
        ran_ms: How long that ran.
    """

    task: TaskRecord
    clock: str
    waited: tuple[int, int]
    ran: tuple[int, int]
    waited_ms: int
    ran_ms: int


@router.get("/c/{correlation_id:path}")
async def case(correlation_id: str, look: Looking) -> Response:
    """Show a case."""

    async def build() -> Part:
        found = look.visible_case(await look.oms.case(correlation_id, sees=look.sees))
        now_ms = found.now_ms
        return Part.of(
            "case.html",
            title=f"case {correlation_id}",
            base=look.base,
            rest_url=look.rest_url,
            now_ms=now_ms,
            case=found,
            steps=steps(found, now_ms),
            sentence=sentence(found, now_ms),
            queues=len({task.queue for task in found.tasks}),
        )

    return await show(look, [f"case:{correlation_id}"], build)


def sentence(case: Case, now_ms: int) -> str:
    """Return where a case is, in plain words."""
    summary = case.summary
    total = summary.open + summary.ended
    if not summary.open:
        took = words.span((summary.ended_ms or now_ms) - summary.began_ms)
        bad = summary.counts.get(TaskState.FAILED, 0)
        how = f", {words.several(bad, 'task')} failed" if bad else ""
        return f"Ended after {took}: {words.several(total, 'task')}{how}."
    where = f"{summary.at.queue} ({summary.at.state.value.replace('_', ' ')})"
    since = words.span(now_ms - summary.began_ms)
    ended = f"{summary.ended} of {words.several(total, 'task')} ended"
    return f"Open for {since}: {ended}, now in {where}."


def steps(case: Case, now_ms: int) -> list[Step]:
    """Return the tasks of a case as bars on one time line."""
    began_ms = case.summary.began_ms
    until_ms = max(case.summary.ended_ms or now_ms, began_ms + 1)

    def bar(since_ms: int, to_ms: int) -> tuple[int, int]:
        first = (since_ms - began_ms) * _WIDE // (until_ms - began_ms)
        last = (to_ms - began_ms) * _WIDE // (until_ms - began_ms)
        first = min(max(first, 0), _WIDE)
        return first, max(min(last, _WIDE) - first, 3 if to_ms > since_ms else 0)

    found: list[Step] = []
    for task in case.tasks:
        end_ms = task.finished_ms if task.state.ended and task.finished_ms else now_ms
        start_ms = task.started_ms
        if start_ms is None or task.state in (TaskState.WAITING, TaskState.RETRYING):
            start_ms = end_ms
        arrived_ms = min(task.arrived_ms, end_ms)
        found.append(
            Step(
                task,
                clock_of(task, now_ms)[0],
                bar(arrived_ms, start_ms),
                bar(start_ms, end_ms),
                max(start_ms - arrived_ms, 0),
                max(end_ms - start_ms, 0),
            )
        )
    return found
