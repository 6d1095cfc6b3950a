"""Messages that no receiver took: list them, try them again, let go of them."""

from collections.abc import Collection
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from hms_async.api import answers, bodies, documents
from hms_async.api.contract import answer, gives, read, takes
from hms_async.api.visit import Operating, Viewing, Visit
from hms_async.runtime.promises import MOST_UNDELIVERED

router = APIRouter(prefix="/oms/sla/{queue}/undelivered", tags=["promises"])

_BODY = takes(bodies.Reason, optional=True)
_DEALT_WITH = gives(answers.DealtWith, refuses=[404], body=True)


@router.get(
    "",
    summary="Messages that no receiver took",
    responses=gives(answers.Messages, refuses=[404, 422]),
)
async def undelivered(
    queue: str, visit: Viewing, limit: Annotated[int, Query(ge=1, le=MOST_UNDELIVERED)] = 100
) -> Response:
    """Return the messages of a queue that were given up, the last first."""
    found = await visit.oms.sla.undelivered(visit.queue(queue), limit=limit)
    return answer(
        answers.Messages(
            messages=[documents.Message.of(visit.visible_message(one)) for one in found]
        )
    )


@router.post(
    "/again",
    summary="Try all of a queue's messages again",
    openapi_extra=_BODY,
    responses=_DEALT_WITH,
)
async def send_all_again(queue: str, request: Request, visit: Operating) -> Response:
    """Send every message of a queue that was given up once more, with all its tries."""
    return await _act(visit, request, queue, "again")


@router.post(
    "/drop",
    summary="Let go of all of a queue's messages",
    openapi_extra=_BODY,
    responses=_DEALT_WITH,
)
async def drop_all(queue: str, request: Request, visit: Operating) -> Response:
    """Forget every message of a queue that was given up; nobody will be told."""
    return await _act(visit, request, queue, "drop")


@router.post(
    "/{message_id}/again",
    summary="Try a message again",
    openapi_extra=_BODY,
    responses=_DEALT_WITH,
)
async def send_again(queue: str, message_id: str, request: Request, visit: Operating) -> Response:
    """Send a message that was given up once more, with all its tries."""
    return await _act(visit, request, queue, "again", [message_id])


@router.post(
    "/{message_id}/drop",
    summary="Let go of a message",
    openapi_extra=_BODY,
    responses=_DEALT_WITH,
)
async def drop(queue: str, message_id: str, request: Request, visit: Operating) -> Response:
    """Forget a message that was given up; nobody will be told."""
    return await _act(visit, request, queue, "drop", [message_id])


async def _act(
    visit: Visit,
    request: Request,
    queue: str,
    act: Literal["again", "drop"],
    ids: Collection[str] | None = None,
) -> Response:
    body = await read(request, bodies.Reason, optional=True)
    done = await visit.oms.sla.act_on_undelivered(
        visit.queue(queue), act, ids, reason=body.reason, by=visit.actor
    )
    return answer(answers.DealtWith(queue=queue, ids=[one.said.id for one in done]))
