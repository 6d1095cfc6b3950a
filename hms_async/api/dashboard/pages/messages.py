"""Messages that no receiver took: to be tried again, or to be let go of."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api.dashboard import acts, words
from hms_async.api.dashboard.asking import Question, answered, ask, objection, went
from hms_async.api.dashboard.entry import Acting, Look
from hms_async.runtime.promises import MOST_UNDELIVERED

router = APIRouter()

_ACTS = {act.name: act for act in (acts.SEND_AGAIN, acts.DROP)}

MessageAct = Literal["again", "drop"]


async def _question(
    look: Look, queue: str, name: MessageAct, message: str
) -> tuple[list[str], Question]:
    """Return the ids of the messages that are meant, and what is asked."""
    act = _ACTS[name]
    found = await look.oms.sla.undelivered(look.queue(queue), limit=MOST_UNDELIVERED)
    ids = [one.said.id for one in found if message in ("", one.said.id)]
    count = words.several(len(ids), "message")
    return ids, Question(
        act=act,
        title=f"{act.label}: {count} of {queue}?",
        about=[f"{one.kind}, {one.error}" for one in found if one.said.id == message],
        back="/operations",
        button=f"{act.label}: {count}",
        twins=acts.twins(look, ["sla", "undelivered", queue, f"--{name}"]),
        hidden=[("id", message)],
        why_not="" if ids else "It is not among those that were given up now.",
    )


@router.get("/q/{queue}/messages/do/{act}")
async def ask_about_messages(
    queue: str,
    act: MessageAct,
    look: Acting,
    message: Annotated[str, Query(alias="id", max_length=512)] = "",
) -> Response:
    """Ask whether a message, or all of a queue, are to be tried again or let go of."""
    return ask(look, (await _question(look, queue, act, message))[1])


@router.post("/q/{queue}/messages/do/{act}")
async def do_to_messages(queue: str, act: MessageAct, look: Acting) -> Response:
    """Do it, and show what is left."""
    form = await answered(look)
    ids, question = await _question(look, queue, act, form.get("id"))
    if (page := objection(look, question, form)) is not None:
        return page
    promises, reason = look.oms.sla, form.get("reason")
    do = promises.send_again if act == "again" else promises.drop
    done = [await do(queue, one, reason=reason, by=look.actor) for one in ids]
    look.done(f"queue:{queue}", "operations")
    return went(look, "/operations", "sent_again" if act == "again" else "dropped", n=sum(done))
