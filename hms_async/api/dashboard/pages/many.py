"""Acts on many tasks of a queue: on the ticked, on all of a state or a kind, on all that waits."""

from typing import Literal
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response

from hms_async.api.dashboard import acts, words
from hms_async.api.dashboard.acts import Act, in_words
from hms_async.api.dashboard.asking import (
    MOST_AT_ONCE,
    Question,
    answered,
    ask,
    objection,
    refuse,
    went,
)
from hms_async.api.dashboard.entry import Acting, Form, Look
from hms_async.domain.operation import Operation
from hms_async.domain.selection import Where
from hms_async.errors import ConfigInvalid

router = APIRouter()

_ACTS = {act.name: act for act in acts.ON_TASKS}
_SEVERAL = {"state": "states", "id": "ids"}
_ONE = (
    "correlation_id",
    "error_type",
    "error",
    "fingerprint",
    "arrived_before",
    "ended_before",
)
_TICKED = "ticked"
"""Stands in the form of a list: without an id it means nothing then, not everything."""

ManyAct = Literal["cancel", "requeue", "bump", "waive"]


def where_of(given: QueryParams | Form) -> Where:
    """Return which tasks are meant, by an address or by a form.

    Raises:
        ConfigInvalid: If it makes no sense.
    """
    several = given.getlist if isinstance(given, QueryParams) else given.all
    fields: dict[str, object] = {ours: several(name) for name, ours in _SEVERAL.items()}
    fields |= {name: value for name in _ONE if (value := given.get(name))}
    return Where.read(fields)


def pairs_of(where: Where) -> list[tuple[str, str]]:
    """Return a selection as an address or a form brings it along."""
    given = where.given()
    several = [(name, str(one)) for name, ours in _SEVERAL.items() for one in given.get(ours, ())]
    return several + [(name, str(given[name])) for name in _ONE if name in given]


async def _preview(
    look: Look, act: Act, queue: str, where: Where, rate: int | None = None
) -> tuple[Operation, Question]:
    """Return what would be done, and what is asked before."""
    meant = await look.oms.operations.start(
        act.name, look.queue(queue), where=where, rate=rate, by=look.actor, dry_run=True
    )
    count = f"{'' if meant.exact else 'about '}{words.several(meant.matched, 'task')}"
    about = [f"In {queue}: {_listed(meant)}."]
    if where.ids and meant.matched < len(where.ids):
        about.append(f"{len(where.ids) - meant.matched:,} of the ticked have moved on.")
    if meant.rate is not None and meant.matched > meant.rate:
        took = words.span(meant.matched / meant.rate * 1_000)
        about.append(f"At {meant.rate:,} a second that takes {took}.")
    states = words.listed([in_words(state) for state in meant.by_state], most=9)
    question = Question(
        act=act,
        title=f"{act.label} {count} of {queue}?",
        about=about,
        back=_back(queue, where),
        button=f"{act.label}: {count}",
        twins=_twins(look, act, queue, where),
        hidden=pairs_of(where),
        rate=meant.rate,
        to_type=queue if meant.matched > MOST_AT_ONCE else "",
        why_not="" if meant.matched else f"None of the tasks meant in {queue} is {states} now.",
    )
    return meant, question


def _nothing(act: Act, queue: str, state: str) -> Question:
    """Return what is asked where nothing is meant."""
    return Question(
        act=act,
        title=f"{act.label}?",
        about=[],
        back=f"/q/{queue}/tasks?{urlencode({'state': state})}",
        button=act.label,
        twins=acts.Twins("", ""),
        why_not="Nothing is ticked: tick tasks in the list first.",
    )


def _back(queue: str, where: Where) -> str:
    """Return where the tasks that are meant can be looked at."""
    if where.fingerprint:
        return f"/failed?queue={queue}"
    return f"/q/{queue}/tasks?state={where.states[0]}" if where.states else f"/q/{queue}"


def _listed(meant: Operation) -> str:
    """Return how many tasks of which state are meant."""
    counts = [
        f"{'' if meant.exact else 'about '}{count:,} {in_words(state)}"
        for state, count in meant.by_state.items()
        if count
    ]
    return words.listed(counts, most=9)


def _twins(look: Look, act: Act, queue: str, where: Where) -> acts.Twins:
    if act is acts.PURGE:
        return acts.twins(
            look,
            ["queue", "purge", queue, "--reason", acts.WHY],
            f"/oms/queues/{queue}/purge",
            {"reason": acts.WHY},
        )
    return acts.twins_on_many(look, act, queue, where)


async def _ask(look: Look, act: Act, queue: str, where: Where) -> Response:
    _, question = await _preview(look, act, queue, where)
    return ask(look, question)


async def _begin(look: Look, act: Act, queue: str, where: Where, form: Form) -> Response:
    meant, question = await _preview(look, act, queue, where, _rate(form))
    if (page := objection(look, question, form)) is not None:
        return page
    begun = await look.oms.operations.start(
        act.name,
        queue,
        where=where,
        rate=meant.rate,
        reason=form.get("reason"),
        by=look.actor,
    )
    look.done(f"queue:{queue}", "operations", "failed")
    return went(look, f"/operations/{begun.id}", "begun", n=begun.matched)


def _rate(form: Form) -> int | None:
    given = form.get("rate").strip()
    if not given:
        return None
    if not given.isascii() or not given.isdigit():
        raise ConfigInvalid(f"rate: {given!r} is not a whole number of tasks a second")
    return int(given[:9])


@router.get("/q/{queue}/do/purge")
async def ask_to_purge(queue: str, look: Acting) -> Response:
    """Ask whether all that waits in a queue is to be cancelled."""
    return await _ask(look, acts.PURGE, queue, Where())


@router.post("/q/{queue}/do/purge")
async def purge(queue: str, look: Acting) -> Response:
    """Begin to cancel it, and show how far that is."""
    form = await answered(look)
    return await _begin(look, acts.PURGE, queue, Where(), form)


@router.get("/q/{queue}/tasks/do/{act}")
async def ask_about_many(queue: str, act: ManyAct, look: Acting) -> Response:
    """Ask whether something is to be done to all tasks that are meant."""
    given = look.request.query_params
    if given.get(_TICKED) and not given.get("id"):
        return refuse(look, _nothing(_ACTS[act], look.queue(queue), given.get("state", "waiting")))
    return await _ask(look, _ACTS[act], queue, where_of(given))


@router.post("/q/{queue}/tasks/do/{act}")
async def do_to_many(queue: str, act: ManyAct, look: Acting) -> Response:
    """Begin to do it, and show how far that is."""
    form = await answered(look)
    return await _begin(look, _ACTS[act], queue, where_of(form), form)
