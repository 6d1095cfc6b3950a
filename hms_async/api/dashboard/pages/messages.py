"""Messages that no receiver took: to be tried again, or to be let go of."""

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api.dashboard import acts, words
from hms_async.api.dashboard.asking import Question, answered, ask, objection, refuse, went
from hms_async.api.dashboard.entry import Acting, Look
from hms_async.errors import MessageNotFound
from hms_async.runtime.promises import MOST_UNDELIVERED

router = APIRouter()

_ACTS = {act.name: act for act in (acts.SEND_AGAIN, acts.DROP)}

MessageAct = Literal["again", "drop"]


async def _question(look: Look, queue: str, name: MessageAct, message: str) -> Question:
    """Return what is asked before a message, or with an empty id all of a queue, is dealt with."""
    act = _ACTS[name]
    found = await look.oms.sla.undelivered(look.queue(queue), limit=MOST_UNDELIVERED)
    meant = [look.visible_message(one) for one in found if message in ("", one.said.id)]
    count = words.several(len(meant), "message")
    which = ["--id", message] if message else []
    path = f"/{quote(message, safe=':')}" if message else ""
    return Question(
        act=act,
        title=f"{act.label}: {count} of {queue}?",
        about=[f"{one.kind}, {one.error}" for one in meant if message],
        back="/operations",
        button=f"{act.label}: {count}",
        twins=acts.twins(
            look,
            ["sla", "undelivered", queue, *which, f"--{name}", "--reason", acts.WHY],
            f"/oms/sla/{queue}/undelivered{path}/{name}",
            {"reason": acts.WHY},
        ),
        hidden=[("id", message)],
        why_not="" if meant else "It is not among those that were given up now.",
    )


@router.get("/q/{queue}/messages/do/{act}")
async def ask_about_messages(
    queue: str,
    act: MessageAct,
    look: Acting,
    message: Annotated[str, Query(alias="id", max_length=512)] = "",
) -> Response:
    """Ask whether a message, or all of a queue, are to be tried again or let go of."""
    return ask(look, await _question(look, queue, act, message))


@router.post("/q/{queue}/messages/do/{act}")
async def do_to_messages(queue: str, act: MessageAct, look: Acting) -> Response:
    """Do it, and show what is left."""
    form = await answered(look)
    message = form.get("id")
    question = await _question(look, queue, act, message)
    if (page := objection(look, question, form)) is not None:
        return page
    ids = [message] if message else None
    try:
        done = await look.oms.sla.act_on_undelivered(
            queue, act, ids, reason=form.get("reason"), by=look.actor
        )
    except MessageNotFound as error:  # meanwhile
        return refuse(look, question, error)
    look.done(f"queue:{queue}", "operations")
    return went(look, "/operations", "sent_again" if act == "again" else "dropped", n=len(done))
