"""Asking whether something is to be done, and where one comes to after it was."""

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec
from starlette.responses import RedirectResponse, Response

from hms_async.api.dashboard import render
from hms_async.api.dashboard.acts import Act, Twins
from hms_async.api.dashboard.entry import Form, Look, check_form, form_key, keep_form_key
from hms_async.api.dashboard.parts import ONLY_THE_PART, Part
from hms_async.errors import HMSError

MOST_AT_ONCE = 1_000
"""Above so many tasks the queue's name is to be typed."""
_LONGEST_REASON = 500


class Option(msgspec.Struct, frozen=True):
    """Something that may be ticked with an act."""

    name: str
    label: str
    ticked: bool = False


class Payload(msgspec.Struct, frozen=True):
    """What a task that is to run again is to be about."""

    text: str
    correlation_id: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A page that asks whether something is to be done.

    Attributes:
        act: What.
        title: The question.
        about: To what, in sentences.
        back: Where one comes to who does not want it.
        button: What the button says that does it.
        twins: The same elsewhere.
        hidden: What else the form brings along.
        options: What may be ticked.
        payload: What may be changed.
        rate: Tasks a second, if that may be chosen.
        to_type: What is to be typed, where much is at stake.
        why_not: Why it cannot be done, as things are now; empty if it can.
    """

    act: Act
    title: str
    about: Sequence[str]
    back: str
    button: str
    twins: Twins
    hidden: Sequence[tuple[str, str]] = ()
    options: Sequence[Option] = ()
    payload: Payload | None = None
    rate: int | None = None
    to_type: str = ""
    why_not: str = ""


def ask(
    look: Look, question: Question, *, fault: str = "", reason: str = "", status: int = 200
) -> Response:
    """Return the page that asks, or says why there is nothing to ask.

    Args:
        look: Who is asked.
        question: What they are asked.
        fault: What was wrong with their answer, if this is not the first time.
        reason: What they said was the reason.
        status: The response's.
    """
    if question.why_not:
        return refuse(look, question)
    key = form_key(look.request)
    part = Part.of(
        "ask.html",
        title=question.title,
        base=look.base,
        ask=question,
        fault=fault,
        reason=reason,
        to=look.request.url.path,
        key=key,
        longest_reason=_LONGEST_REASON,
    )
    response = _page(look, part, status)
    keep_form_key(look.request, response, key)
    return response


def refuse(look: Look, question: Question, error: HMSError | None = None) -> Response:
    """Return the page that says why something cannot be done, as things are now (409).

    Args:
        look: Who wants it.
        question: What they want.
        error: What became known only when it was tried; `question.why_not` without one.
    """
    part = Part.of(
        "refused.html",
        title=f"{question.act.label}: not possible",
        base=look.base,
        why=question.why_not if error is None else f"It was too late: {look.tell(error)}.",
        back=question.back,
    )
    return _page(look, part, 409)


def _page(look: Look, part: Part, status: int) -> Response:
    if look.request.headers.get(ONLY_THE_PART):
        return render.html(part.main, status)
    return render.framed(
        look.request, part.main, title=part.title, status=status, caller=look.caller
    )


async def answered(look: Look) -> Form:
    """Return the form of a page that asked.

    Raises:
        FormStale: If it was not one of ours.
    """
    form = await Form.read(look.request)
    check_form(look.request, form)
    return form


def objection(look: Look, question: Question, form: Form) -> Response | None:
    """Return what is answered to a form instead of acting: what is wrong with it, if anything."""
    if question.why_not:
        return refuse(look, question)
    reason = form.get("reason").strip()
    fault = ""
    if question.act.why == "must" and not reason:
        fault = "Say why: those who look later will want to know."
    elif len(reason) > _LONGEST_REASON:
        fault = f"The reason has over {_LONGEST_REASON} characters."
    elif question.to_type and form.get("typed").strip() != question.to_type:
        fault = f"Type {question.to_type} to say that you mean it."
    return ask(look, question, fault=fault, reason=reason, status=422) if fault else None


def went(look: Look, path: str, did: str, **about: object) -> Response:
    """Return to a page that shows what was done, and says so."""
    return RedirectResponse(f"{look.base}{path}?{urlencode({'did': did, **about})}", 303)
