"""What happens, as it happens: server-sent events."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from hms_async.api import documents
from hms_async.api.contract import gives
from hms_async.api.stream import EventStream, Places
from hms_async.api.visit import Viewing
from hms_async.errors import RequestInvalid

router = APIRouter(prefix="/oms", tags=["events"])

_MOST_QUEUES = 20
_STREAM: dict[str, Any] = {
    "description": "Server-sent events: `event` is the type, `data` the event as JSON",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
_ANSWERS: dict[int | str, dict[str, Any]] = {**gives(documents.Event, refuses=[404, 422])}
_ANSWERS[200] = _STREAM


@router.get(
    "/events",
    summary="Follow what happens",
    responses=_ANSWERS,
)
async def events(
    visit: Viewing,
    queue: Annotated[
        list[str],
        Query(description="Whose: one, or several", min_length=1, max_length=_MOST_QUEUES),
    ],
    type: Annotated[  # noqa: A002  # the query's word
        list[str] | None,
        Query(description='Only these; one that ends in a dot stands for a family: "sla."'),
    ] = None,
    after: Annotated[
        str | None, Query(description="The id of the last event seen; `0-0` for all that are kept")
    ] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """Follow what happens to queues and their tasks.

    A client that reconnects sends the last id as `Last-Event-ID`, as browsers do by themselves, and
    misses nothing that is still kept; what is not is told as an event of type `gap`.
    """
    names = list(dict.fromkeys(visit.queue(name) for name in queue))
    for name in names:
        await visit.oms.get_queue(name)
    places = Places.read(names, last_event_id or after)
    if places is None:
        raise RequestInvalid(
            f"{last_event_id or after!r} is not the id of an event of these queues",
            path="Last-Event-ID" if last_event_id else "query.after",
        )
    return EventStream(visit, places, type)
