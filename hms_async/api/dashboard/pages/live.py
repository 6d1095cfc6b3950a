"""The stream that keeps pages fresh, and the files that they are made of."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api.dashboard import render
from hms_async.api.dashboard.entry import Looking
from hms_async.api.dashboard.live import MOST_STREAMS, MOST_TOPICS, Hints
from hms_async.api.dashboard.topics import check_topic

if TYPE_CHECKING:
    from hms_async.api.dashboard.hub import Hub

router = APIRouter()


@router.get("/events")
async def events(
    look: Looking, topic: Annotated[list[str], Query(max_length=MOST_TOPICS)]
) -> Response:
    """Tell of topics that change; 503 when so many listen that a browser is to ask instead."""
    for one in topic:
        kind, name = check_topic(one)
        if kind == "queue":
            look.queue(name)
        elif kind == "task":
            await look.task(name)
    hub: Hub = look.request.app.state.hub
    if hub.streams >= MOST_STREAMS:
        return Response("too many streams: ask from time to time", 503)
    return Hints(look, hub, topic)


@router.get("/static/{edition}/{name:path}")
async def static(edition: str, name: str) -> Response:
    """Return a file of the dashboard."""
    del edition  # makes the address change with the files
    return await render.asset(name)
