"""Operations: acts on many tasks, which go on in the background."""

from typing import Annotated

from fastapi import APIRouter, Query
from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from hms_async.api import answers, bodies, documents
from hms_async.api.contract import answer, gives, read, takes
from hms_async.api.visit import Operating, Viewing, Visit
from hms_async.domain.operation import Operation
from hms_async.errors import OperationNotFound
from hms_async.storage.operations import MOST_KEPT

router = APIRouter(prefix="/oms/operations", tags=["operations"])


@router.post(
    "",
    status_code=202,
    summary="Begin an act on many tasks",
    openapi_extra=takes(bodies.NewOperation),
    responses=gives(
        documents.Operation,
        status=202,
        others={200: [documents.Operation]},
        refuses=[404, 409],
        body=True,
    ),
)
async def start(request: Request, visit: Operating) -> Response:
    """Begin an act on all tasks that match; with `dry_run` only say how many those are (200)."""
    body = await read(request, bodies.NewOperation)
    visit.queue(body.queue)
    begun = await visit.oms.operations.start(
        body.act,
        body.queue,
        where=None if body.where is None else structs.asdict(body.where),
        rate=body.rate,
        reason=body.reason,
        by=visit.actor,
        dry_run=body.dry_run,
    )
    return answer(documents.Operation.of(begun), 200 if body.dry_run else 202)


@router.get("", summary="List operations", responses=gives(answers.Operations))
async def list_operations(
    visit: Viewing, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> Response:
    """Return the latest operations on queues that the caller may see, the last first."""
    # Those of others may be all of the latest ones.
    latest = await visit.oms.operations.list(limit if visit.caller.everywhere else MOST_KEPT)
    found = [one for one in latest if visit.sees(one.queue)][:limit]
    return answer(answers.Operations(operations=[documents.Operation.of(one) for one in found]))


async def _seen(visit: Visit, operation_id: str) -> Operation:
    found = await visit.oms.operations.get(operation_id)
    if not visit.sees(found.queue):
        raise OperationNotFound(operation_id)
    return found


@router.get(
    "/{operation_id}",
    summary="Look at an operation",
    responses=gives(documents.Operation, refuses=[404, 422]),
)
async def get_operation(operation_id: str, visit: Viewing) -> Response:
    """Return an operation: how far it is, and which tasks it could not be done to."""
    return answer(documents.Operation.of(await _seen(visit, operation_id)))


@router.post(
    "/{operation_id}/stop",
    summary="Stop an operation",
    openapi_extra=takes(bodies.Reason, optional=True),
    responses=gives(documents.Operation, refuses=[404, 409], body=True),
)
async def stop(operation_id: str, request: Request, visit: Operating) -> Response:
    """Ask an operation to stop; what it has done stays done."""
    body = await read(request, bodies.Reason, optional=True)
    await _seen(visit, operation_id)
    stopped = await visit.oms.operations.stop(operation_id, reason=body.reason, by=visit.actor)
    return answer(documents.Operation.of(stopped))
