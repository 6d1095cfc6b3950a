"""Acts on one task, one queue, one incident: each asks first, then does it."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import Response

from hms_async.api.dashboard import acts, words
from hms_async.api.dashboard.acts import Act, how, twins
from hms_async.api.dashboard.asking import Option, Question, answered, ask, objection, refuse, went
from hms_async.api.dashboard.entry import Acting, Form, Look
from hms_async.domain.incident import Kind
from hms_async.domain.task import TaskRecord
from hms_async.errors import IncidentNotFound, WrongState

router = APIRouter()

_ON_ONE = {act.name: act for act in acts.ON_TASKS}
_ON_QUEUE = {act.name: act for act in (acts.PAUSE, acts.RESUME)}
_DONE = {"cancel": "cancelled", "requeue": "requeued", "bump": "put first", "waive": "waived"}
_IS_WRONG = {
    "sla": "tasks are late",
    "forecast": "tasks will be late",
    "delivery": "messages are not taken",
}

TaskAct = Literal["cancel", "requeue", "bump", "waive"]
QueueAct = Literal["pause", "resume"]
Of = Annotated[str, Query(max_length=64)]
"""The fingerprint of a kind, when the first of it is tried before the others."""


async def _task(look: Look, task_id: str, act: Act, of: str) -> tuple[TaskRecord, Question]:
    """Return a task, and what is asked before something is done to it."""
    task = await look.task(task_id)
    why = acts.why_not(act, task)
    name = f"{task.correlation_id} ({task.id})" if task.correlation_id else task.id
    question = Question(
        act=act,
        title=f"{act.label}: {task.correlation_id or task.id}?",
        about=[f"Task {name} {how(task.state)} in {task.queue}."],
        back=f"/t/{quote(task.id, safe='')}",
        button=act.label,
        twins=acts.twins_on_task(look, act, task.id),
        hidden=[("of", of)] if of else [],
        options=[Option("reset_clock", "its promise begins anew")] if act is acts.REQUEUE else [],
        why_not=f"It cannot be {_DONE[act.name]}: {why}." if why else "",
    )
    return task, question


@router.get("/t/{task_id}/do/{act}")
async def ask_about_task(task_id: str, act: TaskAct, look: Acting, of: Of = "") -> Response:
    """Ask whether something is to be done to a task."""
    _, question = await _task(look, task_id, _ON_ONE[act], of)
    return ask(look, question)


@router.post("/t/{task_id}/do/{act}")
async def do_to_task(task_id: str, act: TaskAct, look: Acting) -> Response:
    """Do it, and show the task."""
    form = await answered(look)
    of = form.get("of")
    task, question = await _task(look, task_id, _ON_ONE[act], of)
    if (page := objection(look, question, form)) is not None:
        return page
    try:
        did = await _DO[act](look, task_id, form)
    except WrongState as error:  # meanwhile
        return refuse(look, question, error)
    look.done(f"task:{task_id}", f"queue:{task.queue}", "failed")
    return went(look, question.back, "first", of=of) if of else went(look, question.back, did)


async def _cancel(look: Look, task_id: str, form: Form) -> str:
    done = await look.oms.cancel(task_id, reason=form.get("reason"), by=look.actor)
    return "cancelled" if done else "asked"


async def _requeue(look: Look, task_id: str, form: Form) -> str:
    anew = bool(form.get("reset_clock"))
    await look.oms.requeue(task_id, reset_clock=anew, reason=form.get("reason"), by=look.actor)
    return "requeued"


async def _bump(look: Look, task_id: str, form: Form) -> str:
    await look.oms.bump(task_id, reason=form.get("reason"), by=look.actor)
    return "bumped"


async def _waive(look: Look, task_id: str, form: Form) -> str:
    done = await look.oms.sla.waive(task_id, reason=form.get("reason"), by=look.actor)
    return "waived" if done else "already"


_DO: dict[str, Callable[[Look, str, Form], Awaitable[str]]] = {
    "cancel": _cancel,
    "requeue": _requeue,
    "bump": _bump,
    "waive": _waive,
}


async def _queue(look: Look, queue: str, act: Act) -> Question:
    """Return what is asked before a queue is paused, or goes on."""
    found = await look.oms.get_queue(look.queue(queue))
    stats = await look.oms.stats(queue)
    waiting = words.several(stats.waiting + stats.retrying + stats.scheduled, "task")
    about = [f"In {queue} {waiting} wait and {stats.in_progress:,} run."]
    why_not, options, body = "", list[Option](), dict[str, object](reason=acts.WHY)
    if act is acts.PAUSE:
        why_not = "It is paused already." if stats.paused else ""
        if found.settings.sla_ms is not None:
            stops = found.settings.pause_stops_clock
            options = [Option("stop_clock", "its promises stand still meanwhile", ticked=stops)]
            body["stop_clock"] = stops
    else:
        why_not = "" if stats.paused else "It is not paused."
        about += [f"It is paused: {found.reason}."] if found.reason else []
    return Question(
        act=act,
        title=f"{act.label} {queue}?",
        about=about,
        back=f"/q/{queue}",
        button=act.label,
        twins=twins(
            look,
            ["queue", act.name, queue, "--reason", acts.WHY],
            f"/oms/queues/{queue}/{act.name}",
            body,
        ),
        options=options,
        why_not=why_not,
    )


@router.get("/q/{queue}/do/{act}")
async def ask_about_queue(queue: str, act: QueueAct, look: Acting) -> Response:
    """Ask whether a queue is to be paused, or to go on."""
    return ask(look, await _queue(look, queue, _ON_QUEUE[act]))


@router.post("/q/{queue}/do/{act}")
async def do_to_queue(queue: str, act: QueueAct, look: Acting) -> Response:
    """Pause it, or let it go on, and show it."""
    form = await answered(look)
    question = await _queue(look, queue, _ON_QUEUE[act])
    if (page := objection(look, question, form)) is not None:
        return page
    reason = form.get("reason")
    if act == "pause":
        stop = bool(form.get("stop_clock")) if question.options else None
        changed = await look.oms.pause(queue, stop_clock=stop, reason=reason, by=look.actor)
    else:
        changed = await look.oms.resume(queue, reason=reason, by=look.actor)
    look.done(f"queue:{queue}", "operations")
    return went(look, question.back, f"{act}d" if changed else "already")


async def _incident(look: Look, queue: str, kind: Kind) -> Question:
    """Return what is asked before an incident is acknowledged."""
    found = await look.oms.sla.incidents(look.queue(queue))
    incident = next((one for one in found if one.kind == kind and one.open), None)
    if incident is None:
        why_not = "No such incident is open now."
    elif incident.state == "acknowledged":
        said = f": {incident.reason}" if incident.reason else ""
        why_not = f"{incident.by} is at it already{said}."
    else:
        why_not = ""
    return Question(
        act=acts.ACKNOWLEDGE,
        title=f"Acknowledge: {queue}, {_IS_WRONG[kind]}?",
        about=[f"Its severity is {incident.severity}."] if incident else [],
        back=f"/q/{queue}",
        button=acts.ACKNOWLEDGE.label,
        twins=twins(
            look,
            ["sla", "ack", queue, kind, "--reason", acts.WHY],
            f"/oms/incidents/{queue}/{kind}/acknowledge",
            {"reason": acts.WHY},
        ),
        why_not=why_not,
    )


@router.get("/q/{queue}/incidents/{kind}")
async def ask_about_incident(queue: str, kind: Kind, look: Acting) -> Response:
    """Ask whether an incident is to be acknowledged."""
    return ask(look, await _incident(look, queue, kind))


@router.post("/q/{queue}/incidents/{kind}")
async def acknowledge(queue: str, kind: Kind, look: Acting) -> Response:
    """Acknowledge it, and show its queue."""
    form = await answered(look)
    question = await _incident(look, queue, kind)
    if (page := objection(look, question, form)) is not None:
        return page
    try:
        changed = await look.oms.sla.acknowledge(
            queue, kind, reason=form.get("reason"), by=look.actor
        )
    except IncidentNotFound as error:  # meanwhile
        return refuse(look, question, error)
    look.done(f"queue:{queue}")
    return went(look, question.back, "acknowledged" if changed else "already")
