"""Running a task again with another payload: as a new task, beside the old one."""

import os
import time
from urllib.parse import quote

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from hms_async.api import problems
from hms_async.api.dashboard import acts
from hms_async.api.dashboard.asking import Payload, Question, answered, ask, objection, went
from hms_async.api.dashboard.entry import Enqueuing, Look
from hms_async.domain.access import Permission
from hms_async.domain.task import ENTROPY_BYTES, TaskRecord, make_id
from hms_async.errors import HMSError, PayloadInvalid, StoreError

router = APIRouter()

_LONGEST_IN_A_COMMAND = 2_000


async def _task(look: Look, task_id: str) -> TaskRecord:
    """Return a task whose payload may be seen, with all that is in it."""
    task = await look.task(task_id)
    look.caller.require(Permission.PAYLOAD, task.queue)
    return task


def _question(look: Look, task: TaskRecord, new_id: str, payload: Payload) -> Question:
    act = acts.AGAIN
    why = acts.why_not(act, task)
    about = [f"It goes into {task.queue}, {task.priority} priority."]
    shown = look.visible(task).payload
    said = msgspec.json.encode(shown).decode()
    short = len(said) <= _LONGEST_IN_A_COMMAND  # else the twins leave it as it is
    if task.payload != shown:
        about.append(
            "What is a secret is not shown: where you leave [redacted] as it is, the new task has "
            "what the old one has."
        )
    return Question(
        act=act,
        title=f"{act.label}: {task.correlation_id or task.id}?",
        about=about,
        back=f"/t/{quote(task.id, safe='')}",
        button="Run it",
        twins=acts.twins(
            look,
            ["job", "again", task.id, *(["--data", said] if short else []), "--reason", acts.WHY],
            f"/oms/tasks/{task.id}/again",
            ({"payload": shown} if short else {}) | {"reason": acts.WHY},
        ),
        hidden=[("id", new_id)],
        payload=payload,
        why_not=f"It cannot be run again: {why}." if why else "",
    )


@router.get("/t/{task_id}/do/again")
async def ask_for_payload(task_id: str, look: Enqueuing) -> Response:
    """Ask what the new task is to be about."""
    task = await _task(look, task_id)
    shown = msgspec.json.format(msgspec.json.encode(look.visible(task).payload), indent=2)
    # The form has the id, so that two clicks make one task.
    new_id = make_id(time.time_ns() // 1_000_000, os.urandom(ENTROPY_BYTES))
    return ask(
        look, _question(look, task, new_id, Payload(shown.decode(), task.correlation_id or ""))
    )


@router.post("/t/{task_id}/do/again")
async def run_again(task_id: str, look: Enqueuing) -> Response:
    """Enqueue it, and show the new task."""
    form = await answered(look)
    task = await _task(look, task_id)
    text, case, new_id = form.get("payload"), form.get("correlation_id").strip(), form.get("id")
    question = _question(look, task, new_id, Payload(text, case))
    if (page := objection(look, question, form)) is not None:
        return page
    try:
        made = await look.oms.run_again(
            task_id,
            payload=look.house.redactor.restore(_decoded(text), task.payload),
            correlation_id=case or None,
            id=new_id or None,
            reason=form.get("reason"),
            by=look.actor,
        )
    except StoreError:
        raise
    except HMSError as error:
        fault = str(look.tell(error))
        status = problems.status_of(error)
        return ask(look, question, fault=fault, reason=form.get("reason"), status=status)
    look.done(f"task:{task_id}", f"queue:{task.queue}", "operations")
    return went(look, f"/t/{quote(made.id, safe='')}", "again")


def _decoded(text: str) -> object:
    """Return the JSON value of a text; whole numbers of any length stay what they are.

    Raises:
        PayloadInvalid: If it is none.
    """
    try:
        return msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise PayloadInvalid(f"this is not JSON: {error}") from error
