"""Whether the process lives, whether it should get requests, and what it knows of itself."""

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hms_async.api import answers
from hms_async.api.contract import answer, gives
from hms_async.api.visit import Viewing
from hms_async.telemetry.logs import package_version

if TYPE_CHECKING:
    from hms_async.api.house import House

router = APIRouter(tags=["health"])


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
