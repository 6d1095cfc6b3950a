"""One box: a task's id or a correlation id."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from hms_async.api.dashboard.entry import Looking
from hms_async.api.dashboard.parts import Part, show
from hms_async.errors import HMSError

router = APIRouter()


@router.get("/search")
async def search(look: Looking, q: Annotated[str, Query(max_length=512)] = "") -> Response:
    """Go to the task, the case or the queue of that name, or say that there is none."""
    wanted = q.strip()
    if wanted and (where := await _find(look, wanted)):
        return RedirectResponse(f"{look.base}{where}", 303)

    async def build() -> Part:
        return Part.of("search.html", title="not found", base=look.base, wanted=wanted)

    return await show(look, [], build)


async def _find(look: Looking, wanted: str) -> str | None:
    try:
        await look.task(wanted)
    except HMSError:
        pass
    else:
        return f"/t/{quote(wanted, safe='')}"
    if wanted in await look.queues():
        return f"/q/{quote(wanted, safe='')}"
    try:
        await look.oms.case(wanted, limit=1, sees=look.sees)
    except HMSError:
        return None
    return f"/c/{quote(wanted, safe='')}"
