"""Whether the process lives and should get requests, what it knows of itself, and of the queues."""

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hms_async.api import answers, problems
from hms_async.api.contract import answer, gives
from hms_async.api.visit import Viewing
from hms_async.errors import ConfigInvalid
from hms_async.telemetry.logs import package_version
from hms_async.telemetry.writing import CONTENT_TYPE

if TYPE_CHECKING:
    from hms_async.api.house import House

router = APIRouter(tags=["health"])

_TEXT = {"schema": {"type": "string"}}


@router.get("/live", summary="Whether the process lives", responses=gives(answers.Health))
async def live() -> Response:
    """Answer: the event loop turns."""
    return answer(answers.Health(ok=True))


@router.get(
    "/ready",
    summary="Whether the process should get requests",
    responses=gives(answers.Health, others={503: [answers.Health]}),
)
async def ready(request: Request) -> Response:
    """Tell whether the store answers, and the process is not about to end."""
    house: House = request.app.state.house
    why_not = await house.ready()
    return answer(answers.Health(ok=not why_not, reason=why_not), 503 if why_not else 200)


@router.get(
    "/metrics",
    summary="The metrics of all queues, and of this process, for Prometheus",
    responses={**gives(), 200: {"description": "", "content": {"text/plain": _TEXT}}},
)
async def metrics(visit: Viewing) -> Response:
    """Return them in Prometheus' text format, no older than a second.

    Those of queues are kept in the store, so any one process is to be scraped for them, and tells
    the same as others. While the store does not answer `hms_store_up` is 0, and none is told.
    """
    visit.caller.require_everywhere(visit.permission)
    try:
        text = await visit.house.metrics()
    except ConfigInvalid as error:  # an extra is not installed: it is not the caller's fault
        return problems.answer(problems.plain(HTTPStatus.NOT_IMPLEMENTED, str(error)))
    return Response(text, media_type=CONTENT_TYPE)


@router.get("/status", summary="What the process knows of itself", responses=gives(answers.Status))
async def status(visit: Viewing) -> Response:
    """Tell the version, the store's answer, and how much is held open."""
    why_not = await visit.house.ready()
    return answer(
        answers.Status(
            version=package_version(),
            ready=not why_not,
            reason=why_not,
            polls=visit.house.workers.waiting,
            streams=visit.house.streams,
            caller=visit.caller.name,
            permissions=sorted(visit.caller.permissions),
            queues=list(visit.caller.queues),
        )
    )
