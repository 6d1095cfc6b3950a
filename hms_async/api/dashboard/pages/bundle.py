"""What is known of a queue in trouble, to be attached to a ticket."""

from fastapi import APIRouter
from starlette.responses import Response

from hms_async.api.bundle import bundle_of
from hms_async.api.contract import download
from hms_async.api.dashboard.entry import Looking

router = APIRouter()


@router.get("/q/{queue}/bundle")
async def bundle(queue: str, look: Looking) -> Response:
    """Give the incident bundle of a queue."""
    name = look.queue(queue)
    return download(await bundle_of(look.oms, name, look.caller, look.house.redactor))
