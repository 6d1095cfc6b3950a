"""Cases: all tasks of one correlation id, and the workers that are about."""

from fastapi import APIRouter
from starlette.responses import Response

from hms_async.api import answers, documents
from hms_async.api.contract import answer, gives
from hms_async.api.visit import Viewing

router = APIRouter(prefix="/oms", tags=["tasks"])


@router.get(
    "/cases/{correlation_id:path}",
    summary="Look at a case",
    responses=gives(documents.Case, refuses=[404]),
)
async def get_case(correlation_id: str, visit: Viewing) -> Response:
    """Return all tasks of a correlation id across queues, and where the time went."""
    case = await visit.oms.case(correlation_id, sees=visit.sees)
    return answer(visit.show_case(case))


@router.get("/workers", tags=["workers"], summary="List workers", responses=gives(answers.Workers))
async def list_workers(visit: Viewing) -> Response:
    """Return the workers that were heard of lately, native ones and those over REST."""
    found = [
        documents.Worker.of(seen)
        for one in await visit.oms.workers()
        if (seen := one.visible(visit.sees)).queues
    ]
    return answer(answers.Workers(workers=found))
