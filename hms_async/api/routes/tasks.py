"""Tasks: look at one, wait for its end, act on it."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from hms_async.api import answers, bodies, documents
from hms_async.api.contract import answer, gives, read, takes
from hms_async.api.visit import Enqueuing, Operating, Waiting
from hms_async.api.waiting import wait_ms
from hms_async.domain.access import Permission
from hms_async.domain.task import TaskState
from hms_async.errors import IdInUse, ResultTimeout, TaskFailed

router = APIRouter(prefix="/oms/tasks", tags=["tasks"])


@router.get(
    "/{task_id}",
    summary="Look at a task",
    responses=gives(documents.Task, refuses=[404, 422]),
)
async def get_task(task_id: str, visit: Waiting) -> Response:
    """Return a task: what was asked, how it goes, and its last attempts that failed."""
    return answer(visit.show(await visit.task(task_id)))


@router.get(
    "/{task_id}/wait",
    summary="Wait for a task's end",
    responses=gives(documents.Task, refuses=[404, 422]),
)
async def wait(
    task_id: str,
    visit: Waiting,
    timeout: Annotated[str, Query(description='"30s", or seconds')] = "30s",  # noqa: ASYNC109
) -> Response:
    """Return a task when it has ended, or as it is when the time is over: see its `state`."""
    await visit.task(task_id)
    longest = wait_ms(timeout, name="timeout")
    async with visit.while_there():
        with suppress(ResultTimeout, TaskFailed):  # the record says so
            await visit.oms.result(task_id, timeout=longest / 1_000)
    return answer(visit.show(await visit.task(task_id)))


@router.post(
    "/{task_id}/cancel",
    summary="Cancel a task",
    openapi_extra=takes(bodies.Reason, optional=True),
    responses=gives(answers.Acted, others={202: [answers.Acted]}, refuses=[404, 409], body=True),
)
async def cancel(task_id: str, request: Request, visit: Operating) -> Response:
    """Cancel a task: 200 when it is cancelled, 202 when its worker has been asked to."""
    body = await read(request, bodies.Reason, optional=True)
    await visit.task(task_id)
    done = await visit.oms.cancel(task_id, reason=body.reason, by=visit.actor)
    if done:
        return answer(answers.Acted(id=task_id, state=TaskState.CANCELLED))
    return answer(answers.Acted(id=task_id, state=TaskState.IN_PROGRESS), 202)


@router.post(
    "/{task_id}/requeue",
    summary="Bring back a task that failed, was cancelled or expired",
    openapi_extra=takes(bodies.Requeue, optional=True),
    responses=gives(answers.Acted, refuses=[404, 409], body=True),
)
async def requeue(task_id: str, request: Request, visit: Operating) -> Response:
    """Let a task run again; its attempts restart."""
    body = await read(request, bodies.Requeue, optional=True)
    await visit.task(task_id)
    await visit.oms.requeue(
        task_id, reset_clock=body.reset_clock, reason=body.reason, by=visit.actor
    )
    return answer(answers.Acted(id=task_id, state=TaskState.WAITING))


@router.post(
    "/{task_id}/again",
    status_code=201,
    summary="Run a task again, as a new task",
    openapi_extra=takes(bodies.Again, optional=True),
    responses=gives(
        answers.Accepted,
        status=201,
        others={200: [answers.Accepted]},
        refuses=[404, 409],
        body=True,
    ),
)
async def again(task_id: str, request: Request, visit: Enqueuing) -> Response:
    """Put a task into its queue once more, perhaps with another payload; the old one stays.

    That takes the permission to see payloads, too. Where the payload has `[redacted]`, the new task
    has what the old one has there. With an `id` that stood for a task already it answers 200.
    """
    body = await read(request, bodies.Again, optional=True)
    old = await visit.task(task_id)
    visit.caller.require(Permission.PAYLOAD, old.queue)
    changes = bodies.given(body)
    if "payload" in changes:
        changes["payload"] = visit.house.redactor.restore(body.payload, old.payload)
    try:
        made = await visit.oms.run_again(task_id, **changes, by=visit.actor)
    except IdInUse as error:
        raise visit.tell(error) from error
    return answer(answers.Accepted(made.id, made.created), 201 if made.created else 200)


@router.post(
    "/{task_id}/bump",
    summary="Let a waiting task go first",
    openapi_extra=takes(bodies.Reason, optional=True),
    responses=gives(answers.Acted, refuses=[404, 409], body=True),
)
async def bump(task_id: str, request: Request, visit: Operating) -> Response:
    """Let a waiting task go before the others."""
    body = await read(request, bodies.Reason, optional=True)
    await visit.task(task_id)
    await visit.oms.bump(task_id, reason=body.reason, by=visit.actor)
    return answer(answers.Acted(id=task_id, state=TaskState.WAITING))


@router.post(
    "/{task_id}/waive",
    summary="Let an open task off its promise",
    openapi_extra=takes(bodies.Waive),
    responses=gives(answers.Acted, refuses=[404, 409], body=True),
)
async def waive(task_id: str, request: Request, visit: Operating) -> Response:
    """Close a task's clock; it goes on without a promise."""
    body = await read(request, bodies.Waive)
    record = await visit.task(task_id)
    await visit.oms.sla.waive(task_id, reason=body.reason, by=visit.actor)
    return answer(answers.Acted(id=task_id, state=record.state))
