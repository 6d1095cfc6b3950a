"""Queues: create them, look at them and their tasks, pause, resume, purge and remove them."""

from contextlib import suppress
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from hms_async.api import answers, bodies, documents
from hms_async.api.contract import answer, gives, read, takes
from hms_async.api.visit import Administering, Operating, Viewing
from hms_async.domain.retry import RetryPolicy
from hms_async.domain.task import TaskState
from hms_async.errors import QueueNotFound

router = APIRouter(tags=["queues"])


@router.get("/oms/stats", summary="Look at all queues", responses=gives(answers.AllStats))
async def stats(visit: Viewing) -> Response:
    """Return how many tasks of each queue are in which state."""
    found: list[documents.Stats] = []
    for name in await visit.queues():
        with suppress(QueueNotFound):  # it was removed
            found.append(documents.Stats.of(await visit.oms.stats(name)))
    return answer(answers.AllStats(queues=found))


@router.get("/oms/queues", summary="List queues", responses=gives(answers.Queues))
async def list_queues(visit: Viewing) -> Response:
    """Return the queues that the caller may see, with their settings."""
    found: list[documents.Queue] = []
    for name in await visit.queues():
        with suppress(QueueNotFound):  # it was removed
            found.append(documents.Queue.of(await visit.oms.get_queue(name)))
    return answer(answers.Queues(queues=found))


@router.post(
    "/oms/queues",
    status_code=200,
    summary="Create a queue, or set one's settings",
    openapi_extra=takes(bodies.NewQueue),
    responses=gives(documents.Queue, others={201: [documents.Queue]}, body=True),
)
async def create_queue(request: Request, visit: Administering) -> Response:
    """Create a queue (201), or give an existing one these settings (200).

    All settings are set: what is left out gets its default.
    """
    body = await read(request, bodies.NewQueue)
    visit.queue(body.name)
    settings = bodies.given(body)
    if body.retry is not msgspec.UNSET:
        settings["retry"] = RetryPolicy(**bodies.given(body.retry))
    try:
        await visit.oms.get_queue(body.name)
    except QueueNotFound:
        status = 201
    else:
        status = 200
    made = await visit.oms.create_queue(**settings, by=visit.actor)
    return answer(documents.Queue.of(made), status)


@router.get(
    "/oms/queues/{queue}",
    summary="Look at a queue",
    responses=gives(answers.QueueLook, refuses=[404, 422]),
)
async def get_queue(queue: str, visit: Viewing) -> Response:
    """Return a queue's settings, and how many of its tasks are in which state."""
    found = await visit.oms.get_queue(visit.queue(queue))
    return answer(
        answers.QueueLook(
            queue=documents.Queue.of(found),
            stats=documents.Stats.of(await visit.oms.stats(queue)),
        )
    )


@router.get(
    "/oms/queues/{queue}/series",
    summary="Look at a queue over time",
    responses=gives(documents.Series, refuses=[404, 422]),
)
async def get_series(
    queue: str,
    visit: Viewing,
    since: Annotated[str, Query(description='How far back: "6h", "28d"; 400 days at most')] = "24h",
    step: Annotated[
        str | None, Query(description="1m, 5m, 10m, 1h, 6h or 1d; what suits if not given")
    ] = None,
) -> Response:
    """Return what happened in a queue, step by step, and how long things took."""
    found = await visit.oms.series(visit.queue(queue), since=since, step=step)
    return answer(documents.Series.of(found))


@router.delete(
    "/oms/queues/{queue}",
    status_code=202,
    summary="Remove a queue",
    responses=gives(documents.Operation, status=202, refuses=[404, 409, 422]),
)
async def delete_queue(
    queue: str,
    visit: Administering,
    force: Annotated[bool, Query(description="Also with open tasks, which are cancelled")] = False,  # noqa: FBT002
    reason: str = "",
) -> Response:
    """Begin to remove a queue and what it keeps; refused while tasks are open, unless forced."""
    begun = await visit.oms.delete_queue(
        visit.queue(queue), force=force, reason=reason, by=visit.actor
    )
    return answer(documents.Operation.of(begun), 202)


@router.post(
    "/oms/queues/{queue}/pause",
    summary="Pause a queue",
    openapi_extra=takes(bodies.Pause, optional=True),
    responses=gives(answers.Changed, refuses=[404], body=True),
)
async def pause(queue: str, request: Request, visit: Operating) -> Response:
    """Let workers leave the queue's tasks alone; what runs goes on."""
    body = await read(request, bodies.Pause, optional=True)
    changed = await visit.oms.pause(
        visit.queue(queue),
        reason=body.reason,
        stop_clock=body.stop_clock,
        by=visit.actor,
    )
    return answer(answers.Changed(queue=queue, changed=changed))


@router.post(
    "/oms/queues/{queue}/resume",
    summary="Let a paused queue go on",
    openapi_extra=takes(bodies.Reason, optional=True),
    responses=gives(answers.Changed, refuses=[404], body=True),
)
async def resume(queue: str, request: Request, visit: Operating) -> Response:
    """Let workers take the queue's tasks again."""
    body = await read(request, bodies.Reason, optional=True)
    changed = await visit.oms.resume(visit.queue(queue), reason=body.reason, by=visit.actor)
    return answer(answers.Changed(queue=queue, changed=changed))


@router.post(
    "/oms/queues/{queue}/purge",
    status_code=202,
    summary="Cancel all tasks that no worker holds",
    openapi_extra=takes(bodies.Reason, optional=True),
    responses=gives(documents.Operation, status=202, refuses=[404], body=True),
)
async def purge(queue: str, request: Request, visit: Operating) -> Response:
    """Begin to cancel every open task that no worker holds; the operation tells how it goes."""
    body = await read(request, bodies.Reason, optional=True)
    operation = await visit.oms.purge(visit.queue(queue), reason=body.reason, by=visit.actor)
    return answer(documents.Operation.of(operation), 202)


@router.get(
    "/oms/queues/{queue}/tasks",
    tags=["tasks"],
    summary="List a queue's tasks in one state",
    responses=gives(answers.Tasks, refuses=[404, 422]),
)
async def list_tasks(
    queue: str,
    visit: Viewing,
    state: Annotated[TaskState, Query(description="Which")] = TaskState.WAITING,
    cursor: Annotated[str | None, Query(description="That of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Return a page of a queue's tasks: waiting ones in claim order, ended ones newest first."""
    page = await visit.oms.list_tasks(visit.queue(queue), state, cursor, limit=limit)
    return answer(answers.Tasks(tasks=[visit.show(one) for one in page.tasks], cursor=page.cursor))
