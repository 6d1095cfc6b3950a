"""The audit: who did what, and why."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api import answers, documents
from hms_async.api.contract import answer, gives
from hms_async.api.visit import Administering

router = APIRouter(prefix="/oms", tags=["audit"])


@router.get("/audit", summary="Who did what", responses=gives(answers.Audit, refuses=[404, 422]))
async def audit(
    visit: Administering,
    queue: Annotated[str | None, Query(description="Of one queue; else of all")] = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Return what operators did, the last first."""
    if queue is not None:
        visit.queue(queue)
    page = await visit.oms.audit(queue, cursor=cursor, limit=limit, sees=visit.audits)
    entries = [documents.AuditEntry.of(one) for one in page.entries]
    return answer(answers.Audit(entries=entries, cursor=page.cursor))
