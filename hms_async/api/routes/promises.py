"""Promises: how they stand, and who is at what goes wrong."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from hms_async.api import answers, bodies, documents
from hms_async.api.bundle import bundle_of
from hms_async.api.contract import answer, download, gives, read, takes
from hms_async.api.visit import Operating, Viewing

router = APIRouter(prefix="/oms", tags=["promises"])


@router.get("/sla", summary="How all promises stand", responses=gives(answers.Promises))
async def all_promises(visit: Viewing) -> Response:
    """Return how the promise of each queue stands, the worst first."""
    names = await visit.queues()
    found = await visit.oms.sla.ls(names) if names else []
    return answer(answers.Promises(queues=[documents.Promise.of(one) for one in found]))


@router.get(
    "/sla/report",
    summary="How promises were kept against their goals",
    responses=gives(answers.Reports, refuses=[404, 422]),
)
async def report(
    visit: Viewing,
    since: Annotated[str, Query(description='How far back: "28d", 400 days at most')] = "28d",
    queue: Annotated[list[str] | None, Query(description="Which; all if not given")] = None,
    worst: Annotated[int, Query(ge=1, le=100, description="Misses of each queue")] = 10,
) -> Response:
    """Return how promises were kept, how much room for misses is left, and the worst of them."""
    names = [visit.queue(name) for name in queue or ()]
    found = await visit.oms.sla.report(names, since=since, worst=worst, sees=visit.sees)
    return answer(answers.Reports(queues=[documents.Report.of(one) for one in found]))


@router.get(
    "/queues/{queue}/promise",
    summary="How a queue's promise stands, whatever the queue is called",
    responses=gives(documents.Promise, refuses=[404, 422]),
)
@router.get(
    "/sla/{queue}",
    summary="How a queue's promise stands",
    responses=gives(documents.Promise, refuses=[404, 422]),
)
async def promise(queue: str, visit: Viewing) -> Response:
    """Return how a queue's promise stands, with a forecast.

    Of a queue called `report` it is told under `/oms/queues`: `/oms/sla/report` is about all.
    """
    return answer(documents.Promise.of(await visit.oms.sla.status(visit.queue(queue))))


@router.get(
    "/sla/{queue}/at_risk",
    summary="Open tasks past 80 % of their promise",
    responses=gives(answers.Tasks, refuses=[404, 422]),
)
async def at_risk(
    queue: str, visit: Viewing, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> Response:
    """Return the open tasks of a queue that are late or soon will be, the latest first."""
    found = await visit.oms.sla.at_risk(visit.queue(queue), limit=limit)
    return answer(answers.Tasks(tasks=[visit.show(one) for one in found], cursor=None))


@router.get(
    "/incidents", summary="What somebody should look at", responses=gives(answers.Incidents)
)
async def incidents(
    visit: Viewing,
    resolved: Annotated[bool, Query(description="Also those that are over")] = False,  # noqa: FBT002
) -> Response:
    """Return the last incident of each kind and queue, those that are over left out."""
    found = [
        incident
        for name in await visit.queues()
        for incident in await visit.oms.sla.incidents(name)
        if resolved or incident.open
    ]
    return answer(answers.Incidents(incidents=[documents.Incident.of(one) for one in found]))


@router.get(
    "/incidents/{queue}/bundle",
    summary="What is known of a queue in trouble, as one file",
    responses=gives(documents.IncidentBundle, refuses=[404, 422]),
)
async def bundle(queue: str, visit: Viewing) -> Response:
    """Return settings, standing, incidents, findings and what else is known, for a ticket.

    No payload is in it, and no more than a bounded number of anything. The audit is in it for those
    who may read it, and the server for those who may see every queue; `left_out` says so otherwise.
    """
    name = visit.queue(queue)
    return download(await bundle_of(visit.oms, name, visit.caller, visit.house.redactor))


@router.post(
    "/incidents/{queue}/{kind}/acknowledge",
    summary="Say that somebody is at an incident",
    openapi_extra=takes(bodies.Reason, optional=True),
    responses=gives(answers.Changed, refuses=[404], body=True),
)
async def acknowledge(
    queue: str, kind: Literal["sla", "forecast", "delivery"], request: Request, visit: Operating
) -> Response:
    """Say that somebody is at an incident; it is told again only if it gets worse."""
    body = await read(request, bodies.Reason, optional=True)
    changed = await visit.oms.sla.acknowledge(
        visit.queue(queue), kind, by=visit.actor, reason=body.reason
    )
    return answer(answers.Changed(queue=queue, changed=changed))
