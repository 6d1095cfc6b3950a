"""A queue: its four lists side by side, its promise, and why it stands as it does."""

from math import isinf
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api.dashboard import charts, words
from hms_async.api.dashboard.entry import Look, Looking
from hms_async.api.dashboard.pages.overview import foreseen, trouble
from hms_async.api.dashboard.parts import Part, show
from hms_async.api.dashboard.rows import Row, row
from hms_async.api.dashboard.standing import Slots
from hms_async.domain.task import TaskRecord, TaskState
from hms_async.domain.worker import WorkerCard
from hms_async.runtime.board import Standing
from hms_async.runtime.promises import Promise

router = APIRouter()

_SHOWN = 20
_ALSO_SHOWN = 5


class Column(NamedTuple):
    """One of the four lists.

    Attributes:
        title: What it is called.
        state: The state whose whole list the title leads to.
        total: How many tasks are in it.
        order: What it is sorted by.
        rows: The first of them.
        more: The lists that lead on: each a state, and how many tasks are in it.
    """

    title: str
    state: TaskState
    total: int
    order: str
    rows: list[Row]
    more: list[tuple[TaskState, int]]


@router.get("/q/{queue}")
async def queue(
    queue: str,
    look: Looking,
    span: Annotated[charts.Span, Query(description="How far back the lines go")] = "6h",
) -> Response:
    """Show a queue."""
    name = look.queue(queue)

    async def build() -> Part:
        standing = await look.standing(name)
        promise = standing.promise
        workers = await look.workers(name)
        columns = await _columns(look, promise)
        return Part.of(
            "queue.html",
            title=f"{words.CLOCKS[standing.clock].word} - {name}",
            base=look.base,
            rest_url=look.rest_url,
            now_ms=promise.stats.now_ms,
            queue=promise.queue,
            settings=promise.queue.settings,
            stats=promise.stats,
            standing=standing,
            forecast=promise.forecast,
            columns=columns,
            sentence=sentence(standing, workers),
            trouble=trouble(standing, workers=len(workers)),
            incidents=[one for one in promise.incidents if one.open],
            slots=Slots.of(workers),
            workers=workers,
            charts=await _charts(look, name, span, promise.queue.settings.sla_ms),
            span=span,
            can_operate=look.can_operate,
        )

    return await show(look, [f"queue:{name}"], build)


async def _charts(
    look: Look, name: str, span: charts.Span, promise_ms: int | None
) -> list[charts.Chart]:
    series = await look.series(name, span)
    return [charts.in_and_out(series), charts.wait(series, promise_ms)]


async def _columns(look: Look, promise: Promise) -> list[Column]:
    stats, now_ms = promise.stats, promise.stats.now_ms
    max_attempts = promise.queue.settings.retry.max_attempts

    async def rows(state: TaskState, limit: int) -> list[Row]:
        found = (await look.tasks(stats.name, state, limit=limit)).tasks
        if state is TaskState.IN_PROGRESS:
            found.sort(key=_by_due)
        made = [row(task, now_ms, max_attempts=max_attempts) for task in found]
        return [_in_line(one, place, promise) for place, one in enumerate(made)]

    async def column(title: str, order: str, *states: TaskState) -> Column:
        counts = {state: int(getattr(stats, state.value)) for state in states}
        shown = _SHOWN
        found: list[Row] = []
        for state in states:
            found += await rows(state, shown) if counts[state] else []
            shown = _ALSO_SHOWN
        total = sum(counts.values())
        more = [(state, count) for state, count in counts.items() if count]
        return Column(title, states[0], total, order, found, more if total > len(found) else [])

    done = await column("Done", "newest", TaskState.DONE)
    failed = await column("Failed", "newest", TaskState.FAILED)
    return [
        await column(
            "Waiting",
            "who goes next",
            TaskState.WAITING,
            TaskState.RETRYING,
            TaskState.SCHEDULED,
        ),
        await column("In-Progress", "time left", TaskState.IN_PROGRESS),
        done._replace(more=done.more + _if_any(TaskState.CANCELLED, stats.cancelled)),
        failed._replace(more=failed.more + _if_any(TaskState.EXPIRED, stats.expired)),
    ]


def _if_any(state: TaskState, count: int) -> list[tuple[TaskState, int]]:
    return [(state, count)] if count else []


def _in_line(one: Row, place: int, promise: Promise) -> Row:
    """Return a waiting row with its turn, if the present pace tells when that comes."""
    drain_ms, stats = promise.forecast.drain_ms, promise.stats
    if one.state is not TaskState.WAITING or not drain_ms or isinf(drain_ms):
        return one
    turn_ms = drain_ms * (stats.in_progress + place + 1) / (stats.in_progress + stats.waiting)
    turn = f"its turn in about {words.span(turn_ms)}"
    return one._replace(note=f"{turn}, {one.note}" if one.note else turn)


def _by_due(task: TaskRecord) -> float:
    return float("inf") if task.due_ms is None else task.due_ms


def sentence(standing: Standing, workers: list[WorkerCard]) -> str:
    """Return how the queue stands, in plain words: the answer before the evidence."""
    promise = standing.promise
    stats, forecast = promise.stats, promise.forecast
    told: list[str] = []
    if stats.breached:
        told.append(f"{words.several(stats.breached, 'task')} late.")
    elif standing.clock == "breached":
        told.append("Tasks are late.")
    if forecast.misses:
        told.append(words.told(foreseen(forecast, stats.waiting, stats.now_ms)))
    elif stats.at_risk:
        told.append(f"{words.several(stats.at_risk, 'task')} past 80% of the promise.")
    if reason := why_not_running(promise, workers):
        told.append(words.told(reason))
    slots = Slots.of(workers).there
    if forecast.misses and forecast.slots_wanted and forecast.slots_wanted > slots > 0:
        more = words.several(forecast.slots_wanted - slots, "more slot")
        told.append(f"{more} would keep what can still be kept.")
    if standing.unwatched:
        told.append("No supervisor watches it, so nobody warns: start a worker for it, or hms act.")
    if not stats.open + stats.ended:
        told.append("No task has come in yet.")
    if not told:
        told.append("Nothing waits." if not stats.open else "On its way: no task is in danger.")
    return " ".join(told)


def why_not_running(promise: Promise, workers: list[WorkerCard]) -> str:
    """Return why what waits does not run, in the order in which it would matter; or nothing."""
    stats = promise.stats
    if not stats.waiting:
        return ""
    if stats.paused:
        why = f": {promise.queue.reason}" if promise.queue.reason else ""
        return f"the queue is paused{why}"
    if not workers:
        return "no live worker serves this queue"
    slots = Slots.of(workers).there
    if stats.in_progress and slots and stats.in_progress >= slots:
        return f"all {words.several(slots, 'slot')} are busy"
    return ""
